"""The feed: whatever happens in the registry, following it ends where reading it anew would."""

import random

import pytest

from extauthz.domain.app import App, Grant, KeyPair, hash_app_code
from extauthz.domain.request import Stage
from extauthz.domain.snapshot.directory import JoinedDirectory, build_directory
from extauthz.registry import apis, apps, credentials, grants
from extauthz.registry.errors import RegistryError
from extauthz.registry.feed import Feed
from extauthz.registry.sealing import Sealer
from extauthz.registry.store import vault_of
from tests.stores.registry.desk import ADMIN, MAPS, SHOP

RELEASE = Stage.RELEASE


def contents(directory):
    return {
        "apps": {key: (app.owner, app.disabled) for key, app in directory._apps.items()},
        "keys": {key: (pair.app_id, pair.secret, pair.previous) for key, pair in directory._key_pairs.items()},
        "codes": dict(directory._app_codes.items()),
        "grants": {key: grant.until_ms for key, grant in directory._grants.items()},
    }


def test_a_change_is_followed_and_no_change_is_the_same_directory(desk):
    feed = Feed(desk.store, desk.vault)
    first = feed.load()
    assert feed.follow(first) is first
    made = desk.do(lambda tx: credentials.create_key(tx, desk.vault, SHOP, "shop-web", "shop-key-0001"))
    desk.do(lambda tx: grants.grant(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
    second = feed.follow(first)
    assert second.key_pair(b"shop-key-0001").secret == made.app_secret.encode()
    assert second.grant("shop-web", "geocode", RELEASE) is not None
    assert first.key_pair(b"shop-key-0001") is None
    desk.do(lambda tx: grants.revoke(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
    assert feed.follow(second).grant("shop-web", "geocode", RELEASE) is None


def test_following_ends_where_reading_anew_would(desk):
    dice = random.Random(7)
    feed = Feed(desk.store, desk.vault)
    followed = feed.load()
    names = [f"app-{number}" for number in range(4)]
    acts = [
        lambda tx, name: apps.create_app(tx, SHOP, name, "shop", "Some app"),
        lambda tx, name: apps.change_app(tx, SHOP, name, disabled=dice.random() < 0.5),
        lambda tx, name: apps.delete_app(tx, SHOP, name),
        lambda tx, name: credentials.create_key(tx, desk.vault, SHOP, name, f"key-of-{name}-{dice.randrange(3)}"),
        lambda tx, name: credentials.rotate_key(tx, desk.vault, SHOP, f"key-of-{name}-1", dice.choice([0, 60_000])),
        lambda tx, name: credentials.delete_key(tx, SHOP, f"key-of-{name}-2"),
        lambda tx, name: credentials.create_code(tx, desk.vault, SHOP, name),
        lambda tx, name: grants.grant(tx, MAPS, [name], ["geocode"], dice.choice(["TEST", "RELEASE"])),
        lambda tx, name: grants.revoke(tx, MAPS, [name], ["geocode"], "RELEASE"),
        lambda tx, name: apis.delete_api(tx, MAPS, "geocode"),
        lambda tx, name: apis.register_api(tx, MAPS, "geocode", "maps", stages=("RELEASE", "TEST")),
    ]
    refused = 0
    for number in range(120):
        act, name = dice.choice(acts), dice.choice(names)
        try:
            desk.do(lambda tx, act=act, name=name: act(tx, name))
        except RegistryError:
            refused += 1
        if number % 3 == 0:
            followed = feed.follow(followed)
            assert contents(followed) == contents(Feed(desk.store, desk.vault).load())
    assert refused < 100
    assert contents(feed.follow(followed)) == contents(Feed(desk.store, desk.vault).load())


def test_a_restored_backup_leaves_nothing_behind_that_it_does_not_have(desk, database, sealer):
    feed = Feed(desk.store, desk.vault)
    followed = feed.load()
    desk.do(lambda tx: grants.grant(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
    followed = feed.follow(followed)
    with desk.store.changing() as tx:  # the tables as they were before the last revision
        for statement in ("DELETE FROM grants", "DELETE FROM changes", "UPDATE revision SET number = 1"):
            tx.connection.exec_driver_sql(statement)
    assert feed.follow(followed).grant("shop-web", "geocode", RELEASE) is None


def test_a_secret_that_no_master_key_opens_lets_nobody_call_and_is_named(desk):
    desk.do(lambda tx: credentials.create_key(tx, desk.vault, SHOP, "shop-web", "shop-key-0001"))
    feed = Feed(desk.store, desk.vault)
    with desk.store.changing() as tx:
        tx.connection.exec_driver_sql("UPDATE key_pairs SET app_key = 'moved-key-0001'")
    assert feed.load().key_pair(b"moved-key-0001") is None
    assert feed.unreadable == {"moved-key-0001"}


def test_a_registry_does_not_open_without_its_master_key(desk):
    from extauthz.registry.sealing import SealBroken

    with desk.store.reading() as view, pytest.raises(SealBroken):
        vault_of(view, Sealer([bytes(32)]))


def test_an_appcode_of_the_registry_is_found_by_the_hash_that_a_check_makes(desk):
    made = desk.do(lambda tx: credentials.create_code(tx, desk.vault, SHOP, "shop-web"))
    joined = JoinedDirectory(build_directory("f", [], [], [], []), Feed(desk.store, desk.vault).load(), desk.vault.hash)
    assert joined.app_of_code(hash_app_code(made.app_code.encode())).id == "shop-web"
    assert joined.app_of_code(hash_app_code(b"another code")) is None


def test_no_app_of_the_registry_calls_with_the_grants_of_the_files_app(desk):
    desk.do(lambda tx: credentials.create_key(tx, desk.vault, SHOP, "shop-web", "shop-key-0001"))
    made = desk.do(lambda tx: credentials.create_code(tx, desk.vault, SHOP, "shop-web"))
    file = build_directory(
        "f", [App("shop-web", "somebody")], [KeyPair("shop-web", "file-key-0001", b"x")], [],
        [Grant("shop-web", "secret-api", RELEASE)],
    )  # fmt: skip
    joined = JoinedDirectory(file, Feed(desk.store, desk.vault).load(), desk.vault.hash)
    assert joined.key_pair(b"shop-key-0001") is None
    assert joined.app_of_code(hash_app_code(made.app_code.encode())) is None
    assert joined.key_pair(b"file-key-0001") is not None
    assert joined.conflicts() == ["shop-web"]


def test_a_dump_holds_no_secret_no_code_and_no_token(desk, database):
    from extauthz.registry import tokens
    from extauthz.registry.rules import Role

    key = desk.do(lambda tx: credentials.create_key(tx, desk.vault, SHOP, "shop-web"))
    rotated = desk.do(lambda tx: credentials.rotate_key(tx, desk.vault, SHOP, key.key.app_key, 60_000))
    code = desk.do(lambda tx: credentials.create_code(tx, desk.vault, SHOP, "shop-web"))
    token = desk.do(lambda tx: tokens.create_token(tx, desk.vault, ADMIN, "ops team", Role.ADMIN, None))
    dump = repr(desk.everything())
    if database.startswith("sqlite"):
        from pathlib import Path

        folder = Path(database.removeprefix("sqlite:///")).parent
        dump += "".join(file.read_bytes().decode("latin-1") for file in folder.iterdir())
    for secret in (key.app_secret, rotated.app_secret, code.app_code, token.value):
        assert secret not in dump
        assert secret not in repr((key, rotated, code, token))
    with desk.store.reading() as view:
        assert tokens.actor_of(view, desk.vault, token.value, desk.store.now_ms()).role is Role.ADMIN
        assert tokens.actor_of(view, desk.vault, token.value + "x", desk.store.now_ms()) is None
