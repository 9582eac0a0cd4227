"""How a replica is written: whole into a new file, or one revision at a time into the current one."""

import base64
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb

from extauthz.registry.database.sealing import Sealer
from extauthz.registry.replica.file import (
    ANY,
    FILE_KEY_LABEL,
    FORMAT,
    LENGTH,
    LISTED,
    LISTS,
    MAP_BYTES,
    MAX_READERS,
    NUMBER,
    TOGETHER,
    ReplicaBroken,
    open_file,
    prove,
    read_meta,
)
from extauthz.registry.replica.records import (
    CHANGE,
    FILE_KEY,
    FILE_KEY_BYTES,
    KEY_PAIR,
    KINDS,
    META,
    Entry,
    Position,
    RecordBroken,
    RecordCipher,
    is_unreadable,
)


class FileWriter:
    """The one that writes a file."""

    def __init__(
        self, opened: lmdb.Environment, cipher: RecordCipher, position: Position, master_keys: list[str]
    ) -> None:
        self.position = position
        self.master_keys = master_keys
        """The ids of the master keys that were at hand when the whole file was written."""
        self._opened = opened
        self._cipher = cipher
        self._counts: Counter[str] = Counter()

    @classmethod
    def build(
        cls, path: Path, sealer: Sealer, position: Position, entries: Iterable[Entry], beat: Callable[[], None]
    ) -> "FileWriter":
        """Write a file anew. ``beat`` is called now and then. Raises lmdb.Error, SealBroken."""
        opened = lmdb.open(str(path), subdir=False, map_size=MAP_BYTES, mode=0o600, max_readers=MAX_READERS, sync=False)
        file_key = os.urandom(FILE_KEY_BYTES)
        with opened.begin(write=True) as tx:
            tx.put(FILE_KEY, FORMAT + sealer.seal(file_key, FILE_KEY_LABEL))
        writer = cls(opened, RecordCipher(file_key), position, sealer.key_ids)
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
            meta, _, cipher = read_meta(tx, sealer)
            tx.abort()
        writer = cls(opened, cipher, meta.position, meta.master_keys)
        writer._counts.update(meta.counts)
        return writer

    @property
    def unreadable(self) -> int:
        """Key pairs whose secret no master key opens."""
        return self._counts["unreadable"]

    def apply(self, position: Position, changes: Mapping[bytes, bytes | None]) -> None:
        """Bring the file to another position, all of it or nothing. Raises lmdb.Error, after which it is as before.

        Raises ReplicaBroken where what is to be replaced is damaged.
        """
        before = self._counts.copy()
        self._opened.reader_check()  # readers that were killed hold up the reuse of pages
        try:
            with self._opened.begin(write=True) as tx:
                for key, body in changes.items():
                    self._write(tx, key, body)
                self._list_changes(tx, list(changes))
                self._write_meta(tx, position)
        except BaseException as error:
            self._counts = before
            if isinstance(error, RecordBroken):
                raise ReplicaBroken("a record is damaged") from None
            raise
        self.position = position

    def prove(self, stopping: Callable[[], bool]) -> None:
        """Prove every record that is there now. Any thread may do so. Raises ReplicaBroken."""
        with self._opened.begin() as view:
            prove(view, self._cipher, stopping)

    def _write_some(self, entries: Iterator[Entry]) -> bool:
        """Into a file that is being built, where each key comes once: a third of the time that ``_write`` takes."""
        records = []
        for key, body in islice(entries, TOGETHER):
            if body is not None:
                records.append((key, self._cipher.close(key, body)))
                self._count(key, body, 1)
        with self._opened.begin(write=True) as tx:
            tx.cursor().putmulti(records)
        return len(records) == TOGETHER

    def _write(self, tx: lmdb.Transaction, key: bytes, body: bytes | None) -> None:
        before: Any = tx.pop(key) if body is None else tx.replace(key, self._cipher.close(key, body))
        if before is not None:
            self._count(key, self._cipher.open(key, before), -1)
        if body is not None:
            self._count(key, body, 1)

    def _count(self, key: bytes, body: bytes, sign: int) -> None:
        self._counts[KINDS[key[0]]] += sign
        if key[:1] == KEY_PAIR and is_unreadable(body):
            self._counts["unreadable"] += sign

    def _write_meta(self, tx: lmdb.Transaction, position: Position) -> None:
        told = {
            "registry": position.registry_id,
            "revision": position.revision,
            "mark": position.mark,
            "hash_key": base64.b64encode(position.sealed_hash_key).decode(),
            "counts": {kind: self._counts[kind] for kind in (*KINDS.values(), "unreadable")},
            "master_keys": self.master_keys,
        }
        tx.put(META, self._cipher.close(META, json.dumps(told).encode()))

    def _list_changes(self, tx: lmdb.Transaction, keys: list[bytes]) -> None:
        number = tx.id()
        listed = ANY if len(keys) > LISTED else b"".join([LENGTH.pack(len(key)) + key for key in keys])
        key = CHANGE + NUMBER.pack(number)
        tx.put(key, self._cipher.close(key, listed))
        tx.delete(CHANGE + NUMBER.pack(max(0, number - LISTS)))
