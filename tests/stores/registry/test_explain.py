"""Explaining over a registry: by the replica of this host while it is kept fresh, else by the database itself."""

import json

import pytest
import yaml
from typer.testing import CliRunner

from extauthz.cli.main import app
from extauthz.registry import credentials, grants
from tests.mistaken_client import Call, Client
from tests.stores.registry.conftest import MASTER_KEY
from tests.stores.registry.desk import MAPS, SHOP
from tests.stores.registry.test_serving import KEY, write_master_keys
from tests.unit.building import NOW_MS


@pytest.fixture
def secret(desk):
    """The secret of an AppKey of the registry, whose app was granted API `geocode`."""
    desk.do(lambda tx: grants.grant(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
    return desk.do(lambda tx: credentials.create_key(tx, desk.vault, SHOP, "shop-web", KEY)).app_secret


def explained(tmp_path, database, replica, secret, **changes):
    config = {
        "listen": [{"address": "127.0.0.1:9191"}],
        "groups": [{"id": "maps", "domains": ["*"]}],
        "apis": [{"id": "geocode", "group": "maps", "methods": ["GET"], "path": "/v1/orders",
                  "auth": {"internet": "digest"}}],
        "registry": {"database": database, "master_keys": {"file": "master.keys"},
                     "replica": {"folder": str(replica)}},
    }  # fmt: skip
    write_master_keys(tmp_path, MASTER_KEY)
    (tmp_path / "extauthz.yaml").write_text(yaml.safe_dump(config))
    client = Client(Call())
    client.lines["X-Ca-Key"] = client.wire["X-Ca-Key"] = KEY
    client.secret = secret.encode()
    for name, value in changes.items():
        setattr(client, name, value)
    arguments = ["explain", "-c", str(tmp_path / "extauthz.yaml"), "--at", str(NOW_MS), "--json"]
    result = CliRunner().invoke(app, arguments, input=client.send().raw())
    assert secret not in result.output
    return json.loads(result.stdout)


def test_an_app_of_the_registry_is_explained_by_the_database(desk, secret, database, tmp_path):
    told = explained(tmp_path, database, tmp_path / "no-replica", secret)
    assert (told["outcome"], told["app"]) == ("allow", "shop-web")
    told = explained(tmp_path, database, tmp_path / "no-replica", secret, accept="")
    assert told["diagnosis"]["explanations"][0][0]["name"] == "accept_added"
    assert not (tmp_path / "no-replica").exists()


def test_the_secret_of_another_key_of_the_same_app_is_named(desk, secret, database, tmp_path):
    other = desk.do(lambda tx: credentials.create_key(tx, desk.vault, SHOP, "shop-web", "shop-key-0002")).app_secret
    told = explained(tmp_path, database, tmp_path / "no-replica", other)
    ((finding,),) = told["diagnosis"]["explanations"]
    assert finding["name"] == "other_secret"
    assert "AppKey shop-key-0002 of the same app" in finding["detail"]
    assert secret not in str(told)


def test_an_app_of_the_registry_is_explained_by_the_replica_of_this_host(desk, secret, database, host, tmp_path):
    host.start()
    host.follows(desk.store)
    host.replica = None  # one process opens a file once
    told = explained(tmp_path, database, host.folder.path, secret)
    assert (told["outcome"], told["app"]) == ("allow", "shop-web")
    desk.do(lambda tx: grants.revoke(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
    assert explained(tmp_path, database, tmp_path / "no-replica", secret)["reason"] == "not_granted"


def test_a_registry_that_cannot_be_read_is_told_without_its_url(tmp_path):
    told = tmp_path / "extauthz.yaml"
    write_master_keys(tmp_path, MASTER_KEY)
    told.write_text(
        "listen: [{address: '127.0.0.1:9191'}]\ngroups: [{id: a, domains: ['*']}]\n"
        "apis: [{id: a, group: a, methods: [GET], path: /, auth: {internet: digest}}]\n"
        "registry: {database: 'postgresql://me:my-password@127.0.0.1:1/x', master_keys: {file: master.keys}}\n"
    )
    result = CliRunner().invoke(app, ["explain", "-c", str(told)], input="GET / HTTP/1.1\n")
    assert result.exit_code == 2
    assert "cannot be read" in result.output
    assert "my-password" not in result.output
