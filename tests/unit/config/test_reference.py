"""The page about every key: complete, current, and with examples that can be copied."""

import json
import re
from datetime import datetime
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel
from typer.testing import CliRunner

from extauthz.cli.main import app
from extauthz.config import reference
from extauthz.config.names import Section
from extauthz.config.schema import ConfigFile
from tests.unit.envoy.doctor.seeds import ROOT

SCHEMA = reference.json_schema()
SECTIONS = {"ConfigFile": SCHEMA, **{name: one for name, one in SCHEMA["$defs"].items() if "properties" in one}}
PAGE = (ROOT / "docs" / "configuration.md").read_text()


def model(name: str) -> type[BaseModel]:
    """The class behind a section of the schema."""
    waiting: list[type[BaseModel]] = [Section, *BaseModel.__subclasses__()]
    while waiting:
        one = waiting.pop()
        if one.__name__ == name and one.__module__.startswith("extauthz.config"):
            return one
        waiting += one.__subclasses__()
    raise LookupError(name)


def test_the_page_about_every_key_is_current():
    assert reference.markdown() == PAGE, "run `extauthz schema --markdown > docs/configuration.md`"


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_and_each_of_its_keys_are_described(name: str):
    assert SECTIONS[name]["description"]
    properties: dict[str, Any] = SECTIONS[name]["properties"]
    assert [key for key, node in properties.items() if not node.get("description")] == []


@pytest.mark.parametrize("name", SECTIONS)
def test_the_examples_of_a_section_are_valid_and_show_each_of_its_keys(name: str):
    shown: set[str] = set()
    for example in reference.examples(SECTIONS[name]["description"]):
        data = yaml.safe_load(example)
        model(name).model_validate(data)
        shown |= set(data)
    assert shown == set(SECTIONS[name]["properties"])


def test_an_undescribed_key_would_be_noticed():
    class Careless(Section):
        """A section."""

        key: int = 0

    assert "description" not in Careless.model_json_schema()["properties"]["key"]
    assert reference.examples(Careless.__doc__ or "") == []


def test_every_link_of_the_page_leads_to_a_heading():
    headings = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    anchors = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    assert len(set(anchors)) == len(anchors)
    links = re.findall(r"\]\(#([^)]+)\)", PAGE)
    assert links
    assert set(links) <= set(anchors)


def test_the_schema_names_its_dialect_and_takes_the_configurations_that_we_ship():
    printed = json.loads(CliRunner().invoke(app, ["schema"]).stdout)
    assert printed == SCHEMA
    validator = jsonschema.Draft202012Validator(printed)
    assert printed["$schema"] == validator.META_SCHEMA["$schema"]
    validator.check_schema(printed)
    written = yaml.safe_load((ROOT / "demo" / "extauthz.yaml").read_text())
    demo = json.loads(json.dumps(written, default=datetime.isoformat))  # editors take a time for text
    assert [error.message for error in validator.iter_errors(demo)] == []
    assert [error.json_path for error in validator.iter_errors({**demo, "apis": [{"id": 1}]})]


def test_the_example_of_the_whole_file_has_every_top_level_key():
    (example,) = reference.examples(SCHEMA["description"])
    assert list(yaml.safe_load(example)) == list(ConfigFile.model_fields)
