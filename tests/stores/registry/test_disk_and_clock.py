"""A disk without room and a clock that was set back: no wrong answer, nothing half written, and an operator is told."""

import resource
import threading
import time

import pytest

from extauthz.domain.request import Stage
from extauthz.registry import apps, credentials, grants
from extauthz.registry.database.tables import APPS
from extauthz.registry.replica import follow
from extauthz.registry.replica.folder import Status, age_s
from extauthz.registry.replica.reading import Absent
from tests.stores.registry.desk import ADMIN, MAPS, SHOP
from tests.stores.registry.following import Seen, eventually, in_registry

ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
HOUR_MS = 3_600_000


def permit(host, most_bytes: int) -> None:
    """As on a disk that is full: no file of the replicator may become larger."""
    resource.prlimit(host.process.pid, resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))


def add_apps(desk, count: int, prefix: str) -> None:
    rows = [
        {"id": f"{prefix}-{number}", "owner_id": "shop", "name": "Filler", "description": "", "disabled": False,
         "created_ms": 0, "version": 1} for number in range(count)
    ]  # fmt: skip
    with desk.store.changing() as tx:
        tx.connection.execute(APPS.insert(), rows)
        for row in rows:
            tx.changed("app", row["id"])


def agrees(desk, host) -> bool:
    held = in_registry(desk.store, desk.vault)
    return Seen().in_replica(held, host.follows(desk.store)) == held


@ON_SQLITE
def test_without_room_for_a_change_the_last_whole_revision_is_served_and_then_followed_on(desk, host):
    desk.do(lambda tx: grants.grant(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
    host.start().follows(desk.store)
    eventually(lambda: host.folder.status().up)
    permit(host, (host.folder.path / host.folder.current()).stat().st_size)
    desk.do(lambda tx: grants.revoke(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
    add_apps(desk, 3_000, "many")
    eventually(lambda: "cannot be written" in host.folder.status().fault)
    assert not host.folder.status().up
    host.replica.look()
    before = host.replica.directory
    assert before.sizes()["apps"] == 1
    assert before.app("many-7") is None, "nothing of a revision that is not whole"
    permit(host, resource.RLIM_INFINITY)
    assert agrees(desk, host)
    assert host.replica.directory.grant("shop-web", "geocode", Stage.RELEASE) is None
    eventually(lambda: host.folder.status().up)


@ON_SQLITE
def test_without_room_for_a_replica_there_is_none_until_there_is_room(desk, host):
    add_apps(desk, 5_000, "many")
    host.start()
    permit(host, 65_536)
    eventually(lambda: "cannot be written" in host.folder.status().fault)
    assert host.folder.current() == ""
    assert isinstance(host.replica.directory, Absent)
    assert not host.replica.look()
    permit(host, resource.RLIM_INFINITY)
    assert agrees(desk, host)
    assert len(list(host.folder.path.glob("*.mdb"))) == 1, "what was begun is gone"


@ON_SQLITE
def test_changes_are_followed_in_their_order_whatever_the_clock_says(desk, host):
    desk.do(lambda tx: grants.grant(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
    made = desk.do(lambda tx: credentials.create_key(tx, desk.vault, SHOP, "shop-web", "shop-key-0001"))
    assert host.start().follows(desk.store).grant("shop-web", "geocode", Stage.RELEASE) is not None
    desk.store.now_ms = lambda: time.time_ns() // 1_000_000 - HOUR_MS
    desk.do(lambda tx: grants.revoke(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
    rotated = desk.do(lambda tx: credentials.rotate_key(tx, desk.vault, SHOP, "shop-key-0001", 60_000))
    directory = host.follows(desk.store)
    assert directory.grant("shop-web", "geocode", Stage.RELEASE) is None
    pair = directory.key_pair(b"shop-key-0001")
    assert pair.secret == rotated.app_secret.encode()
    assert pair.previous == made.app_secret.encode()
    assert pair.previous_at(time.time_ns() // 1_000_000) is None, "it ended an hour ago by the clock of this host"
    desk.do(lambda tx: apps.change_app(tx, ADMIN, "shop-web", disabled=True))
    assert host.follows(desk.store).app("shop-web").disabled


@ON_SQLITE
def test_the_age_of_a_replica_goes_on_growing_when_the_clock_is_set_back(desk, host, monkeypatch):
    ago_ms = time.time_ns() // 1_000_000 - 5_000
    host.folder.make()
    host.folder.tell(Status(up=True, confirmed_ms=ago_ms, written_ms=ago_ms))
    replicator = follow.Replicator(host.settings, threading.Event(), None)
    wall, wall_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: wall() - HOUR_MS / 1000)
    monkeypatch.setattr(time, "time_ns", lambda: wall_ns() - HOUR_MS * 1_000_000)
    replicator._fail("the database is down")
    status = host.folder.status()
    assert (status.up, status.fault) == (False, "the database is down")
    assert 5 <= (age_s(status) or 0) < 60
    replicator._beat()
    assert (age_s(host.folder.status()) or 0) < 5
    assert host.folder.status().up
