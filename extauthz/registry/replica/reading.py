"""The directory half of a snapshot, read from the replica on this host: what a check asks of the registry.

A directory is one read transaction of LMDB, and so one whole revision, whatever is written meanwhile. What was looked
up is kept decoded, for as many entries as fit; the next directory keeps what did not change. Secrets are opened when
they are looked up.
"""

import logging
import threading
from collections.abc import Iterable
from typing import Any, Final

import lmdb

from extauthz.domain.app import App, Grant, KeyPair
from extauthz.domain.request import Stage
from extauthz.domain.snapshot.directory import DirectoryUnavailable
from extauthz.registry.database.sealing import SealBroken, Sealer, Vault
from extauthz.registry.replica.file import Meta, ReplicaBroken, changed_since, read_meta
from extauthz.registry.replica.records import (
    APP_CODE,
    KEY_PAIR,
    KINDS,
    MAX_KEY,
    Code,
    Prover,
    RecordBroken,
    app_key,
    grant_key,
    read_app,
    read_code,
    read_grant,
    read_pair,
)

KEPT: Final = 4096
"""Decoded entries in each of two generations, each entry about a kilobyte."""
_log: Final = logging.getLogger("extauthz")


class Kept:
    """Decoded entries by the key of their record. What was not asked for during a whole generation is forgotten."""

    __slots__ = ("_new", "_old")

    def __init__(self, new: dict[bytes, Any], old: dict[bytes, Any]) -> None:
        self._new = new
        self._old = old

    def get(self, key: bytes) -> Any:
        found = self._new.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: bytes, decoded: object) -> None:
        if len(self._new) >= KEPT:
            self._old, self._new = self._new, {}
        self._new[key] = decoded

    def without(self, keys: Iterable[bytes]) -> "Kept":
        new, old = self._new.copy(), self._old.copy()
        for key in keys:
            new.pop(key, None)
            old.pop(key, None)
        return Kept(new, old)


class Damage:
    """Set when a record is found that is not to be believed. A check does no more than that: it never writes."""

    __slots__ = ("seen",)

    def __init__(self) -> None:
        self.seen = False


class ReplicaDirectory:
    """One revision of the registry's directory. Never changes. Any thread may ask."""

    def __init__(
        self, view: lmdb.Transaction, meta: Meta, vault: Vault, prover: Prover, kept: Kept, damage: Damage
    ) -> None:
        self.revision = f"r{meta.position.revision}"
        self.meta = meta
        self.number = view.id()
        """Of the transaction that it shows."""
        self.rehash = vault.hash
        self._view = view
        self._sealer = vault.sealer
        self._prover = prover
        self._kept = kept
        self._damage = damage
        self._reading = threading.Lock()  # a transaction serves one thread at a time; no writer ever holds this

    def app(self, app_id: str) -> App | None:
        """An app by its id. Raises DirectoryUnavailable, as all of these."""
        key = app_key(app_id)
        found: App | None = self._kept.get(key)
        if found is None and (body := self._body(key)) is not None:
            found = read_app(key, body)
            self._kept.put(key, found)
        return found

    def key_pair(self, app_key: bytes) -> KeyPair | None:
        """A key pair by its AppKey."""
        key = KEY_PAIR + app_key
        found: KeyPair | None = self._kept.get(key)
        if found is None and (body := self._body(key)) is not None:
            found = self._open_pair(app_key, body)
            if found is not None:
                self._kept.put(key, found)
        return found

    def app_of_code(self, code_hash: bytes) -> App | None:
        """The app that an AppCode belongs to, by the hash that the registry keeps."""
        key = APP_CODE + code_hash
        found: Code | None = self._kept.get(key)
        if found is None and (body := self._body(key)) is not None:
            found = read_code(body)
            self._kept.put(key, found)
        return None if found is None else found.app

    def grant(self, app_id: str, api_id: str, stage: Stage) -> Grant | None:
        """The grant of an app for an API in a stage, whether it still holds or not."""
        key = grant_key(app_id, api_id, stage)
        found: Grant | None = self._kept.get(key)
        if found is None and (body := self._body(key)) is not None:
            found = read_grant(app_id, api_id, stage, body)
            self._kept.put(key, found)
        return found

    def sizes(self) -> dict[str, int]:
        """How many entries of each kind there are."""
        return {kind: self.meta.counts[kind] for kind in KINDS.values()}

    def later(self, view: lmdb.Transaction, sealer: Sealer) -> "tuple[ReplicaDirectory, list[bytes] | None]":
        """The directory of a later view of the same file, and which records differ. Raises ReplicaBroken."""
        meta, vault, prover = read_meta(view, sealer)
        try:
            changed = changed_since(view, prover, self.number)
        except (RecordBroken, lmdb.Error, ValueError):
            raise ReplicaBroken("its list of changes is damaged") from None
        kept = Kept({}, {}) if changed is None else self._kept.without(changed)
        return ReplicaDirectory(view, meta, vault, prover, kept, self._damage), changed

    def _body(self, key: bytes) -> bytes | None:
        """What a record says, once it is proved."""
        if len(key) > MAX_KEY:
            return None
        try:
            with self._reading:
                record = self._view.get(key)
            return None if record is None else self._prover.body(key, bytes(record))
        except (RecordBroken, lmdb.Error):
            self._damage.seen = True
            raise DirectoryUnavailable("a record of the replica is damaged") from None

    def _open_pair(self, key: bytes, body: bytes) -> KeyPair | None:
        app, sealed, sealed_previous, previous_until_ms, is_readable = read_pair(body)
        if not is_readable:
            return None
        name = key.decode()
        try:
            secret = self._sealer.open(sealed, name)
            previous = None if sealed_previous is None else self._sealer.open(sealed_previous, name)
        except SealBroken as error:
            raise DirectoryUnavailable(str(error)) from None
        self._kept.put(app_key(app.id), app)  # which is asked for next
        return KeyPair(app.id, name, secret, previous, previous_until_ms)


class Absent:
    """The directory of a registry of which nothing is known yet: whoever asks for more than nothing gets no answer."""

    revision = "none"

    def app(self, app_id: str) -> App | None:
        raise DirectoryUnavailable("no replica of the registry yet")

    def key_pair(self, app_key: bytes) -> KeyPair | None:
        raise DirectoryUnavailable("no replica of the registry yet")

    def app_of_code(self, code_hash: bytes) -> App | None:
        raise DirectoryUnavailable("no replica of the registry yet")

    def grant(self, app_id: str, api_id: str, stage: Stage) -> Grant | None:
        raise DirectoryUnavailable("no replica of the registry yet")

    def sizes(self) -> dict[str, int]:
        return dict.fromkeys(KINDS.values(), 0)

    def rehash(self, code_hash: bytes) -> bytes:
        return code_hash
