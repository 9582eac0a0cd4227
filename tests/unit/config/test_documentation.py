"""What the documentation shows is so: every YAML example loads, and tables are what the code says."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from extauthz.cli.main import app
from extauthz.config import load
from extauthz.config.sections.plugins.jwt import JwtEntry
from extauthz.config.sections.plugins.keys import RemoteKeysEntry
from extauthz.serve.reload import KEPT_BY_SUPERVISOR, RESTART_ONLY

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "jwt-and-networks.md").read_text()
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_loads(number: int, tmp_path: Path):
    file = tmp_path / "extauthz.yaml"
    file.write_text(EXAMPLES[number])
    assert load(file).snapshot.gateway.apis


def test_the_page_has_its_examples_and_names_every_setting_of_the_plug_in():
    assert len(EXAMPLES) == PAGE.count("```yaml") > 0
    settings = {*JwtEntry.model_fields, *RemoteKeysEntry.model_fields} - {"id", "type"}
    assert [name for name in sorted(settings) if f"`{name}`" not in PAGE and f"{name}:" not in PAGE] == []


def test_the_table_of_reasons_is_the_catalogue():
    shown = CliRunner().invoke(app, ["reasons", "--markdown"])
    assert shown.exit_code == 0
    assert shown.stdout.strip() in (DOCS / "errors.md").read_text()


def test_the_page_on_operations_names_exactly_the_keys_that_wait_for_a_restart():
    page = " ".join((DOCS / "operations.md").read_text().split())
    listed = re.search(r"((?:`\w+`(?:, | and )?)+) belong to what was built at the start\.", page)
    assert listed is not None
    assert tuple(re.findall(r"`(\w+)`", listed[1])) == RESTART_ONLY
    kept = re.search(r"This applies every setting but ([^.]*)\.", page)
    assert kept is not None
    assert tuple(re.findall(r"`(\w+)`", kept[1])) == KEPT_BY_SUPERVISOR
