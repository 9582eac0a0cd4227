"""How a replica is written: whole into a new file, or one revision at a time into the current one."""

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import lmdb

from extauthz.registry.database.sealing import Sealer, Vault
from extauthz.registry.replica.file import (
    FORMAT,
    LISTED,
    LISTS,
    MAP_BYTES,
    MAX_READERS,
    NUMBER,
    TOGETHER,
    open_file,
    prove,
    read_meta,
)
from extauthz.registry.replica.records import (
    CHANGE,
    KEY_PAIR,
    KINDS,
    MAC_BYTES,
    META,
    UNREADABLE,
    Entry,
    Position,
    Prover,
)


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
        opened = lmdb.open(str(path), subdir=False, map_size=MAP_BYTES, mode=0o600, max_readers=MAX_READERS, sync=False)
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
                if count == TOGETHER:
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
        listed = None if len(keys) > LISTED else [base64.b85encode(key).decode() for key in keys]
        key = CHANGE + NUMBER.pack(number)
        tx.put(key, self._prover.record(key, json.dumps(listed).encode()))
        tx.delete(CHANGE + NUMBER.pack(max(0, number - LISTS)))
