"""The commands work at a registry behind its admin API as they do at its database."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import extauthz.cli as commands
from extauthz.cli.main import app
from extauthz.cli.registry import remote
from extauthz.registry import tokens
from tests.stores.admin.live import AdminProcess
from tests.stores.registry.desk import ADMIN, MAPS

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def process(database, tmp_path):
    made = AdminProcess(tmp_path, database).start()
    yield made
    made.stop()


class Operator:
    """Somebody at a keyboard, with a token of the API and no database."""

    def __init__(self, desk, url: str, who=ADMIN) -> None:
        value = desk.do(
            lambda tx: tokens.create_token(tx, desk.vault, ADMIN, f"{who.name} cli", who.role, who.owner_id)
        ).value
        self._environment = {"EXTAUTHZ_API": url, "EXTAUTHZ_TOKEN": value, "EXTAUTHZ_CONFIG": ""}

    def work_at(self, config: Path) -> None:
        """With the database itself, from now on."""
        self._environment = {"EXTAUTHZ_API": "", "EXTAUTHZ_TOKEN": "", "EXTAUTHZ_CONFIG": str(config)}

    def fails(self, *arguments: str) -> str:
        done = CliRunner().invoke(app, arguments, env=self._environment)
        assert done.exit_code == 1, done.output
        return done.stderr

    def says(self, *arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, arguments, env=self._environment)
        assert done.exit_code == code, (arguments, done.output, done.exception)
        return done.stdout

    def gets(self, *arguments: str, code: int = 0):
        return json.loads(self.says(*arguments, "--json", code=code))


@pytest.mark.parametrize("place", ["API", "database"])
def test_every_command_works_alike_over_the_api_and_at_the_database(desk, process, place):
    ops = Operator(desk, process.url)
    if place == "database":
        ops.work_at(process.config)
    assert ops.gets("owners", "create", "tiles")["id"] == "tiles"
    assert [one["id"] for one in ops.gets("owners", "list", "--after", "maps")] == ["shop", "tiles"]
    ops.says("owners", "delete", "tiles", "--yes")
    assert ops.gets("apps", "create", "two", "--owner", "shop", "--name", "Second app")["version"] == 1
    assert ops.gets("apps", "disable", "two")["disabled"] is True
    assert ops.gets("apps", "enable", "two")["disabled"] is False
    assert [one["id"] for one in ops.gets("apps", "list", "--owner", "shop", "--limit", "1")] == ["shop-web"]
    made = ops.gets("keys", "create", "two", "--app-key", "two-key-0001")
    rotated = ops.gets("keys", "rotate", "two-key-0001", "--overlap", "+1h")
    assert (rotated["previous_until"] is None, rotated["app_secret"] == made["app_secret"]) == (False, False)
    assert ops.says("keys", "reveal", "two-key-0001").strip() == rotated["app_secret"]
    assert ops.gets("keys", "end-previous", "two-key-0001")["previous_until"] is None
    ops.says("keys", "create", "two", "--app-key", "two-key-0002")
    ops.says("keys", "delete", "two-key-0002", "--yes")
    assert [one["app_key"] for one in ops.gets("keys", "list", "two")] == ["two-key-0001"]
    code = ops.gets("codes", "create", "two")
    assert [one["id"] for one in ops.gets("codes", "list", "two")] == [code["id"]]
    ops.says("codes", "delete", code["id"], "--yes")
    assert ops.gets("apis", "register", "tile", "--owner", "maps", "--stage", "TEST")["stages"] == ["TEST"]
    assert [one["id"] for one in ops.gets("apis", "list")] == ["geocode", "tile"]
    granted = ops.gets("grants", "create", "--app", "two", "--app", "shop-web", "--api", "geocode", "--until", "+30d")
    assert [one["app"] for one in granted] == ["two", "shop-web"]
    assert [one["app"] for one in ops.gets("grants", "list", "--ends-before", "+31d")] == ["shop-web", "two"]
    assert "1 grant is revoked" in ops.says("grants", "revoke", "--app", "two", "--api", "geocode")
    asked = ops.gets("requests", "ask", "two", "geocode", "--why", "for maps", "--stage", "test")
    assert ops.gets("can", "two", "geocode", "--stage", "TEST", code=2)["reason"] == "not_granted"
    assert ops.gets("requests", "approve", asked["id"])["state"] == "approved"
    assert ops.gets("can", "two", "geocode", "--stage", "TEST")["may"] is True
    if place == "API":  # at the database they are asked of the file's APIs, and this file has none
        assert [one["app"] for one in ops.gets("who-can", "geocode", "--stage", "TEST")] == ["two"]
        assert [one["api"] for one in ops.gets("what-can", "two")] == ["geocode"]
    asked = ops.gets("requests", "ask", "two", "geocode", "--why", "for maps")
    assert ops.gets("requests", "refuse", asked["id"], "--answer", "no")["answer"] == "no"
    assert ops.gets("requests", "list", "--state", "pending") == []
    token = ops.gets("tokens", "create", "--name", "a reader", "--role", "reader")
    assert token["id"] in ops.says("tokens", "list")
    ops.says("tokens", "delete", token["id"], "--yes")
    assert "geocode (TEST)" in ops.says("apps", "delete", "two", "--yes")
    assert "shop-web (RELEASE)" in ops.says("apis", "delete", "geocode", "--yes")
    assert [one["action"] for one in ops.gets("audit", "--limit", "2")] == ["delete_api", "delete_app"]
    assert json.loads(process.run("audit", "--json", "--limit", "9")) == ops.gets("audit", "--limit", "9")


def test_what_the_api_refuses_is_told_in_its_words_and_the_commands_name_one_registry(desk, process, monkeypatch):
    maps = Operator(desk, process.url, MAPS)
    assert "app `shop-web` does not exist (request " in maps.fails("apps", "disable", "shop-web")
    assert "this needs the registry's database itself" in maps.fails("registry", "reseal")
    assert "say which registry is meant" in maps.fails("apps", "list", "--config", str(process.config))
    process.stop()
    assert "the admin API cannot be reached" in maps.fails("apps", "list")
    for url, told in (("admin:9902", "is a URL"), ("ftp://admin", "is a URL")):
        assert told in Operator.fails(type("Lost", (), {"_environment": maps._environment | {"EXTAUTHZ_API": url}})(),
                                      "apps", "list")  # fmt: skip
    monkeypatch.delenv("EXTAUTHZ_TOKEN", raising=False)
    maps._environment.pop("EXTAUTHZ_TOKEN")
    assert "EXTAUTHZ_TOKEN is not set" in maps.fails("apps", "list")


def test_every_service_that_a_command_calls_has_a_route(database):
    called = set()
    for file in Path(commands.__path__[0]).rglob("*.py"):
        called |= {name.rpartition(".")[2] for name in re.findall(r"desk\.do\(([\w.]+)", file.read_text())}
    assert called == {service.__name__ for service in remote._ROUTES}
