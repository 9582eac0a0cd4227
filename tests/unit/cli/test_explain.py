"""The command that answers why: what it takes, what it prints, how it ends."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from extauthz.cli.main import app
from tests.mistaken_client import SECRET, Call, signed_by
from tests.unit.building import NOW_MS

FILE = f"""
listen: [{{address: "127.0.0.1:9191"}}]
groups: [{{id: shop, domains: ["api.example.com"]}}]
apis:
  - {{id: orders, group: shop, methods: [GET], path: /v1/orders, auth: {{internet: digest}}}}
apps:
  - {{id: shop, keys: [{{app_key: demo-app-key-0001, app_secret: {SECRET}}}]}}
grants: [{{app: shop, apis: [orders]}}]
"""
CALL = Call(query=[("b", ""), ("a", "x y")])
CURL = "curl -i -H 'Accept: {accept}' {headers} 'https://api.example.com/v1/orders?b=&a=x%20y'"


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "extauthz.yaml"
    file.write_text(FILE)
    return file


def run(config, *arguments, given=None, at=NOW_MS):
    result = CliRunner().invoke(app, ["explain", *arguments, "-c", str(config), "--at", str(at)], input=given)
    assert SECRET not in result.output
    return result.exit_code, result.output


def test_a_raw_request_is_explained_from_a_file_and_from_standard_input(config, tmp_path):
    raw = signed_by(CALL).raw()
    file = tmp_path / "request.http"
    file.write_bytes(raw)
    for arguments, given in ((["-"], raw), ([], raw), ([str(file)], None)):
        code, output = run(config, *arguments, given=given)
        assert code == 0
        assert "allow, allowed" in output
        assert "belongs to app shop" in output


def test_a_curl_line_is_explained_and_its_mistake_named(config):
    sent = dict(signed_by(CALL, "accept_added").headers)
    headers = " ".join(f"-H '{name}: {value!s}'" for name, value in sent.items() if name != "Accept")
    code, output = run(config, CURL.format(accept="*/*", headers=headers))
    assert code == 1
    assert "deny, signature_mismatch" in output
    assert "What is wrong" in output
    assert "accept_added" in output
    assert "requests and httpx add" in output
    assert "first difference: byte 4, line 2, column 1" in output


def test_machines_get_json(config):
    code, output = run(config, "--json", given=signed_by(CALL, "empty_as_equals").raw())
    told = json.loads(output)
    assert code == 1
    assert (told["outcome"], told["reason"], told["api"]) == ("deny", "signature_mismatch", "orders")
    assert told["diagnosis"]["explanations"][0][0]["name"] == "empty_as_equals"
    assert told["diagnosis"]["strings"]["first_difference"]["server"] == "the end"
    assert told["steps"][0]["step"] == "spelling"


def test_another_time_and_another_configuration_show_what_differs(config, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(FILE.replace("grants: [{app: shop, apis: [orders]}]", "grants: []"))
    raw = signed_by(CALL).raw()
    code, output = run(config, "--under", str(other), given=raw)
    assert code == 0
    assert "allow, allowed becomes deny, not_granted" in output
    _, output = run(config, "--under", str(other), "--json", given=raw)
    assert json.loads(output)["under"]["reason"] == "not_granted"
    code, output = run(config, given=raw, at="2030-01-01T00:00:00Z")
    assert code == 1
    assert "request_is_old" in output
    assert f"--at {NOW_MS}" in output


def test_the_client_s_own_string_is_compared(config, tmp_path):
    sent = signed_by(CALL, "blank_after_colon")
    file = tmp_path / "string.txt"
    file.write_bytes(sent.string)
    _, output = run(config, "--client-string", str(file), given=sent.raw())
    assert "X-Ca-Key: demo-app-key-0001" in output
    assert "blank_after_colon" in output


@pytest.mark.parametrize(
    ("arguments", "given", "message"),
    [
        (["no-such-file"], None, "cannot read no-such-file"),
        ([], "hello", "not a curl command line"),
        (["--context", "nothing"], "GET / HTTP/1.1\n", "is not KEY=VALUE"),
        (["--client-string", "no-such-file"], "GET / HTTP/1.1\n", "cannot read no-such-file"),
    ],
)
def test_what_cannot_be_read_ends_with_2_and_the_cure(config, arguments, given, message):
    code, output = run(config, *arguments, given=given)
    assert code == 2
    assert message in output


def test_the_documented_mistakes_are_those_that_are_looked_for():
    shown = CliRunner().invoke(app, ["explain", "--mistakes"])
    page = (Path(__file__).parents[3] / "docs" / "explain.md").read_text()
    assert shown.stdout.strip() in page
    assert shown.stdout.count("\n| `") >= 25


def test_a_time_that_is_none_is_told(config):
    result = CliRunner().invoke(app, ["explain", "-c", str(config), "--at", "noon"], input="GET / HTTP/1.1\n")
    assert result.exit_code == 2
    assert "is no time" in result.output


def test_a_configuration_with_mistakes_explains_nothing(tmp_path):
    file = tmp_path / "broken.yaml"
    file.write_text("listen: 3\n")
    result = CliRunner().invoke(app, ["explain", "-c", str(file)], input="GET / HTTP/1.1\n")
    assert result.exit_code == 2
    assert "1 mistake" in result.output or "mistakes" in result.output
