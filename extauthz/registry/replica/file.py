"""One file of a replica: LMDB, with a record for each entry, and one that says of which registry and revision.

A whole new revision is one transaction, so a reader sees all of it or nothing. Each transaction lists what it changed,
by which readers know what of their decoded entries to forget.
"""

import base64
import json
import struct
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import lmdb

from extauthz.registry.database.sealing import SealBroken, Sealer, Vault
from extauthz.registry.replica.records import (
    CHANGE,
    FILE_KEY,
    KINDS,
    META,
    Position,
    RecordBroken,
    RecordCipher,
)

FORMAT: Final = b"\x02"
"""In front of the sealed key of a file. What another version wrote is made anew."""
FILE_KEY_LABEL: Final = "replica key"
MAP_BYTES: Final = 1 << 34
"""Of addresses, not of disk or memory: what a replica can grow to, forty times a million apps."""
MAX_READERS: Final = 1024
TOGETHER: Final = 20_000
"""Entries in one transaction while a file is built, which nobody reads yet."""
LISTED: Final = 2_000
"""Changed records that lists name to a reader at once, whose checks wait meanwhile. Past it everything is forgotten."""
LISTS: Final = 64
ANY: Final = b"*"
"""In place of a list."""
LENGTH: Final = struct.Struct(">H")
"""In front of each key of a list."""
_PAGE: Final = 4096
NUMBER: Final = struct.Struct(">Q")


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
            max_readers=MAX_READERS, max_spare_txns=0,
        )  # fmt: skip
        pages = opened.info()["last_pgno"] + 1
        if path.stat().st_size < pages * _PAGE:  # reading behind the end would end the process
            opened.close()
            raise ReplicaBroken("it is shorter than it says")
    except (lmdb.Error, OSError) as error:
        raise ReplicaBroken(f"it cannot be opened ({type(error).__name__})") from None
    return opened


def read_meta(view: lmdb.Transaction, sealer: Sealer) -> tuple[Meta, Vault, RecordCipher]:
    """Of which registry and revision a view of a file is, and what opens it. Raises ReplicaBroken."""
    try:
        sealed_key: Any = view.get(FILE_KEY)
        record: Any = view.get(META)
        if sealed_key is None or record is None:
            raise ReplicaBroken("it does not say what it is a replica of, or another version wrote it")
        if sealed_key[:1] != FORMAT:
            raise ReplicaBroken("it has the format of another version")
        cipher = RecordCipher(sealer.open(sealed_key[1:], FILE_KEY_LABEL))
        told = json.loads(cipher.open(META, record))
        sealed = base64.b64decode(told["hash_key"])
        position = Position(told["registry"], told["revision"], told["mark"], sealed)
        return Meta(position, told["counts"], told["master_keys"]), Vault(sealer, sealed), cipher
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


def prove(view: lmdb.Transaction, cipher: RecordCipher, stopping: Callable[[], bool]) -> None:
    """Prove every record of a view, and their order, by which they are found. Raises ReplicaBroken."""
    before = b""
    try:
        records: Iterable[Any] = view.cursor()
        for place, (key, record) in enumerate(records):
            if key != FILE_KEY:  # which proves itself to whoever has a master key
                cipher.open(key, record)
            if key <= before:
                raise ReplicaBroken("its records are out of order")
            before = key
            if not place % TOGETHER and stopping():
                return
    except (RecordBroken, lmdb.Error):
        raise ReplicaBroken("a record is damaged") from None


def changed_since(view: lmdb.Transaction, cipher: RecordCipher, number: int) -> list[bytes] | None:
    """The keys of records that changed after transaction ``number``; None: nobody knows any more, or too many."""
    changed: list[bytes] = []
    for later in range(number + 1, view.id() + 1):
        key = CHANGE + NUMBER.pack(later)
        record: Any = view.get(key)
        if record is None or later - number > LISTS:
            return None
        listed = cipher.open(key, record)
        if listed == ANY:
            return None
        at = 0
        while at < len(listed):
            end = at + LENGTH.size + LENGTH.unpack_from(listed, at)[0]
            changed.append(listed[at + LENGTH.size : end])
            at = end
        if len(changed) > LISTED:
            return None
    return changed
