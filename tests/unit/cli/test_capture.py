"""The commands over captured checks: what they demand, what they say."""

import base64

import pytest
from typer.testing import CliRunner

from extauthz.cli.main import app
from tests.unit.cli.test_explain import FILE

KEY = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture
def config(tmp_path):
    (tmp_path / "capture.key").write_text(KEY)
    file = tmp_path / "extauthz.yaml"
    file.write_text(FILE + "capture: {folder: captures, key: {file: capture.key}}\n")
    return file


def run(config, *arguments):
    result = CliRunner().invoke(app, [*arguments, "-c", str(config)])
    assert KEY not in result.output
    return result.exit_code, result.output


def test_it_is_on_for_an_app_or_for_an_api_and_off_again(config):
    code, output = run(config, "capture", "on", "--app", "shop", "--why", "ticket 7")
    assert code == 0
    assert "up to 20 denied checks" in output
    assert run(config, "capture", "list", "--json") == (0, "[]\n")
    assert "request id" in run(config, "capture", "list")[1]
    assert "0 checks were removed" in run(config, "capture", "off")[1]


@pytest.mark.parametrize("what", [(), ("--app", "shop", "--api", "orders")])
def test_it_wants_one_of_app_and_api(config, what):
    code, output = run(config, "capture", "on", *what, "--why", "ticket 7")
    assert code == 2
    assert "either --app or --api" in output


def test_it_wants_a_reason_and_bounds(config):
    assert run(config, "capture", "on", "--app", "shop")[0] == 2
    assert run(config, "capture", "on", "--app", "shop", "--why", "x", "--checks", "5000")[0] == 2
    assert run(config, "capture", "on", "--app", "shop", "--why", "x", "--minutes", "5000")[0] == 2


def test_a_configuration_without_capture_is_told_what_is_missing(config):
    config.write_text(FILE)
    for command in (("on", "--app", "shop", "--why", "x"), ("off",), ("list",)):
        code, output = run(config, "capture", *command)
        assert code == 2
        assert "has no `capture`" in output
    code, output = run(config, "explain", "6F1F1C1E-7F0C-4D0E-9A54-0C2F6C1D8A01")
    assert code == 2
    assert "was not kept on this host" in output


@pytest.mark.parametrize(("key", "message"), [("c2hvcnQ=", "32 bytes"), ("?", "32 bytes"), ("", "at least one")])
def test_a_key_that_is_none_is_a_mistake_with_its_cure(config, key, message):
    config.write_text(FILE + f'capture: {{folder: captures, key: "{key}"}}\n')
    code, output = run(config, "capture", "list")
    assert code == 1
    assert "capture.key" in output
    assert message in output
