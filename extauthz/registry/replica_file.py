"""One file of a replica: LMDB, with a record for each entry, and one that says of which registry and revision.

A whole new revision is one transaction, so a reader sees all of it or nothing. Each transaction lists what it changed,
by which readers know what of their decoded entries to forget.
"""

import base64
import json
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import lmdb

from extauthz.registry.records import (
    CHANGE,
    KEY_PAIR,
    KINDS,
    MAC_BYTES,
    META,
    UNREADABLE,
    Entry,
    Position,
    Prover,
    RecordBroken,
)
from extauthz.registry.sealing import SealBroken, Sealer, Vault

FORMAT: Final = 1
MAP_BYTES: Final = 1 << 34
"""Of addresses, not of disk or memory: what a replica can grow to, forty times a million apps."""
_MAX_READERS: Final = 1024
_TOGETHER: Final = 20_000
"""Entries in one transaction while a file is built, which nobody reads yet."""
_LISTED: Final = 10_000
"""Changed records that one list may name; a larger change makes readers forget everything."""
_LISTS: Final = 64
_PAGE: Final = 4096
_NUMBER: Final = struct.Struct(">Q")


class ReplicaBroken(Exception):
    """A file that is not to be believed: damaged, foreign, or of another format. The message says which."""


class ReplicaLocked(ReplicaBroken):
    """A file that the master keys at hand do not open; those of its writer do."""


class Meta(NamedTuple):
    """What a file is a replica of."""

    position: Position
    counts: dict[str, int]
    """Entries by kind, and ``unreadable`` key pairs."""
    master_keys: list[str]
    """The ids of the master keys that were at hand when it was written."""


def open_file(path: Path, *, write: bool = False) -> lmdb.Environment:
    """Open a file without believing anything in it. Raises ReplicaBroken."""
    try:
        opened = lmdb.open(
            str(path), subdir=False, map_size=MAP_BYTES, mode=0o600, readonly=not write, create=False,
            max_readers=_MAX_READERS, max_spare_txns=0,
        )  # fmt: skip
        pages = opened.info()["last_pgno"] + 1
        if path.stat().st_size < pages * _PAGE:  # reading behind the end would end the process
            opened.close()
            raise ReplicaBroken("it is shorter than it says")
    except (lmdb.Error, OSError) as error:
        raise ReplicaBroken(f"it cannot be opened ({type(error).__name__})") from None
    return opened


def read_meta(view: lmdb.Transaction, sealer: Sealer) -> tuple[Meta, Vault, Prover]:
    """Of which registry and revision a view of a file is, and what opens it. Raises ReplicaBroken."""
    try:
        record = view.get(META)
        if record is None:
            raise ReplicaBroken("it does not say what it is a replica of")
        told = json.loads(bytes(record)[MAC_BYTES:])
        if told["format"] != FORMAT:
            raise ReplicaBroken("it has the format of another version")
        sealed = base64.b64decode(told["hash_key"])
        vault = Vault(sealer, sealed)
        prover = Prover(vault)
        prover.body(META, bytes(record))
        position = Position(told["registry"], told["revision"], told["mark"], sealed)
        return Meta(position, told["counts"], told["master_keys"]), vault, prover
    except SealBroken:
        raise ReplicaLocked("no master key at hand opens it") from None
    except (RecordBroken, lmdb.Error, ValueError, KeyError, TypeError):
        raise ReplicaBroken("what it says of itself is damaged") from None


def read_through(path: Path, sealer: Sealer) -> Meta:
    """Read every record of a file. Raises ReplicaBroken, or ends the process where the damage is that bad.

    LMDB believes its own pages, so what is damaged can make it read anywhere. This is for a process that nobody
    would miss. The records themselves are proved one by one, when they are looked up.
    """
    opened = open_file(path)
    try:
        with opened.begin() as view:
            meta, _, _ = read_meta(view, sealer)
            counts: Counter[int] = Counter(key[0] for key, _ in view.cursor())
        for letter, kind in KINDS.items():
            if counts[letter] != meta.counts[kind]:
                raise ReplicaBroken(f"it holds {counts[letter]} {kind} and says {meta.counts[kind]}")
        return meta
    except (lmdb.Error, KeyError):
        raise ReplicaBroken("its pages are damaged") from None
    finally:
        opened.close()


def prove(view: lmdb.Transaction, prover: Prover, stopping: Callable[[], bool]) -> None:
    """Prove every record of a view, and their order, by which they are found. Raises ReplicaBroken."""
    before = b""
    try:
        records: Iterable[Any] = view.cursor()
        for place, (key, record) in enumerate(records):
            prover.body(key, record)
            if key <= before:
                raise ReplicaBroken("its records are out of order")
            before = key
            if not place % _TOGETHER and stopping():
                return
    except (RecordBroken, lmdb.Error):
        raise ReplicaBroken("a record is damaged") from None


class FileWriter:
    """The one that writes a file."""

    def __init__(self, opened: lmdb.Environment, sealer: Sealer, position: Position) -> None:
        self.position = position
        self.master_keys = sealer.key_ids
        """The ids of the master keys that were at hand when the whole file was written."""
        self._opened = opened
        self._prover = Prover(Vault(sealer, position.sealed_hash_key))
        self._counts: Counter[str] = Counter()

    @classmethod
    def build(
        cls, path: Path, sealer: Sealer, position: Position, entries: Iterable[Entry], beat: Callable[[], None]
    ) -> "FileWriter":
        """Write a file anew. ``beat`` is called now and then. Raises lmdb.Error, SealBroken."""
        opened = lmdb.open(
            str(path), subdir=False, map_size=MAP_BYTES, mode=0o600, max_readers=_MAX_READERS, sync=False
        )
        writer = cls(opened, sealer, position)
        rest = iter(entries)
        while writer._write_some(rest):
            beat()
        with opened.begin(write=True) as tx:
            writer._write_meta(tx, position)
        opened.sync(True)
        opened.close()
        return cls.resume(path, sealer)

    @classmethod
    def resume(cls, path: Path, sealer: Sealer) -> "FileWriter":
        """Go on with a file that was read through. Raises ReplicaBroken."""
        opened = open_file(path, write=True)
        # As a writer: one that was killed may have committed a revision of which readers have not heard.
        with opened.begin(write=True) as tx:
            meta, _, _ = read_meta(tx, sealer)
            tx.abort()
        writer = cls(opened, sealer, meta.position)
        writer.master_keys = meta.master_keys
        writer._counts.update(meta.counts)
        return writer

    @property
    def unreadable(self) -> int:
        """Key pairs whose secret no master key opens."""
        return self._counts["unreadable"]

    def apply(self, position: Position, changes: Mapping[bytes, bytes | None]) -> None:
        """Bring the file to another position, all of it or nothing. Raises lmdb.Error, after which it is as before."""
        before = self._counts.copy()
        self._opened.reader_check()  # readers that were killed hold up the reuse of pages
        try:
            with self._opened.begin(write=True) as tx:
                for key, body in changes.items():
                    self._write(tx, key, body)
                self._list_changes(tx, list(changes))
                self._write_meta(tx, position)
        except BaseException:
            self._counts = before
            raise
        self.position = position

    def prove(self, stopping: Callable[[], bool]) -> None:
        """Prove every record that is there now. Any thread may do so. Raises ReplicaBroken."""
        with self._opened.begin() as view:
            prove(view, self._prover, stopping)

    def _write_some(self, entries: Iterator[Entry]) -> bool:
        count = 0
        with self._opened.begin(write=True) as tx:
            for key, body in entries:
                self._write(tx, key, body)
                count += 1
                if count == _TOGETHER:
                    return True
        return False

    def _write(self, tx: lmdb.Transaction, key: bytes, body: bytes | None) -> None:
        kind = KINDS[key[0]]
        record = None if body is None else self._prover.record(key, body)
        before = tx.pop(key) if record is None else tx.replace(key, record)
        for sign, written in ((-1, before), (1, record)):
            if written is not None:
                self._counts[kind] += sign
                if key[:1] == KEY_PAIR and written[MAC_BYTES] & UNREADABLE:
                    self._counts["unreadable"] += sign

    def _write_meta(self, tx: lmdb.Transaction, position: Position) -> None:
        told = {
            "format": FORMAT,
            "registry": position.registry_id,
            "revision": position.revision,
            "mark": position.mark,
            "hash_key": base64.b64encode(position.sealed_hash_key).decode(),
            "counts": {kind: self._counts[kind] for kind in (*KINDS.values(), "unreadable")},
            "master_keys": self.master_keys,
        }
        tx.put(META, self._prover.record(META, json.dumps(told).encode()))

    def _list_changes(self, tx: lmdb.Transaction, keys: list[bytes]) -> None:
        number = tx.id()
        listed = None if len(keys) > _LISTED else [base64.b85encode(key).decode() for key in keys]
        key = CHANGE + _NUMBER.pack(number)
        tx.put(key, self._prover.record(key, json.dumps(listed).encode()))
        tx.delete(CHANGE + _NUMBER.pack(max(0, number - _LISTS)))


def changed_since(view: lmdb.Transaction, prover: Prover, number: int) -> list[bytes] | None:
    """The keys of records that changed after transaction ``number``; None: nobody knows any more."""
    changed: list[bytes] = []
    for later in range(number + 1, view.id() + 1):
        key = CHANGE + _NUMBER.pack(later)
        record = view.get(key)
        if record is None or later - number > _LISTS:
            return None
        listed: list[Any] | None = json.loads(prover.body(key, bytes(record)))
        if listed is None:
            return None
        changed += [base64.b85decode(one) for one in listed]
    return changed
