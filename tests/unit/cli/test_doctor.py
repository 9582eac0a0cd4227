"""`extauthz doctor`: exit codes for CI, a table for people, JSON for machines."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from extauthz.cli.main import app
from tests.unit.envoy.doctor.seeds import ROOT, SEEDS, good

STATIC = ROOT / "envoy" / "static.yaml"


def doctor(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["doctor", *map(str, arguments)])


def seeded(folder: Path, finding: str) -> Path:
    name, change, _ = SEEDS[finding]
    documents = good(name)
    change(documents)
    file = folder / "bad.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    return file


def test_a_clean_file_ends_with_0():
    result = doctor(STATIC, "--workers", 2, "--strict")
    assert result.exit_code == 0
    assert "0 errors, 0 warnings" in result.stdout


def test_an_error_ends_with_1_and_says_where_why_and_what_instead(tmp_path: Path):
    result = doctor(seeded(tmp_path, "fails-open"))
    assert result.exit_code == 1
    for text in ("fails-open", "line ", "lets the request through", "failure_mode_allow: false", "1 errors"):
        assert text in result.stdout


def test_a_warning_ends_with_0_unless_strict(tmp_path: Path):
    file = seeded(tmp_path, "headers-joined")
    assert doctor(file).exit_code == 0
    assert doctor(file, "--strict").exit_code == 1


def test_a_note_never_fails_and_is_counted(tmp_path: Path):
    result = doctor(seeded(tmp_path, "header-letter-case"), "--strict", "--workers", 2)
    assert result.exit_code == 0
    assert "note: header-letter-case" in result.stdout
    assert "0 errors, 0 warnings, 1 notes" in result.stdout


def test_what_a_control_plane_wrote_gets_a_cure_in_its_own_words():
    dump = ROOT / "tests" / "unit" / "envoy" / "doctor" / "generated" / "istio-config-dump-internet.json"
    result = doctor(dump, "--strict")
    assert result.exit_code == 0
    assert "an EnvoyFilter for HTTP_ROUTE" in " ".join(result.stdout.split())
    (upgrades,) = [one for one in json.loads(doctor(dump, "--json").stdout) if one["id"] == "upgrades-on"]
    assert upgrades["severity"] == "note"
    assert "EnvoyFilter" in upgrades["instead"]


def test_a_finding_can_be_left_out_by_name_but_only_one_that_exists(tmp_path: Path):
    file = seeded(tmp_path, "shadow-mode")
    assert doctor(file, "--ignore", "shadow-mode").exit_code == 0
    assert doctor(file, "--ignore", "shadow-mod").exit_code == 2


def test_json_names_document_path_and_line(tmp_path: Path):
    result = doctor(seeded(tmp_path, "fails-open"), "--json")
    (finding,) = json.loads(result.stdout)
    assert finding["id"] == "fails-open"
    assert finding["severity"] == "error"
    assert finding["document"] == 0
    assert finding["path"].endswith("http_filters[1].typed_config.failure_mode_allow")
    assert finding["line"] > 1


def test_a_dash_reads_standard_input():
    result = CliRunner().invoke(app, ["doctor", "-", "--workers", "2"], input=STATIC.read_text())
    assert result.exit_code == 0
    assert "0 errors, 0 warnings" in result.stdout


def test_the_service_configuration_is_taken_into_account():
    demo = ROOT / "demo" / "extauthz.yaml"
    assert doctor(STATIC, "--config", demo, "--strict").exit_code == 0


@pytest.mark.parametrize("text", ["a: [", "kind: Deployment"])
def test_a_file_that_cannot_be_examined_ends_with_2(tmp_path: Path, text: str):
    file = tmp_path / "x.yaml"
    file.write_text(text)
    result = doctor(file)
    assert result.exit_code == 2
    assert str(file) in result.stderr


def test_a_missing_file_or_a_broken_service_configuration_ends_with_2(tmp_path: Path):
    assert doctor(tmp_path / "missing.yaml").exit_code == 2
    broken = tmp_path / "extauthz.yaml"
    broken.write_text("listen: 3")
    assert doctor(STATIC, "--config", broken).exit_code == 2
