"""From the registry to the records of a replica: read whole once, then entry by entry as it changes.

What changed since a revision is read in the same view of the database as the revision that it leads to, so that a
replica is always what some revision was. Commit order is revision order (see ``store``): nothing can turn up behind
a revision that was read.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

from sqlalchemy import Connection, Select, func, or_, select

from extauthz.domain.app import App, Grant, KeyPair
from extauthz.domain.request import Stage
from extauthz.registry.database.sealing import SealBroken, Sealer
from extauthz.registry.database.tables import APP_CODES, APPS, CHANGES, GRANTS, KEY_PAIRS, REVISION
from extauthz.registry.replica.records import (
    APP_CODE,
    KEY_PAIR,
    Code,
    Entry,
    Position,
    app_body,
    app_key,
    code_body,
    grant_body,
    grant_key,
    pair_body,
)

_TOGETHER: Final = 400
"""Entries that are asked for in one question: both databases bound the number of parameters."""
_BATCH: Final = 5000
"""Rows that are fetched together when everything is read."""
_OF_APP: Final = (APPS.c.owner_id, APPS.c.disabled)
_OF_GRANT: Final = (GRANTS.c.app_id, GRANTS.c.api_id, GRANTS.c.stage, GRANTS.c.until_ms, GRANTS.c.granted_by)


def position_of(view: Connection) -> Position:
    """Where the registry is in this view."""
    row = view.execute(select(REVISION.c.registry_id, REVISION.c.number, REVISION.c.hash_key)).one()
    return Position(str(row.registry_id), int(row.number), _mark_of(view, int(row.number)), bytes(row.hash_key))


def can_follow(view: Connection, before: Position, now: Position) -> bool:
    """Whether what was read at ``before`` becomes what is here now by the changes that are listed.

    Not where this is another registry, one that was restored from a backup, or one whose list of changes has a gap.
    """
    if before.registry_id != now.registry_id or before.revision > now.revision:
        return False
    if before.mark != _mark_of(view, before.revision):
        return False
    count = select(func.count(func.distinct(CHANGES.c.revision))).where(CHANGES.c.revision > before.revision)
    return bool(view.execute(count).scalar_one() == now.revision - before.revision)


def everything(view: Connection, sealer: Sealer) -> Iterator[Entry]:
    """Every entry."""
    for row in _streamed(view, select(APPS.c.id, *_OF_APP)):
        yield _app_entry(row)
    for row in _streamed(view, _pairs()):
        yield _pair_entry(row, sealer)
    for row in _streamed(view, _codes()):
        yield _code_entry(row)
    for row in _streamed(view, select(*_OF_GRANT)):
        yield _grant_entry(row)


def changes_since(view: Connection, revision: int, sealer: Sealer) -> dict[bytes, bytes | None]:
    """What is different from that revision, as it is now. An app's record has copies in those of its credentials."""
    keys: dict[str, list[str]] = {"app": [], "key": [], "code": [], "grant": []}
    for row in view.execute(select(CHANGES.c.kind, CHANGES.c.key).where(CHANGES.c.revision > revision).distinct()):
        keys[row.kind].append(row.key)
    hashes = [bytes.fromhex(key) for key in keys["code"]]
    triples = [tuple(key.split("/")) for key in keys["grant"]]
    found: dict[bytes, bytes | None] = {app_key(app_id): None for app_id in keys["app"]}
    found |= {KEY_PAIR + key.encode(): None for key in keys["key"]}
    found |= {APP_CODE + code_hash: None for code_hash in hashes}
    granted: dict[bytes, bytes | None] = {
        grant_key(app_id, api_id, Stage(stage)): None for app_id, api_id, stage in triples
    }
    apps = keys["app"]
    found.update(_app_entry(row) for row in _rows(view, select(APPS.c.id, *_OF_APP), APPS.c.id, apps))
    for column, wanted in ((KEY_PAIRS.c.app_key, keys["key"]), (KEY_PAIRS.c.app_id, apps)):
        found.update(_pair_entry(row, sealer) for row in _rows(view, _pairs(), column, wanted))
    for code_column, sought in ((APP_CODES.c.code_hash, hashes), (APP_CODES.c.app_id, apps)):
        found.update(_code_entry(row) for row in _rows(view, _codes(), code_column, sought))
    for start in range(0, len(triples), _TOGETHER // 3):
        some = [
            (GRANTS.c.app_id == app_id) & (GRANTS.c.api_id == api_id) & (GRANTS.c.stage == stage)
            for app_id, api_id, stage in triples[start : start + _TOGETHER // 3]
        ]
        granted.update(_grant_entry(row) for row in view.execute(select(*_OF_GRANT).where(or_(*some))))
    return found | granted


def _mark_of(view: Connection, revision: int) -> str:
    query = select(CHANGES.c.kind, CHANGES.c.key).where(CHANGES.c.revision == revision).order_by(CHANGES.c.place)
    return hashlib.sha256(repr([tuple(row) for row in view.execute(query)]).encode()).hexdigest()[:16]


def _pairs() -> Select[Any]:
    columns = KEY_PAIRS.c
    return select(
        columns.app_key, columns.app_id, columns.secret, columns.previous_secret, columns.previous_until_ms, *_OF_APP
    ).join(APPS, APPS.c.id == columns.app_id)


def _codes() -> Select[Any]:
    columns = APP_CODES.c
    return select(columns.id, columns.app_id, columns.code_hash, *_OF_APP).join(APPS, APPS.c.id == columns.app_id)


def _streamed(view: Connection, query: Select[Any]) -> Iterable[Any]:
    return view.execute(query, execution_options={"yield_per": _BATCH})


def _rows(view: Connection, query: Select[Any], column: Any, keys: Sequence[Any]) -> Iterator[Any]:
    for start in range(0, len(keys), _TOGETHER):
        yield from view.execute(query.where(column.in_(keys[start : start + _TOGETHER])))


def _app_entry(row: Any) -> Entry:
    app_id, owner, disabled = row
    return app_key(app_id), app_body(App(app_id, owner, bool(disabled)))


def _pair_entry(row: Any, sealer: Sealer) -> Entry:
    key, app_id, secret, previous, until_ms, owner, disabled = row
    pair: KeyPair | None = None
    with suppress(SealBroken):
        older = None if previous is None else sealer.open(bytes(previous), key)
        pair = KeyPair(app_id, key, sealer.open(bytes(secret), key), older, until_ms)
    return KEY_PAIR + key.encode(), pair_body(App(app_id, owner, bool(disabled)), pair)


def _code_entry(row: Any) -> Entry:
    code_id, app_id, code_hash, owner, disabled = row
    return APP_CODE + bytes(code_hash), code_body(Code(code_id, App(app_id, owner, bool(disabled))))


def _grant_entry(row: Any) -> Entry:
    app_id, api_id, stage, until_ms, granted_by = row
    grant = Grant(app_id, api_id, Stage(stage), until_ms, granted_by)
    return grant_key(app_id, api_id, grant.stage), grant_body(grant)
