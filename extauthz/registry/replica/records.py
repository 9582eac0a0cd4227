"""The records of a replica: what a check needs of one entry, in one look-up, as bytes that prove themselves.

A record's key is one letter for its kind and the entry's own key; its value begins with a MAC over both, made with a
key that only the registry's vault gives. A flipped bit, a record of another registry, or one that was moved to another
key is refused, never believed. Secrets stay sealed as they are in the database.
"""

import hashlib
import struct
import uuid
from typing import Final, NamedTuple

from extauthz.domain.app import App, Grant
from extauthz.domain.request import Stage
from extauthz.registry.database.sealing import Vault

MAX_KEY: Final = 400
"""Bytes of a record's key: LMDB takes 511. What is longer is no entry of any registry."""
APP: Final = b"a"
KEY_PAIR: Final = b"k"
APP_CODE: Final = b"c"
GRANT: Final = b"g"
META: Final = b"m"
CHANGE: Final = b"r"
KINDS: Final = {APP[0]: "apps", KEY_PAIR[0]: "keys", APP_CODE[0]: "codes", GRANT[0]: "grants"}
UNREADABLE: Final = 2
"""In the flags of a key pair: no master key opens its secret."""
_DISABLED: Final = 1
MAC_BYTES: Final = 16
"""At the front of each record."""
_MAC_PURPOSE: Final = b"extauthz replica records"
_NEVER: Final = -1
_KEY_HEAD: Final = struct.Struct("<BqBBHH")
_CODE_HEAD: Final = struct.Struct("<BB16s")
_GRANT_HEAD: Final = struct.Struct("<q")
_STAGES: Final = {Stage.RELEASE: b"\0", Stage.PRE: b"\1", Stage.TEST: b"\2"}


Entry = tuple[bytes, bytes | None]
"""The key of a record and its body; None: there is no such entry any more."""


class RecordBroken(Exception):
    """A record that is not what the registry's replicator wrote there."""


class Position(NamedTuple):
    """Where a registry is, or how far a replica has followed it."""

    registry_id: str
    revision: int
    mark: str
    """A hash of what this revision changed: a registry that was restored from a backup and went on has another one."""
    sealed_hash_key: bytes


class SealedPair(NamedTuple):
    """A key pair with its secrets as they rest, and the facts of its app."""

    app: App
    secret: bytes
    previous: bytes | None
    previous_until_ms: int | None
    is_readable: bool


class Code(NamedTuple):
    """Whom an AppCode belongs to."""

    id: str
    app: App


class Prover:
    """Makes and checks the MACs of records. Shows its key nowhere."""

    __slots__ = ("_keyed",)

    def __init__(self, vault: Vault) -> None:
        self._keyed = hashlib.blake2b(digest_size=MAC_BYTES, key=vault.hash(_MAC_PURPOSE))

    def record(self, key: bytes, body: bytes) -> bytes:
        """What is stored under a key."""
        return self._mac(key, body) + body

    def body(self, key: bytes, record: bytes) -> bytes:
        """What was stored under a key. Raises RecordBroken."""
        body = record[MAC_BYTES:]
        # Nobody can try MACs here and take the time, so a plain comparison does.
        if record[:MAC_BYTES] != self._mac(key, body):
            raise RecordBroken
        return body

    def _mac(self, key: bytes, body: bytes) -> bytes:
        keyed = self._keyed.copy()
        keyed.update(b"%d:%b%b" % (len(key), key, body))
        return keyed.digest()


def app_key(app_id: str) -> bytes:
    """The key of an app's record."""
    return APP + app_id.encode()


def grant_key(app_id: str, api_id: str, stage: Stage) -> bytes:
    """The key of a grant's record. No id holds a slash."""
    return b"%b%b/%b%b" % (GRANT, app_id.encode(), api_id.encode(), _STAGES[stage])


def app_body(app: App) -> bytes:
    """An app as a record's body."""
    return bytes([_DISABLED if app.disabled else 0]) + app.owner.encode()


def read_app(key: bytes, body: bytes) -> App:
    """The app of a record."""
    return App(key[1:].decode(), body[1:].decode(), bool(body[0] & _DISABLED))


def pair_body(pair: SealedPair) -> bytes:
    """A key pair as a record's body."""
    app_id, owner = pair.app.id.encode(), pair.app.owner.encode()
    flags = (_DISABLED if pair.app.disabled else 0) | (0 if pair.is_readable else UNREADABLE)
    until_ms = _NEVER if pair.previous_until_ms is None else pair.previous_until_ms
    previous = pair.previous or b""
    head = _KEY_HEAD.pack(flags, until_ms, len(app_id), len(owner), len(pair.secret), len(previous))
    return b"".join((head, app_id, owner, pair.secret, previous))


def read_pair(body: bytes) -> SealedPair:
    """The key pair of a record."""
    flags, until_ms, id_length, owner_length, secret_length, previous_length = _KEY_HEAD.unpack_from(body)
    owner_at = _KEY_HEAD.size + id_length
    secret_at = owner_at + owner_length
    previous_at = secret_at + secret_length
    app = App(body[_KEY_HEAD.size : owner_at].decode(), body[owner_at:secret_at].decode(), bool(flags & _DISABLED))
    previous = body[previous_at:] if previous_length else None
    readable = not flags & UNREADABLE
    return SealedPair(app, body[secret_at:previous_at], previous, None if until_ms == _NEVER else until_ms, readable)


def code_body(code: Code) -> bytes:
    """An AppCode as a record's body."""
    app_id = code.app.id.encode()
    flags = _DISABLED if code.app.disabled else 0
    return _CODE_HEAD.pack(flags, len(app_id), uuid.UUID(code.id).bytes) + app_id + code.app.owner.encode()


def read_code(body: bytes) -> Code:
    """The AppCode of a record."""
    flags, id_length, code_id = _CODE_HEAD.unpack_from(body)
    owner_at = _CODE_HEAD.size + id_length
    name, owner = body[_CODE_HEAD.size : owner_at].decode(), body[owner_at:].decode()
    known_by = str(uuid.UUID(bytes=code_id))
    return Code(known_by, App(name, owner, bool(flags & _DISABLED), known_by))


def grant_body(grant: Grant) -> bytes:
    """A grant as a record's body."""
    return _GRANT_HEAD.pack(_NEVER if grant.until_ms is None else grant.until_ms) + grant.granted_by.encode()


def read_grant(app_id: str, api_id: str, stage: Stage, body: bytes) -> Grant:
    """The grant of a record, whose key says of what."""
    (until_ms,) = _GRANT_HEAD.unpack_from(body)
    return Grant(app_id, api_id, stage, None if until_ms == _NEVER else until_ms, body[_GRANT_HEAD.size :].decode())
