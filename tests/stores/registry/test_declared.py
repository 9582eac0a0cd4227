"""A file that declares the registry: planned, applied whole or not at all, pruned, exported and applied again."""

import base64
import json
import re
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from extauthz.cli.main import app as command
from extauthz.registry import audit, codes, credentials, grants
from extauthz.registry.database.sealing import Sealer, new_master_key
from extauthz.registry.database.store import Store
from tests.stores.registry.desk import ADMIN, View

SECRET = "kYf83hdKq0_first-secret"
LATER = "pQ72jsMw5_second-secret"
UNTIL = "2099-01-31T00:00:00Z"
CODE = "c0de5f2a97d14e0b8c63"
CONFIG = {
    "listen": [{"address": "127.0.0.1:9191"}],
    "groups": [{"id": "g", "domains": ["*"]}],
    "apis": [{"id": "geocode", "group": "g", "methods": ["GET"], "path": "/g", "auth": {"internet": "digest"}}],
    "apps": [{
        "id": "of-the-file", "owner": "shop", "keys": [{"app_key": "file-key-0001", "app_secret": "Xk29fj3Lq8d0vB"}],
        "app_codes": ["7f3b9c81d2e64a50"],
    }],
}  # fmt: skip
DECLARED: dict[str, Any] = {
    "owners": [{"id": "maps", "description": "The map people"}],
    "apis": [{"id": "geocode", "owner": "maps", "stages": ["RELEASE", "TEST"]}],
    "apps": [{
        "id": "shop-web", "owner": "shop", "name": "Web shop", "app_codes": [CODE],
        "keys": [{"app_key": "shop-key-0001", "app_secret": SECRET}],
    }],
    "grants": [{"app": "shop-web", "apis": ["geocode"], "stages": ["RELEASE", "TEST"], "until": UNTIL}],
}  # fmt: skip


class Files:
    """A configuration, its registry, and the commands at work there."""

    def __init__(self, folder, database):
        self.folder = folder
        (folder / "master.keys").write_text(new_master_key())
        registry = {"database": database, "master_keys": {"file": "master.keys"}}
        (folder / "extauthz.yaml").write_text(yaml.safe_dump({**CONFIG, "registry": registry}))
        self.run("migrate")

    def run(self, *arguments, code=0):
        done = CliRunner().invoke(
            command, ["registry", *arguments], env={"EXTAUTHZ_CONFIG": str(self.folder / "extauthz.yaml")}
        )
        assert done.exit_code == code, done.output
        return done

    def apply(self, declared, *options):
        """What was changed: action, kind and name."""
        rows = json.loads(self.run("apply", self.write(declared), "--json", "--yes", *options).stdout)
        return [(row["action"], row["kind"], row["name"]) for row in rows]

    def refuse(self, declared, *options):
        return self.run("apply", self.write(declared), "--yes", *options, code=1).stderr

    def write(self, declared):
        file = self.folder / "registry.yaml"
        file.write_text(yaml.safe_dump(declared, sort_keys=False))
        return str(file)


@pytest.fixture
def files(tmp_path, empty_database):
    return Files(tmp_path, empty_database)


@pytest.fixture
def desk(files, empty_database):
    """The same registry, as services see it."""
    store = Store(empty_database)
    yield View(store, Sealer([base64.b64decode((files.folder / "master.keys").read_text())]))
    store.close()


def changed(declared, **sections):
    return {**declared, **sections}


def test_what_a_file_declares_is_made_in_one_transaction_and_a_second_time_changes_nothing(files, desk):
    assert files.apply(DECLARED, "--dry-run") == files.apply(DECLARED)
    assert files.apply(DECLARED) == []
    made = desk.see(grants.list_grants, ADMIN, app_id="shop-web")
    assert [(one.stage, one.until[:10]) for one in made] == [("RELEASE", "2099-01-31"), ("TEST", "2099-01-31")]
    assert desk.secret("shop-key-0001") == SECRET
    assert len(desk.see(codes.list_codes, ADMIN, "shop-web")) == 1


def test_a_dry_run_changes_nothing_at_all(files, desk):
    before = desk.everything()
    assert ("create", "app", "shop-web") in files.apply(DECLARED, "--dry-run")
    assert desk.everything() == before


def test_one_mistake_is_told_with_its_line_and_nothing_is_applied(files, desk):
    wrong = changed(DECLARED, grants=[{"app": "shop-web", "apis": ["geocode", "missing"]}])
    before = desk.everything()
    told = re.search(r"registry.yaml:(\d+): grants\[0\].apis\[1\]: API `missing` does not exist", files.refuse(wrong))
    assert (files.folder / "registry.yaml").read_text().splitlines()[int(told[1]) - 1].strip() == "- missing"
    assert desk.everything() == before


def test_every_mistake_is_told_at_once(files):
    wrong = {"apps": [{"id": "a", "owner": "o", "name": "x"}, {"id": "shop/web", "owner": "o"}], "grnts": []}
    told = files.refuse(wrong)
    assert "did you mean `grants`?" in told
    assert "apps[1].id: must be a name" in told
    wrong = {
        "apps": [{"id": "a", "owner": "o", "name": "x"}, {"id": "b", "owner": "o", "keys": [{"app_key": "short"}]}]
    }
    told = files.refuse(wrong)
    assert "apps[0]: name: must be 4 to 26" in told
    assert "apps[1].keys[0]: app_key: must be 8 to 128" in told


def test_what_the_file_does_not_name_stays_unless_it_is_pruned(files, desk):
    files.apply(DECLARED)
    less = changed(DECLARED, grants=[{"app": "shop-web", "apis": ["geocode"], "until": "2099-01-31T00:00:00Z"}])
    assert files.apply(less) == [("keep", "grant", "shop-web/geocode/TEST")]
    assert len(desk.see(grants.list_grants, ADMIN)) == 2
    assert files.apply(less, "--prune") == [("delete", "grant", "shop-web/geocode/TEST")]
    assert [one.stage for one in desk.see(grants.list_grants, ADMIN)] == ["RELEASE"]


def test_pruning_asks_before_it_deletes(files, desk):
    files.apply(DECLARED)
    file = files.write({"apps": [], "grants": []})
    files.run("apply", file, "--prune", code=1)
    assert len(desk.see(grants.list_grants, ADMIN)) == 2


def test_pruning_goes_through_apps_apis_and_owners(files):
    files.apply(DECLARED)
    gone = files.apply({"owners": [], "apis": [], "apps": []}, "--prune")
    assert ("delete", "grant", "shop-web/geocode/RELEASE") in gone
    assert [one for one in gone if one[1] != "grant"] == [
        ("delete", "app", "shop-web"), ("delete", "api", "geocode"), ("delete", "owner", "maps"),
        ("delete", "owner", "shop"),
    ]  # fmt: skip


def test_a_secret_is_rotated_with_overlap_and_the_older_one_taken_out(files, desk):
    files.apply(DECLARED)
    (app,) = DECLARED["apps"]
    key = {"app_key": "shop-key-0001", "app_secret": LATER}
    both = {**key, "previous": {"secret": SECRET, "until": "2099-01-01T00:00:00Z"}}
    assert files.apply({"apps": [{**app, "keys": [both]}]}) == [("change", "key", "shop-key-0001")]
    assert files.apply({"apps": [{**app, "keys": [both]}]}) == []
    assert desk.see(credentials.get_key, ADMIN, "shop-key-0001").previous_until == "2099-01-01T00:00:00.000Z"
    assert files.apply({"apps": [{**app, "keys": [key]}]}) == [("change", "key", "shop-key-0001")]
    assert desk.see(credentials.get_key, ADMIN, "shop-key-0001").previous_until is None
    assert desk.secret("shop-key-0001") == LATER


def test_a_key_without_a_secret_keeps_the_one_that_it_has(files, desk):
    files.apply(DECLARED)
    (app,) = DECLARED["apps"]
    assert files.apply({"apps": [{**app, "keys": [{"app_key": "shop-key-0001"}]}]}) == []
    assert desk.secret("shop-key-0001") == SECRET


def test_a_grant_that_has_ended_opens_nothing_and_closes_what_was_open(files, desk):
    ended = changed(DECLARED, grants=[{"app": "shop-web", "apis": ["geocode"], "until": "2024-01-31T00:00:00Z"}])
    assert ("skip", "grant", "shop-web/geocode/RELEASE") in files.apply(ended)
    files.apply(DECLARED)
    assert ("delete", "grant", "shop-web/geocode/RELEASE") in files.apply(ended)
    assert [one.stage for one in desk.see(grants.list_grants, ADMIN)] == ["TEST"]


def test_apps_and_apis_do_not_change_hands(files):
    files.apply(DECLARED)
    (app,), (api,) = DECLARED["apps"], DECLARED["apis"]
    told = files.refuse({"apis": [{**api, "owner": "shop"}], "apps": [{**app, "owner": "maps"}]})
    assert "API `geocode` belongs to `maps`" in told
    assert "app `shop-web` belongs to `shop`" in told


def test_what_was_exported_makes_the_same_registry_elsewhere(files, desk, tmp_path_factory):
    files.apply(DECLARED)
    exported = files.folder / "exported.yaml"
    told = files.run("export", "--output", str(exported), "--secrets", str(files.folder / "secrets")).stderr
    assert "1 AppCode left out" in told
    assert SECRET not in exported.read_text()
    secret = files.folder / "secrets" / "shop-key-0001"
    assert (secret.read_text(), secret.stat().st_mode & 0o777) == (SECRET, 0o600)
    assert ("reveal_secret", "key/shop-key-0001") in {
        (one.action, one.target) for one in desk.see(audit.list_audit, ADMIN)
    }
    assert json.loads(files.run("apply", str(exported), "--json").stdout) == []
    other = Files(tmp_path_factory.mktemp("other"), f"sqlite:///{files.folder / 'other.db'}")
    rows = json.loads(other.run("apply", str(exported), "--json").stdout)
    assert {row["kind"] for row in rows} == {"owner", "api", "app", "key", "grant"}


def test_an_export_without_secrets_holds_none_and_applies_without_changing_them(files):
    files.apply(DECLARED)
    text = files.run("export").stdout
    assert SECRET not in text
    assert CODE not in text
    assert files.apply(yaml.safe_load(text)) == []


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"id": "of-the-file", "owner": "shop"}, "app `of-the-file` stands in"),
        ({"id": "other", "owner": "shop", "keys": [{"app_key": "file-key-0001"}]}, "AppKey `file-key-0001` stands in"),
        ({"id": "other", "owner": "shop", "app_codes": ["7f3b9c81d2e64a50"]}, "this AppCode stands in"),
    ],
)  # fmt: skip
def test_a_name_that_the_configuration_file_has_is_refused_with_both_places(files, entry, told):
    message = files.refuse({"apps": [entry]})
    assert told in message
    assert "registry.yaml:2: " in message or "registry.yaml:5: " in message
    assert "extauthz.yaml:" in message
    assert "7f3b9c81d2e64a50" not in message
