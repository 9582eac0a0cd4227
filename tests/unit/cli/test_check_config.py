"""check-config says before the start what ``serve`` would say at it."""

import importlib.util
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from extauthz.cli.main import app
from extauthz.serve import extras

LISTEN = [{"address": "127.0.0.1:9191"}]
FILE = {
    "listen": LISTEN,
    "groups": [{"id": "web", "domains": ["*"]}],
    "apis": [{"id": "user", "group": "web", "methods": ["GET"], "path": "/", "auth": {"internet": "digest"}}],
    "apps": [{"id": "shop", "keys": [{"app_key": "shop", "app_secret": {"env": "NOT_SET_ANYWHERE"}}],
              "app_codes": [{"file": "no-such-file"}]}],
    "grants": [{"app": "shop", "apis": ["user"]}],
}  # fmt: skip
SECRETS = {"apps": [], "grants": []}


def check(tmp_path: Path, data: dict | str, *options: str) -> tuple[int, str]:
    file = tmp_path / "extauthz.yaml"
    file.write_text(data if isinstance(data, str) else yaml.safe_dump(data, sort_keys=False))
    result = CliRunner().invoke(app, ["check-config", str(file), *options])
    return result.exit_code, result.output


def test_more_workers_than_the_file_can_serve_are_a_mistake(tmp_path):
    assert check(tmp_path, FILE | SECRETS)[0] == 0
    code, output = check(tmp_path, FILE | SECRETS | {"operations": "127.0.0.1:9193"}, "--workers", "4")
    assert code == 1
    assert "replay: nonces remembered in memory are not shared by 4 workers" in output
    assert "listen[0].address: worker 2 would listen on 127.0.0.1:9193, which operations takes" in output
    assert "2 mistakes" in output


@pytest.mark.parametrize(
    ("section", "module", "told"),
    [
        ({"transport": "front"}, "extauthz_front", "transport: front needs extauthz-front"),
        ({"tracing": {"endpoint": "http://localhost:4318/v1/traces"}}, "opentelemetry", "tracing: needs the extra"),
    ],
)
def test_an_extra_that_serve_would_miss_is_a_mistake(tmp_path, monkeypatch, section, module, told):
    def find_spec(name):
        return None if name.startswith(module) else importlib.util.find_spec(name)

    monkeypatch.setattr(extras, "find_spec", find_spec)
    code, output = check(tmp_path, FILE | SECRETS | section)
    assert (code, told in output) == (1, True)


def test_a_file_can_be_checked_where_its_secrets_are_not(tmp_path):
    data = FILE | {
        "listen": [*LISTEN, {"address": "127.0.0.1:9192", "tls": {"cert": "no.pem", "key": "no.key"}}],
        "replay": {"redis": {"url": {"env": "NOT_SET_ANYWHERE"}}},
        "tracing": {"endpoint": "http://localhost:4318/v1/traces", "headers": {"X-Key": {"file": "no-such-file"}}},
    }
    code, output = check(tmp_path, data)
    assert (code, "5 mistakes" in output) == (1, True)
    code, output = check(tmp_path, data, "--without-secrets")
    assert (code, "secrets were not looked for" in output) == (0, True)
    data["grants"] = [{"app": "shop", "apis": ["usr"]}]
    code, output = check(tmp_path, data, "--without-secrets")
    assert (code, "did you mean `user`" in output, "1 mistake " in output) == (1, True, True)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("grants: [{app: a, apis: [b], until: 2027-02-30}]", "grants[0].until: no such date or time exists"),
        ("grants: [{app: a, apis: [b], until: 2027-02-30T25:00:00Z}]", "grants[0].until: "),
        ("drain: !!int s3cr3t", "drain: cannot be read as it is written; put it in quotes"),
        ("groups: [{id: web, domains: [a.example.com}]", "not valid YAML"),
        ("groups: [{id: web, domains: [a.example.com", "not valid YAML"),
        ("groups: [{id: 'web, domains: [a.example.com]}]", "not valid YAML"),
        ('groups: [{id: "web, domains: [a.example.com]}]', "not valid YAML"),
    ],
)
def test_a_line_that_breaks_off_or_names_no_date_is_told_by_its_number(tmp_path, line, told):
    text = f"listen: [{{address: '127.0.0.1:9191'}}]\n\n{line}\n\nlimits:\n  in_flight: 5\n"
    code, output = check(tmp_path, text)
    assert code == 1
    assert f"extauthz.yaml:3: {told}" in output
    assert "s3cr3t" not in output


def test_warnings_are_printed_and_do_not_change_the_exit_code(tmp_path):
    data = FILE | {"apps": [{"id": "shop", "app_codes": ["k8x2m9qz-4t"]}]}
    code, output = check(tmp_path, data)
    assert code == 0
    assert f"warning: {tmp_path}/extauthz.yaml:" in output
    assert "has 11 characters" in output
