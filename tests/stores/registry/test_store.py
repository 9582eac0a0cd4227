"""One order of changes: whoever sees a revision sees every one below it. And the tables of every version."""

import threading
import time

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select

from extauthz.registry import apps
from extauthz.registry.database.migrate import check_schema, migrate
from extauthz.registry.database.store import Store, StoreFault, revision_of
from extauthz.registry.database.tables import APPS, CHANGES, METADATA
from tests.stores.registry.desk import ADMIN, SHOP


def numbers(desk):
    with desk.store.reading() as view:
        return [
            row.revision for row in view.execute(select(CHANGES.c.revision).distinct().order_by(CHANGES.c.revision))
        ]


def test_each_change_has_a_revision_and_what_changes_nothing_has_none(desk):
    first = desk.see(revision_of)[0]
    desk.do(lambda tx: apps.create_app(tx, SHOP, "two", "shop", "Second"))
    desk.do(lambda tx: apps.create_owner(tx, ADMIN, "nobody"))
    assert desk.see(revision_of)[0] == first + 1
    assert numbers(desk) == list(range(1, first + 2))


def test_a_transaction_that_fails_leaves_nothing_and_takes_no_revision(desk):
    before = desk.everything()

    def fail(tx):
        apps.create_app(tx, SHOP, "two", "shop", "Second")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        desk.do(fail)
    assert desk.everything() == before


def test_who_sees_a_revision_sees_every_one_below_it_however_slow_its_transaction_was(desk):
    """Writers that dawdle at every place, and a reader who follows: nothing may turn up behind what was read."""
    stop = threading.Event()
    faults: list[str] = []

    def write(writer: int) -> None:
        for number in range(15):
            with desk.store.changing() as tx:
                apps.create_app(tx, ADMIN, f"w{writer}-{number}", "shop", "Writer")
                time.sleep(0.002 * ((writer + number) % 3))

    def follow() -> None:
        seen: dict[int, int] = {}
        while not stop.is_set():
            with desk.store.reading() as view:
                latest, _ = revision_of(view)
                found = list(view.execute(select(CHANGES.c.revision)))
            now = {row.revision: 1 for row in found}
            if max(now) != latest or sorted(now) != list(range(1, latest + 1)):
                faults.append(f"a gap below {latest}")
            if set(seen) - set(now):
                faults.append("a revision vanished")
            seen = now

    reader = threading.Thread(target=follow)
    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    reader.start()
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    stop.set()
    reader.join()
    assert faults == []
    with desk.store.reading() as view:
        made = [row.id for row in view.execute(select(APPS.c.id).where(APPS.c.id.like("w%-%")))]
    assert len(made) == 60


def test_migrations_make_the_tables_that_the_code_expects(store):
    with store.reading() as view:
        context = MigrationContext.configure(view, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_a_step_back_and_forward_keeps_what_both_versions_have(desk, sealer):
    kept = {name: rows for name, rows in desk.everything().items() if name not in ("access_requests", "last_uses")}
    migrate(desk.store, sealer, "0001")
    with pytest.raises(StoreFault, match="tables are at 0001 and this version needs 0002; run `extauthz registry migr"):
        check_schema(desk.store)
    migrate(desk.store, sealer)
    check_schema(desk.store)
    after = desk.everything()
    assert {name: after[name] for name in kept} == kept


def test_an_empty_database_says_how_to_make_a_registry(empty_database):
    store = Store(empty_database)
    with pytest.raises(StoreFault, match="holds no registry; `extauthz registry migrate` makes one"):
        check_schema(store)
    store.close()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("registry.db", "is not a URL; write sqlite:///FILE or postgresql://USER@HOST/NAME"),
        ("mysql://localhost/x", "kept in SQLite or PostgreSQL"),
        ("sqlite:////nowhere/at/all/registry.db", "there is no folder /nowhere/at/all"),
    ],
)
def test_a_database_that_cannot_be_used_says_what_to_write(url, told):
    with pytest.raises(StoreFault, match=told):
        Store(url)
