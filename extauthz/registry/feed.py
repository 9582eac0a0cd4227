"""From the registry to the directory that decides checks: read whole once, then entry by entry as it changes.

A feed polls the revision, which costs one row, and reads what changed since in the same view of the database, so that a
directory is always what some revision was. Commit order is revision order (see ``store``): nothing can turn up behind
a revision that was read.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from extauthz.domain.app import App, Grant, KeyPair
from extauthz.domain.request import Stage
from extauthz.domain.snapshot.directory import Changes, Directory, build_directory
from extauthz.registry.sealing import SealBroken, Vault
from extauthz.registry.store import Store, revision_of
from extauthz.registry.tables import APP_CODES, APPS, CHANGES, GRANTS, KEY_PAIRS

_TOGETHER: Final = 500
"""Entries that are asked for in one question: both databases bound the number of parameters."""


class Feed:
    """Follows one registry. Not for use by more than one thread."""

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store = store
        self._vault = vault
        self._revision = 0
        self._registry_id = ""
        self.unreadable: set[str] = set()
        """AppKeys whose secret no master key opens; nobody can call with them."""

    def load(self) -> Directory:
        """The whole registry as it is now. Raises sqlalchemy's DBAPIError when the database cannot be reached."""
        with self._store.reading() as view:
            self._revision, self._registry_id = revision_of(view)
            self.unreadable.clear()
            return build_directory(
                self._name(),
                [_app(row) for row in view.execute(select(APPS))],
                [pair for row in view.execute(select(KEY_PAIRS)) if (pair := self._pair(row)) is not None],
                [(bytes(row.code_hash), str(row.app_id)) for row in view.execute(select(APP_CODES))],
                [_grant(row) for row in view.execute(select(GRANTS))],
            )

    def follow(self, before: Directory) -> Directory:
        """The directory as it is now; ``before`` itself when nothing changed. Raises DBAPIError.

        Reads everything anew when the database is not the one that ``before`` came from, or is behind it: a restored
        backup must not leave entries that it does not have.
        """
        with self._store.reading() as view:
            revision, registry_id = revision_of(view)
            if registry_id == self._registry_id and revision == self._revision:
                return before
            if registry_id == self._registry_id and revision > self._revision:
                changes = self._changes_since(view, self._revision)
                self._revision = revision
                return before.apply(changes, self._name())
        return self.load()

    def _name(self) -> str:
        return f"r{self._revision}"

    def _changes_since(self, view: Connection, revision: int) -> Changes:
        query = select(CHANGES.c.kind, CHANGES.c.key).where(CHANGES.c.revision > revision).distinct()
        keys: dict[str, list[str]] = {}
        for row in view.execute(query):
            keys.setdefault(row.kind, []).append(row.key)
        hashes = [bytes.fromhex(key) for key in keys.get("code", ())]
        triples = [tuple(key.split("/")) for key in keys.get("grant", ())]
        app_keys = keys.get("key", [])
        self.unreadable.difference_update(app_keys)
        apps = {row.id: _app(row) for row in _rows(view, APPS, APPS.c.id, keys.get("app", ()))}
        pairs = {row.app_key: self._pair(row) for row in _rows(view, KEY_PAIRS, KEY_PAIRS.c.app_key, app_keys)}
        codes = {bytes(row.code_hash): row.app_id for row in _rows(view, APP_CODES, APP_CODES.c.code_hash, hashes)}
        grants = {
            (row.app_id, row.api_id, row.stage): _grant(row)
            for row in _rows(view, GRANTS, GRANTS.c.app_id, sorted({app_id for app_id, _, _ in triples}))
        }
        return Changes(
            apps=tuple((app_id, apps.get(app_id)) for app_id in keys.get("app", ())),
            key_pairs=tuple((app_key.encode(), pairs.get(app_key)) for app_key in app_keys),
            app_codes=tuple((code_hash, codes.get(code_hash)) for code_hash in hashes),
            grants=tuple(
                ((app_id, api_id, Stage(stage)), grants.get((app_id, api_id, stage)))
                for app_id, api_id, stage in triples
            ),
        )

    def _pair(self, row: Row[Any]) -> KeyPair | None:
        """A key pair with its secrets opened; None, and noted, where no master key opens them."""
        try:
            secret = self._vault.sealer.open(bytes(row.secret), row.app_key)
            previous = None
            if row.previous_secret is not None:
                previous = self._vault.sealer.open(bytes(row.previous_secret), row.app_key)
        except SealBroken:
            self.unreadable.add(row.app_key)
            return None
        return KeyPair(row.app_id, row.app_key, secret, previous, row.previous_until_ms)


def _rows(view: Connection, table: Any, column: Any, keys: Sequence[Any]) -> Iterable[Row[Any]]:
    for start in range(0, len(keys), _TOGETHER):
        yield from view.execute(select(table).where(column.in_(keys[start : start + _TOGETHER])))


def _app(row: Row[Any]) -> App:
    return App(row.id, row.owner_id, bool(row.disabled))


def _grant(row: Row[Any]) -> Grant:
    return Grant(row.app_id, row.api_id, Stage(row.stage), row.until_ms, row.granted_by)
