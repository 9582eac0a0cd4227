"""The directory half of a snapshot, read from the replica on this host: what a check asks of the registry.

A directory is one read transaction of LMDB, and so one whole revision, whatever is written meanwhile. What was looked
up is kept decoded, for as many entries as fit; the next directory keeps what did not change. Secrets are opened when
they are looked up.
"""

import threading
from collections.abc import Iterable
from typing import Any, Final

import lmdb

from extauthz.domain.app import App, Grant, KeyPair
from extauthz.domain.request import Stage
from extauthz.domain.snapshot.directory import DirectoryUnavailable
from extauthz.registry.database.sealing import Sealer, Vault
from extauthz.registry.replica.file import Meta, ReplicaBroken, changed_since, read_meta
from extauthz.registry.replica.records import (
    APP_CODE,
    KEY_PAIR,
    KINDS,
    MAX_KEY,
    AppPair,
    Code,
    RecordBroken,
    RecordCipher,
    app_key,
    grant_key,
    read_app,
    read_code,
    read_grant,
    read_pair,
)

KEPT: Final = 4096
"""Decoded entries in each of two generations, each entry about a kilobyte."""
_ONE_IN: Final = 7
"""Of this many entries that were read, one is kept: odd, since a check reads two kinds of entries in turn."""


class Kept:
    """Decoded entries by the key of their record, of what is asked for again and again.

    What is asked for often is soon among those that are kept; of a million apps that call once each, keeping every one
    would cost more than it saves. What was not asked for during a whole generation is forgotten.
    """

    __slots__ = ("_new", "_old", "_read")

    def __init__(self) -> None:
        self._new: dict[bytes, Any] = {}
        self._old: dict[bytes, Any] = {}
        self._read = 0

    def get(self, key: bytes) -> Any:
        found = self._new.get(key)
        if found is None and self._old:
            found = self._old.get(key)
            if found is not None:
                self._put(key, found)
        return found

    def offer(self, key: bytes, decoded: object) -> None:
        """An entry that was read, to be kept or not."""
        self._read += 1
        if self._read >= _ONE_IN:
            self._read = 0
            self._put(key, decoded)

    def _put(self, key: bytes, decoded: object) -> None:
        if len(self._new) >= KEPT:
            self._old, self._new = self._new, {}
        self._new[key] = decoded

    def without(self, keys: Iterable[bytes]) -> "Kept":
        rest = Kept()
        rest._new, rest._old = self._new.copy(), self._old.copy()
        for key in keys:
            rest._new.pop(key, None)
            rest._old.pop(key, None)
        return rest


class Damage:
    """Set when a record is found that is not to be believed. A check does no more than that: it never writes."""

    __slots__ = ("seen",)

    def __init__(self) -> None:
        self.seen = False


class ReplicaDirectory:
    """One revision of the registry's directory. Never changes. Any thread may ask."""

    def __init__(
        self, view: lmdb.Transaction, meta: Meta, vault: Vault, cipher: RecordCipher, kept: Kept, damage: Damage
    ) -> None:
        self.revision = f"r{meta.position.revision}"
        self.meta = meta
        self.number = view.id()
        """Of the transaction that it shows."""
        self.rehash = vault.hash
        self._view = view
        self._cipher = cipher
        self._kept = kept
        self._damage = damage
        self._app: App | None = None
        """Of the key pair that was found last: its app is asked for next."""
        self._reading = threading.Lock()  # a transaction serves one thread at a time; no writer ever holds this

    def app(self, app_id: str) -> App | None:
        """An app by its id. Raises DirectoryUnavailable, as all of these."""
        last = self._app
        if last is not None and last.id == app_id:
            return last
        key = app_key(app_id)
        found: App | None = self._kept.get(key)
        if found is None and (body := self._body(key)) is not None:
            found = read_app(key, body)
            self._kept.offer(key, found)
        return found

    def key_pair(self, app_key: bytes) -> KeyPair | None:
        """A key pair by its AppKey."""
        key = KEY_PAIR + app_key
        found: AppPair | None = self._kept.get(key)
        if found is None:
            if (body := self._body(key)) is None:
                return None
            found = read_pair(app_key.decode(), body)
            self._kept.offer(key, found)
        self._app = found.app
        return found.pair

    def app_of_code(self, code_hash: bytes) -> App | None:
        """The app that an AppCode belongs to, by the hash that the registry keeps."""
        key = APP_CODE + code_hash
        found: Code | None = self._kept.get(key)
        if found is None and (body := self._body(key)) is not None:
            found = read_code(body)
            self._kept.offer(key, found)
        return None if found is None else found.app

    def grant(self, app_id: str, api_id: str, stage: Stage) -> Grant | None:
        """The grant of an app for an API in a stage, whether it still holds or not."""
        key = grant_key(app_id, api_id, stage)
        found: Grant | None = self._kept.get(key)
        if found is None and (body := self._body(key)) is not None:
            found = read_grant(app_id, api_id, stage, body)
            self._kept.offer(key, found)
        return found

    def sizes(self) -> dict[str, int]:
        """How many entries of each kind there are."""
        return {kind: self.meta.counts[kind] for kind in KINDS.values()}

    def later(self, view: lmdb.Transaction, sealer: Sealer) -> "tuple[ReplicaDirectory, list[bytes] | None]":
        """The directory of a later view of the same file, and which records differ. Raises ReplicaBroken."""
        meta, vault, cipher = read_meta(view, sealer)
        try:
            changed = changed_since(view, cipher, self.number)
        except (RecordBroken, lmdb.Error, ValueError):
            raise ReplicaBroken("its list of changes is damaged") from None
        kept = Kept() if changed is None else self._kept.without(changed)
        return ReplicaDirectory(view, meta, vault, cipher, kept, self._damage), changed

    def _body(self, key: bytes) -> bytes | None:
        """What a record says, once it is proved."""
        if len(key) > MAX_KEY:
            return None
        try:
            with self._reading:
                record: Any = self._view.get(key)
            return None if record is None else self._cipher.open(key, record)
        except (RecordBroken, lmdb.Error):
            self._damage.seen = True
            raise DirectoryUnavailable("a record of the replica is damaged") from None


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
