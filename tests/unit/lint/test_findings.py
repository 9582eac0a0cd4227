"""Every finding, one by one: seeded into a good configuration it is found, and nothing else is."""

import base64
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from extauthz.cli.main import app
from extauthz.config.problems import Warned
from extauthz.lint.examine import MISTAKE, RULES
from extauthz.lint.registry_facts import Told
from extauthz.observe.capture.folder import Captured, CaptureFolder
from tests.unit.building import NOW_MS
from tests.unit.lint.seeds import REGISTRY, SEEDS, facts, found, good, written

SARIF_LEVELS = {"error", "warning", "note"}


@pytest.fixture
def seeded(tmp_path, monkeypatch):
    """A good configuration with one mistake."""

    def make(finding: str) -> Path:
        monkeypatch.setenv("LINT_SECRET", "b7f0c1d29e834a57")
        data = good()
        SEEDS[finding](data)
        file = written(tmp_path, data)
        (tmp_path / "open").write_text("b7f0c1d29e834a58")
        (tmp_path / "open").chmod(0o644)
        (tmp_path / "redis").write_text("redis://nonces.example.com")
        (tmp_path / "redis").chmod(0o600)
        if "capture" in data:
            _keep(tmp_path, data["capture"]["folder"], finding)
        if finding == "registry-unsealed":
            (tmp_path / "code").write_text("sqlite:///registry.db")
        return file

    return make


def _keep(beside: Path, name: str, finding: str) -> None:
    """A capture, whose end is in the folder's name; one that is over has kept a check."""
    key = bytes(32)
    (beside / "capture-key").write_text(base64.b64encode(key).decode())
    (beside / "capture-key").chmod(0o600)
    folder = CaptureFolder(beside / name, key)
    wanted = folder.ask("web", "", 5, int(name.partition("-")[2]), "somebody", "why")
    if finding == "capture-left":
        folder.keep(wanted, Captured("id", NOW_MS, "internet", "r", "not_granted", "orders", "web", [], b"x"))


def test_there_is_nothing_to_say_about_a_good_configuration(tmp_path):
    assert found(written(tmp_path, good()), facts()) == []


def test_every_finding_can_be_reached_and_no_seed_is_left_without_one():
    assert {rule.id for rule in RULES} == {*SEEDS, *REGISTRY}
    assert len({rule.id for rule in RULES}) == len(RULES)


def test_whatever_the_configuration_warns_of_is_a_finding():
    assert {warned.value for warned in Warned} <= {rule.id for rule in RULES}


@pytest.mark.parametrize("finding", SEEDS)
def test_a_seeded_mistake_is_found_at_its_line_and_nothing_else(seeded, finding):
    file = seeded(finding)
    findings = found(file)
    assert {one.rule.id for one in findings} == {finding}
    text = file.read_text()
    for one in findings:
        assert 1 <= one.line <= text.count("\n")
        assert one.detail
        assert len(one.rule.why) > 40
        assert one.rule.cure
        assert "b7f0c1d29e834a5" not in one.detail


@pytest.mark.parametrize("finding", REGISTRY)
def test_what_stands_in_the_registry_is_found_and_nothing_else(tmp_path, finding):
    (one,) = found(written(tmp_path, good()), REGISTRY[finding])
    assert (one.rule.id, "mobile" in one.detail) == (finding, True)


def test_of_many_entries_in_the_registry_the_first_are_told_and_how_many_there_are(tmp_path):
    told = found(written(tmp_path, good()), facts(without_grant=Told((("one", "north"), ("two", "north")), 1_000_000)))
    assert [one.detail for one in told][2:] == ["and 999998 more"]
    assert len(told) == 3


def test_the_line_is_the_one_where_the_mistake_stands(seeded):
    file = seeded("grant-ends-soon")
    (one,) = found(file)
    assert "until:" in file.read_text().splitlines()[one.line - 1]


@pytest.mark.parametrize("left", ["/files/{name}", "/files/{name}/*"])
def test_a_route_that_something_is_left_for_is_not_told(tmp_path, left):
    data = good()
    SEEDS["route-never-matches"](data)
    data["apis"] = [one for one in data["apis"] if one["path"] != left]
    assert found(written(tmp_path, data)) == []


def test_an_api_whose_grants_may_stand_in_the_registry_is_not_told_until_that_was_asked(tmp_path):
    data = good()
    SEEDS["api-nobody-may-call"](data)
    data["registry"] = {"database": "sqlite:///registry.db", "unsealed": True}
    file = written(tmp_path, data)
    assert "api-nobody-may-call" not in {one.rule.id for one in found(file)}
    assert "api-nobody-may-call" in {one.rule.id for one in found(file, facts())}


def lint(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["lint", *map(str, arguments)])


@pytest.mark.parametrize(
    ("finding", "arguments", "code"),
    [
        ("plugin-unused", (), 0),
        ("plugin-unused", ("--strict",), 1),
        ("plugin-unused", ("--strict", "--ignore", "plugin-unused"), 0),
        ("digest-sha1", ("--strict",), 0),
        ("plugin-unused", ("--ignore", "no-such-finding"), 2),
        ("plugin-unused", ("--json", "--sarif"), 2),
    ],
)
def test_the_exit_code_tells_how_bad_it_is(seeded, finding, arguments, code):
    assert lint(seeded(finding), *arguments).exit_code == code


def test_a_file_with_mistakes_is_an_error_at_their_lines(tmp_path):
    data = good()
    data["apis"][0]["group"] = "shpo"
    result = lint(written(tmp_path, data), "--json")
    (one,) = json.loads(result.stdout)
    assert (result.exit_code, one["id"], one["level"], one["path"]) == (1, MISTAKE.id, "error", "apis[0].group")


def test_a_registry_that_cannot_be_read_ends_with_2_and_offline_does_not_ask(seeded):
    file = seeded("registry-unsealed")
    assert lint(file).exit_code == 2
    assert lint(file, "--offline").exit_code == 0
    assert lint(file, "--without-secrets").exit_code == 0


def test_people_are_told_where_why_and_what_instead(seeded):
    told = " ".join(lint(seeded("plugin-unused")).stdout.split())
    for text in ("warning: plugin-unused", "plugins[1]", "old", "take it out", "0 errors, 1 warnings, 0 notes"):
        assert text in told


def test_sarif_has_the_structure_that_its_schema_requires(seeded):
    result = lint(seeded("plugin-unused"), "--sarif")
    log = json.loads(result.stdout)
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"]
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(ids) == len(set(ids)) == len(RULES) + 1
    for rule in driver["rules"]:
        assert rule["defaultConfiguration"]["level"] in SARIF_LEVELS
        for text in ("shortDescription", "fullDescription", "help"):
            assert rule[text]["text"]
    (one,) = run["results"]
    assert ids[one["ruleIndex"]] == one["ruleId"] == "plugin-unused"
    assert one["level"] in SARIF_LEVELS
    assert one["message"]["text"]
    (place,) = one["locations"]
    assert place["physicalLocation"]["artifactLocation"]["uri"].endswith("extauthz.yaml")
    assert place["physicalLocation"]["region"]["startLine"] >= 1


def test_sarif_names_a_file_below_the_folder_of_the_run_by_its_relative_path(seeded, monkeypatch):
    file = seeded("plugin-unused")
    monkeypatch.chdir(file.parent)
    (one,) = json.loads(lint(file.name, "--sarif").stdout)["runs"][0]["results"]
    assert one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "extauthz.yaml"


def test_a_workflow_is_told_in_commands_of_one_line_each(seeded):
    lines = lint(seeded("digest-sha1"), "--github").stdout.splitlines()
    (line,) = lines
    assert line.startswith("::notice file=")
    assert ",title=digest-sha1::API `orders` accepts HmacSHA1" in line


def test_the_page_lists_every_finding_as_it_is():
    page = (Path(__file__).parents[3] / "docs" / "lint.md").read_text()
    assert lint("--rules").stdout.strip() in page
