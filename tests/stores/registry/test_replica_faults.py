"""What happens to a replica: killed writers, damage, a database that goes and comes. No wrong answer, ever."""

import random
import re
import signal

import pytest
from sqlalchemy import insert

from extauthz.domain.request import Stage
from extauthz.domain.snapshot.directory import DirectoryUnavailable
from extauthz.registry import apps, codes, credentials, grants
from extauthz.registry.database.tables import APPS, GRANTS
from tests.stores.registry.conftest import MASTER_KEY
from tests.stores.registry.desk import ADMIN, MAPS
from tests.stores.registry.following import Seen, eventually, in_registry


@pytest.fixture
def populated(desk):
    """A registry with enough in it that the replica has several levels of pages."""
    desk.do(lambda tx: grants.grant(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
    for number in range(20):
        name = f"app-{number}"
        desk.do(lambda tx, name=name: apps.create_app(tx, ADMIN, name, "shop", "Some app"))
        desk.do(lambda tx, name=name: credentials.create_key(tx, desk.vault, ADMIN, name, f"key-of-{name}"))
        desk.do(lambda tx, name=name: codes.create_code(tx, desk.vault, ADMIN, name))
    fill(desk, 3_000)
    return desk


def fill(desk, count):
    rows = [
        {"id": f"filler-{number}", "owner_id": "shop", "name": "Filler", "description": "", "disabled": False,
         "created_ms": 0, "version": 1} for number in range(count)
    ]  # fmt: skip
    granted = [
        {"app_id": row["id"], "api_id": "geocode", "stage": "RELEASE", "side": "provider", "granted_by": "maps",
         "description": "", "created_ms": 0} for row in rows
    ]  # fmt: skip
    with desk.store.changing() as tx:
        tx.connection.execute(insert(APPS), rows)
        tx.connection.execute(insert(GRANTS), granted)
        tx.changed("app", "filler-0")


def agrees(desk, host, seen=None):
    held = in_registry(desk.store, desk.vault)
    return (seen or Seen()).in_replica(held, host.follows(desk.store)) == held


def the_file(host):
    return host.folder.path / host.folder.current()


def test_a_writer_that_is_killed_while_it_reads_everything_leaves_nothing_half_read(desk, host):
    fill(desk, 20_000)
    host.start()
    eventually(lambda: any(file.stat().st_size > 300_000 for file in host.folder.path.glob("*.mdb")))
    host.kill()
    assert host.folder.current() == "", "too fast: it had read everything"
    assert not host.replica.look()
    host.start()
    assert host.follows(desk.store).sizes()["apps"] == 20_001
    eventually(lambda: len(list(host.folder.path.glob("*.mdb"))) == 1)  # others go once readers can take the new one


def test_a_writer_that_is_killed_while_it_follows_leaves_a_whole_revision(desk, host):
    dice = random.Random(3)
    host.start()
    seen = Seen()
    for number in range(6):
        for _ in range(5):
            name = f"app-{number}-{dice.random()}"
            desk.do(lambda tx, name=name: apps.create_app(tx, ADMIN, name, "shop", "Some app"))
            desk.do(lambda tx, name=name: grants.grant(tx, MAPS, [name], ["geocode"], "RELEASE"))
        if number % 2:
            eventually(lambda: host.folder.current())
        host.kill()
        host.start()
        assert agrees(desk, host, seen)


SLOW_REPLICATOR = """
import sys, time
from pathlib import Path
from extauthz.registry.replica import loading, replicator

read, hold = loading.everything, Path(sys.argv[1])

def slowly(view, sealer):
    entries = list(read(view, sealer))
    if hold.exists():
        hold.with_name("reading").touch()
    while hold.exists():
        time.sleep(0.02)
    yield from entries

loading.everything = slowly
sys.exit(replicator.main())
"""


def test_while_everything_is_read_again_changes_are_followed_and_nothing_goes_back(desk, host, tmp_path):
    def is_granted() -> bool:
        host.replica.look()
        seen.append(host.replica.directory.grant("shop-web", "geocode", Stage.RELEASE) is not None)
        return seen[-1]

    seen, hold = [], tmp_path / "hold"
    desk.do(lambda tx: grants.grant(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
    host.start("-c", SLOW_REPLICATOR, str(hold)).follows(desk.store)
    assert is_granted()
    name = host.folder.current()
    hold.touch()
    host.folder.report_damage(name)
    eventually(hold.with_name("reading").exists)
    desk.do(lambda tx: grants.revoke(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
    eventually(lambda: not is_granted(), why=host.log.read_text)
    assert host.folder.current() == name, "what is being read is of the revision before"
    seen.clear()
    hold.unlink()
    eventually(lambda: not is_granted() and host.folder.current() != name)
    assert agrees(desk, host)
    assert True not in seen, "what was revoked came back"


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bits_are_never_believed(populated, host, seed):
    dice = random.Random(seed)
    host.start()
    seen = Seen()
    assert agrees(populated, host, seen)
    host.stop()
    host.replica = None
    for _ in range(3):
        file = the_file(host)
        content = bytearray(file.read_bytes())
        for _ in range(dice.choice([1, 30, 3000])):
            content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        file.write_bytes(content)
        host.start()
        host.restart_reader()

        def holds() -> bool:
            try:
                return agrees(populated, host, seen)
            except DirectoryUnavailable:
                return False  # refused, not believed; and made anew

        eventually(holds, 30, lambda: host.log.read_text()[-2000:])
        host.stop()
        host.replica = None


@pytest.mark.parametrize("left", [0, 1, 4096, 8192, 100_000, -4096, -1])
def test_a_file_that_was_cut_off_is_made_anew(populated, host, left):
    host.start()
    assert agrees(populated, host)
    host.stop()
    host.replica = None
    file = the_file(host)
    file.write_bytes(file.read_bytes()[:left])
    host.start()
    host.restart_reader()
    assert agrees(populated, host)
    assert host.log.read_text().count("read whole") == 2


def test_a_replica_of_another_registry_is_replaced(populated, host, make_host, templates, tmp_path):
    import shutil

    host.start()
    host.follows(populated.store)
    host.stop()
    host.replica = None
    other = tmp_path / "other.db"
    shutil.copy(templates("sqlite").removeprefix("sqlite:///"), other)
    from extauthz.registry.database.store import Store

    store = Store(f"sqlite:///{other}")
    moved = make_host([MASTER_KEY], host.folder.path)
    moved.settings = moved.settings._replace(database=f"sqlite:///{other}")
    moved.start()
    assert moved.follows(store).sizes() == {"apps": 0, "keys": 0, "codes": 0, "grants": 0}
    store.close()


def test_a_record_that_was_altered_is_refused_and_the_replica_made_anew(populated, host):
    host.start()
    directory = host.follows(populated.store)
    file = the_file(host)
    record = directory._view.get(b"kkey-of-app-7")
    with file.open("r+b") as opened:  # seen by every process that has it mapped
        for found in re.finditer(re.escape(record), opened.read()):  # wherever a page has a copy of it
            opened.seek(found.end() - 20)
            opened.write(bytes([record[-20] ^ 1]))
    with pytest.raises(DirectoryUnavailable):
        directory.key_pair(b"key-of-app-7")
    assert directory.key_pair(b"key-of-app-8") is not None

    def mended() -> bool:
        host.replica.look()
        try:
            return host.replica.directory.key_pair(b"key-of-app-7") is not None
        except DirectoryUnavailable:
            return False

    eventually(mended)
    assert the_file(host) != file
    assert agrees(populated, host)


def test_a_file_that_ends_its_reader_twice_is_not_tried_a_third_time(populated, host):
    host.start()
    host.follows(populated.store)
    host.stop()
    name = host.folder.current()
    assert [host.folder.take_on_trial() for _ in range(3)] == [name, name, ""]
    host.replica = None
    host.start()
    host.restart_reader()
    assert agrees(populated, host)


def test_a_database_that_stops_leaves_the_last_revision_and_nothing_is_missed(own_postgres, make_desk, make_host_of):
    desk = make_desk(own_postgres.url)
    host = make_host_of(own_postgres.url).start()
    desk.do(lambda tx: grants.grant(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
    directory = host.follows(desk.store)
    eventually(lambda: host.folder.status().up)
    own_postgres.stop(signal.SIGQUIT)
    eventually(lambda: not host.folder.status().up)
    assert "postgres" not in host.folder.status().fault.lower() or "password" not in host.folder.status().fault
    confirmed = host.folder.status().confirmed_ms
    assert host.replica.directory.grant("shop-web", "geocode", Stage.RELEASE) is not None
    own_postgres.start()
    desk.store.engine.dispose()
    desk.do(lambda tx: grants.revoke(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
    assert host.follows(desk.store).grant("shop-web", "geocode", Stage.RELEASE) is None
    eventually(lambda: host.folder.status().up and host.folder.status().confirmed_ms > confirmed)
    assert directory.grant("shop-web", "geocode", Stage.RELEASE) is not None
    assert host.log.read_text().count("read whole") == 1
