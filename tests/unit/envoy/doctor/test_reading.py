"""The user's file: what can be read, what cannot, and what the service's own configuration tells."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from extauthz.config.schema import ConfigFile
from extauthz.envoy.doctor import Documents, ServiceFacts, UnreadableError, examine, facts_from, read
from extauthz.envoy.doctor.duration import seconds
from tests.unit.envoy.doctor.seeds import ROOT, good


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5s", 0.5),
        ("500ms", 0.5),
        ("1m30s", 90.0),
        ("0s", 0.0),
        ("2h", 7200.0),
        ({"seconds": 1, "nanos": 500000000}, 1.5),
        ("5", None),
        ("", None),
        ("fast", None),
        (None, None),
        (5, None),
        ({"seconds": "x"}, None),
    ],
)
def test_durations_are_read_as_envoy_and_kubernetes_write_them(text: object, expected: float | None):
    assert seconds(text) == expected


def test_a_json_file_is_read_with_tabs_too():
    text = json.dumps(good("static.yaml")[0], indent="\t")
    assert examine(Documents(text).documents, ServiceFacts(workers=2)) == []


@pytest.mark.parametrize(
    "text",
    ["a: [", "\x00", "{", "a: b: c", "&a [*a]", "- &a [x,x,x,x,x,x,x,x,x]\n" + "\n".join(
        f"- &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]" for n in range(9)
    )],
    ids=["open list", "control character", "open mapping", "two colons", "cycle", "alias bomb"],
)  # fmt: skip
def test_a_file_that_is_no_yaml_or_never_ends_is_refused(text: str):
    with pytest.raises(UnreadableError):
        Documents(text)


@pytest.mark.parametrize("text", ["", "a: 1", "[]", "kind: Deployment", "static_resources: {}", "static_resources: 3"])
def test_a_file_with_nothing_to_examine_is_not_called_clean(text: str):
    with pytest.raises(UnreadableError, match="nothing to examine"):
        examine(Documents(text).documents, ServiceFacts())


@pytest.mark.parametrize("broken", [3, "x", None, [], {}, [3], ["x"], {"a": 1}, True])
@pytest.mark.parametrize("key", ["http_filters", "route_config", "upgrade_configs", "early_header_mutation_extensions"])
def test_a_part_of_the_wrong_shape_stops_no_examination(key: str, broken: object):
    documents = good("static.yaml")
    chain = documents[0]["static_resources"]["listeners"][0]["filter_chains"][0]
    chain["filters"][0]["typed_config"][key] = broken
    examine(documents, ServiceFacts())


SHAPES: list[Any] = [None, 3, 1.5, True, "x", [], {}, [3], ["x"], [{}], [[1]], {"a": 1}, {"value": "x"}, {"map": 3}]
FILES = [*sorted((ROOT / "envoy").glob("*.yaml")), *sorted((ROOT / "tests/unit/envoy/doctor/generated").glob("*.json"))]


def places(node: Any) -> list[tuple[Any, Any]]:
    """Every container with every key of it."""
    pairs = list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
    return [(node, key) for key, _ in pairs] + [place for _, below in pairs for place in places(below)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
@pytest.mark.parametrize("seed", range(3))
def test_no_shape_of_any_part_of_any_file_stops_an_examination(file: Path, seed: int):
    chance = random.Random(f"{file.name} {seed}")
    documents = Documents(file.read_text()).documents
    for _ in range(10):
        changed = copy.deepcopy(documents)
        for container, key in chance.sample(places(changed), chance.randint(1, 3)):
            container[key] = chance.choice(SHAPES)
        try:
            examine(changed, ServiceFacts())
        except UnreadableError:
            continue  # nothing is left in it that the doctor knows


def test_a_file_that_is_missing_or_not_text_says_so(tmp_path: Path):
    with pytest.raises(UnreadableError, match="No such file"):
        read(tmp_path / "missing.yaml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UnreadableError, match="UTF-8"):
        read(tmp_path / "binary")


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n---\n", "{}"])
def test_an_empty_file_is_called_empty(text: str):
    with pytest.raises(UnreadableError, match="it is empty"):
        examine(Documents(text).documents, ServiceFacts())


def test_the_services_own_configuration_is_recognised():
    documents = Documents((ROOT / "demo" / "extauthz.yaml").read_text()).documents
    with pytest.raises(UnreadableError, match="`extauthz check-config` examines"):
        examine(documents, ServiceFacts())


def test_the_line_of_a_finding_is_the_line_in_the_file():
    text = (ROOT / "envoy" / "static.yaml").read_text().replace("failure_mode_allow: false", "failure_mode_allow: true")
    documents = Documents(text)
    (first, _) = examine(documents.documents, ServiceFacts())
    assert text.splitlines()[documents.line(first.spot.path) - 1].strip().startswith("failure_mode_allow: true")


def test_the_services_configuration_tells_its_methods_headers_and_ports():
    demo = ConfigFile.model_validate(yaml.safe_load((ROOT / "demo" / "extauthz.yaml").read_text()))
    facts = facts_from(demo, workers=3)
    assert facts.has_digest
    assert facts.identity_headers == {"x-ca-app-id", "x-ca-network", "x-token-sub"}
    assert facts.bound_ports == set()
    assert facts.workers == 3
    assert facts.listeners == ((9191, 9192, 9193),)


def test_each_worker_of_a_listener_is_known_by_its_own_port_or_socket():
    listen = [{"address": "127.0.0.1:9191", "network": "vpc"}, {"address": "unix:/run/x.sock", "network": "internet"},
              {"address": "unix:/run/y.sock"}]  # fmt: skip
    facts = facts_from(ConfigFile.model_validate({"listen": listen}), workers=2)
    assert facts.listeners == ((9191, 9192), ("/run/x.0.sock", "/run/x.1.sock"), ("/run/y.0.sock", "/run/y.1.sock"))
    assert facts.bound_ports == {9191, 9192, "/run/x.0.sock", "/run/x.1.sock"}
    assert facts_from(ConfigFile.model_validate({"listen": listen}), workers=1).listeners[1] == ("/run/x.sock",)


def test_digest_is_found_inside_any_of_and_all_of():
    def config(auth: object) -> ConfigFile:
        api = {"id": "a", "group": "g", "methods": ["GET"], "path": "/a", "auth": {"internet": auth}}
        listen = [{"address": "127.0.0.1:1", "network": "vpc"}]
        return ConfigFile.model_validate({"listen": listen, "groups": [{"id": "g", "domains": ["*"]}], "apis": [api]})

    assert facts_from(config({"any_of": ["jwt", {"all_of": ["appcode", "digest"]}]}), 1).has_digest
    assert not facts_from(config({"any_of": ["jwt", "appcode"]}), 1).has_digest
    assert facts_from(config("jwt"), 1).bound_ports == {1}


def test_the_doctor_knows_how_large_a_message_the_service_takes():
    assert ServiceFacts().max_message_bytes == 2 << 20
    file = ConfigFile.model_validate({"listen": [{"address": "127.0.0.1:1"}], "limits": {"message_mebibytes": 5}})
    assert facts_from(file, 1).max_message_bytes == 5 << 20
