"""Who may call what over file and registry, on both databases, and over the admin API's questions."""

import base64
import json

import pytest
import yaml
from typer.testing import CliRunner

from extauthz.access.registry_view import RegistryView
from extauthz.cli.main import app
from extauthz.domain.request import Stage
from extauthz.registry import apis, apps, credentials, grants
from tests.stores.registry.conftest import MASTER_KEY
from tests.stores.registry.desk import MAPS, SHOP
from tests.unit.config.writing import config

DAY_MS = 86_400_000


@pytest.fixture
def busy(desk):
    """`shop-web` has a key and may call `user` for ten days; `keyless` may too, and has no credential."""
    desk.now = desk.store.now_ms()
    desk.do(lambda tx: apps.create_app(tx, SHOP, "keyless", "shop", "An app"))
    desk.do(lambda tx: apis.register_api(tx, MAPS, "user", "maps"))
    desk.do(lambda tx: credentials.create_key(tx, desk.vault, SHOP, "shop-web", "shop-web-key-1"))
    until_ms = desk.now + 10 * DAY_MS
    desk.do(lambda tx: grants.grant(tx, MAPS, ["shop-web", "keyless"], ["user"], "RELEASE", until_ms=until_ms))
    return desk


@pytest.fixture
def file(busy, database, tmp_path):
    """A configuration that has `user`, with the registry behind it."""
    (tmp_path / "database").write_text(database)
    (tmp_path / "master").write_text(base64.b64encode(MASTER_KEY).decode())
    data = config(grants=[], apps=[{"id": "filed", "app_codes": ["b7f0c1d29e834a56"]}])
    data["registry"] = {"database": {"file": "database"}, "master_keys": {"file": "master"}}
    file = tmp_path / "extauthz.yaml"
    file.write_text(yaml.safe_dump(data))
    return file


@pytest.fixture
def ask(file):
    """Run a command over that configuration."""

    def run(*arguments, code=0):
        done = CliRunner().invoke(app, [*arguments, "-c", str(file), "--json"], env={"EXTAUTHZ_API": None})
        assert done.exit_code == code, done.output
        return json.loads(done.stdout)

    return run


def test_a_view_of_the_registry_knows_apps_grants_and_whose_a_key_is(busy):
    with busy.store.reading() as view:
        seen = RegistryView(view)
        assert (seen.app("shop-web").owner, seen.app("nobody")) == ("shop", None)
        assert seen.grant("shop-web", "user", Stage.RELEASE).until_ms == busy.now + 10 * DAY_MS
        assert seen.grant("shop-web", "user", Stage.TEST) is None
        pair = seen.key_pair(b"shop-web-key-1")
        assert (pair.app_id, pair.previous, len(pair.secret)) == ("shop-web", None, 32)
        assert pair.secret != seen.key_pair(b"shop-web-key-1").secret, "nobody can sign with what stands in for it"
        assert seen.key_pair(b"nobody") is None
        assert seen.apps_granted("user", 1) == ["keyless"]


def test_the_registry_behind_a_file_decides_as_the_file_does(ask):
    assert ask("can", "shop-web", "user")["reason"] == "allowed"
    assert ask("can", "shop-web", "user", "--at", "+11d", code=2)["reason"] == "grant_expired"
    assert ask("can", "keyless", "user", code=2)["reason"] == "no_credential"
    assert ask("can", "filed", "user", code=2)["reason"] == "not_granted"
    assert [row["app"] for row in ask("who-can", "user")] == ["shop-web"]
    assert [row["api"] for row in ask("what-can", "shop-web")] == ["user"]


def test_of_an_api_that_the_file_does_not_have_the_registry_answers_alone(ask):
    assert ask("can", "shop-web", "geocode", code=2)["reason"] == "not_granted"


def test_the_lint_looks_into_the_registry_behind_a_file(file):
    done = CliRunner().invoke(app, ["lint", str(file), "--json"])
    assert done.exit_code == 0, done.output
    told = {(one["id"], one["detail"].split("`")[1]) for one in json.loads(done.stdout) if one["path"] == "registry"}
    assert {("registry-app-without-credential", "keyless"), ("registry-grant-ends-soon", "shop-web")} <= told
    offline = CliRunner().invoke(app, ["lint", str(file), "--json", "--offline"])
    assert not [one for one in json.loads(offline.stdout) if one["id"].startswith("registry-")]


def test_a_rehearsal_asks_the_registry_whose_a_key_is_and_what_its_app_may(file, tmp_path):
    line = {
        "time": "2026-11-23T18:16:57.236Z", "request_id": "A", "decision": "allow", "reason": "allowed", "api": "user",
        "stage": "RELEASE", "method": "digest", "network": "internet", "http": "GET api.example.com/users",
        "peer": "192.0.2.1",
    }  # fmt: skip
    apps_and_keys = [("shop-web", "key/shop-web-key-1"), ("keyless", "key/shop-web-key-1"), ("gone", "key/gone")]
    log = tmp_path / "decisions.jsonl"
    log.write_text(
        "".join(json.dumps(line | {"app_id": name, "credential": key}) + "\n" for name, key in apps_and_keys)
    )
    done = CliRunner().invoke(app, ["rehearse", "--log", str(log), "-c", str(file), "--json"])
    assert done.exit_code == 0, done.output
    lost = {(one["app"], one["reasons"][0]["would_be"]) for one in json.loads(done.stdout)["changes"]}
    assert lost == {("keyless", "app_key_unknown"), ("gone", "app_key_unknown")}


def test_that_not_every_app_was_looked_at_is_said(file):
    def asked(*more):
        done = CliRunner().invoke(app, ["who-can", "user", "-c", str(file), *more], env={"EXTAUTHZ_API": None})
        assert done.exit_code == 0, done.output
        return done.stderr

    assert "only the first 1 apps" in asked("--limit", "1")
    assert "only the first" not in asked()
