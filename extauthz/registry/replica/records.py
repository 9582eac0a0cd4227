"""The records of a replica: what a check needs of one entry, in one look-up, as bytes that prove themselves.

A record's key is one letter for its kind and the entry's own key. Its value is a random nonce and what AES-256-GCM
makes of the body, with the record's key as associated data: opening a secret and proving where it belongs are one step.
Each file has a key of its own, random, and sealed with the newest master key. A flipped bit, a record of another file,
or one that was moved to another key is refused, never believed.
"""

import os
import struct
import uuid
from dataclasses import dataclass
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from extauthz.domain.app import App, Grant, KeyPair
from extauthz.domain.request import Stage

MAX_KEY: Final = 400
"""Bytes of a record's key: LMDB takes 511. What is longer is no entry of any registry."""
APP: Final = b"a"
KEY_PAIR: Final = b"k"
APP_CODE: Final = b"c"
GRANT: Final = b"g"
META: Final = b"m"
FILE_KEY: Final = b"f"
CHANGE: Final = b"r"
KINDS: Final = {APP[0]: "apps", KEY_PAIR[0]: "keys", APP_CODE[0]: "codes", GRANT[0]: "grants"}
_DISABLED: Final = 1
_UNREADABLE: Final = 2
"""In the flags of a key pair: no master key opens its secret."""
_HAS_PREVIOUS: Final = 4
FILE_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_NEVER: Final = -1
_KEY_HEAD: Final = struct.Struct("<BqBBH")
_CODE_HEAD: Final = struct.Struct("<BB16s")
_GRANT_HEAD: Final = struct.Struct("<q")
_STAGES: Final = {Stage.RELEASE: "\0", Stage.PRE: "\1", Stage.TEST: "\2"}


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


@dataclass(frozen=True, slots=True, eq=False)
class AppPair:
    """A key pair and its app, as one record holds both."""

    app: App
    pair: KeyPair | None
    """None: no master key opens its secret, and nobody can call with it."""


class Code(NamedTuple):
    """Whom an AppCode belongs to."""

    id: str
    app: App


class RecordCipher:
    """Closes and opens the records of one file. Shows its key nowhere."""

    __slots__ = ("_aead",)

    def __init__(self, file_key: bytes) -> None:
        self._aead = AESGCM(file_key)

    def close(self, key: bytes, body: bytes) -> bytes:
        """What is stored under a key."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, body, key)

    def open(self, key: bytes, record: bytes) -> bytes:
        """The body of what is stored under a key. Raises RecordBroken."""
        try:
            return self._aead.decrypt(record[:_NONCE_BYTES], record[_NONCE_BYTES:], key)
        except (InvalidTag, ValueError):
            raise RecordBroken from None


def app_key(app_id: str) -> bytes:
    """The key of an app's record."""
    return f"a{app_id}".encode()


def grant_key(app_id: str, api_id: str, stage: Stage) -> bytes:
    """The key of a grant's record. No id holds a slash."""
    return f"g{app_id}/{api_id}{_STAGES[stage]}".encode()


def app_body(app: App) -> bytes:
    """An app as a record's body."""
    return bytes([_DISABLED if app.disabled else 0]) + app.owner.encode()


def read_app(key: bytes, body: bytes) -> App:
    """The app of a record."""
    return App(key[1:].decode(), body[1:].decode(), bool(body[0] & _DISABLED))


def pair_body(app: App, pair: KeyPair | None) -> bytes:
    """A key pair as a record's body; without one, that of a key pair whose secret nobody can open."""
    app_id, owner = app.id.encode(), app.owner.encode()
    flags = _DISABLED if app.disabled else 0
    if pair is None:
        return _KEY_HEAD.pack(flags | _UNREADABLE, _NEVER, len(app_id), len(owner), 0) + app_id + owner
    previous = b""
    if pair.previous is not None:
        flags, previous = flags | _HAS_PREVIOUS, pair.previous
    until_ms = _NEVER if pair.previous_until_ms is None else pair.previous_until_ms
    head = _KEY_HEAD.pack(flags, until_ms, len(app_id), len(owner), len(pair.secret))
    return b"".join((head, app_id, owner, pair.secret, previous))


def read_pair(app_key: str, body: bytes) -> AppPair:
    """The key pair of a record, and its app."""
    flags, until_ms, id_length, owner_length, secret_length = _KEY_HEAD.unpack_from(body)
    owner_at = _KEY_HEAD.size + id_length
    secret_at = owner_at + owner_length
    previous_at = secret_at + secret_length
    app_id = body[_KEY_HEAD.size : owner_at].decode()
    app = App(app_id, body[owner_at:secret_at].decode(), bool(flags & _DISABLED))
    if flags & _UNREADABLE:
        return AppPair(app, None)
    previous = body[previous_at:] if flags & _HAS_PREVIOUS else None
    until = None if until_ms == _NEVER else until_ms
    return AppPair(app, KeyPair(app_id, app_key, body[secret_at:previous_at], previous, until))


def is_unreadable(body: bytes) -> bool:
    """Whether the body of a key pair says that no master key opens its secret."""
    return bool(body[0] & _UNREADABLE)


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
