"""How secrets rest in the registry: AppSecrets sealed, AppCodes and admin tokens as keyed hashes.

A sealed value is one byte of version, the four-byte id of the master key, a random nonce of 12 bytes, and what
AES-256-GCM makes of the value with a label as associated data: the AppKey for its secret, so that no sealed value can
be moved to another place. Master keys are a list, newest first: the first one seals, any one opens, and ``reseal``
brings everything to the first.

Hashes cannot be made anew, since nobody knows what they are hashes of. So their key does not depend on the master key:
it is random, made with the registry, and rests there sealed like a secret.
"""

import base64
import hmac
import os
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MASTER_KEY_BYTES: Final = 32
HASH_KEY_LABEL: Final = "hash key"
_VERSION: Final = b"\x01"
_UNSEALED: Final = b"\x00"
_KEY_ID_BYTES: Final = 4
_NONCE_BYTES: Final = 12
_HEAD_BYTES: Final = 1 + _KEY_ID_BYTES + _NONCE_BYTES


class MasterKeyFault(ValueError):
    """A master key that cannot be used; the message says how to write one."""


class SealBroken(Exception):
    """A sealed value that no master key opens: damaged, moved, or sealed with a key that is gone."""


class _MasterKey:
    __slots__ = ("aead", "id")

    def __init__(self, key: bytes) -> None:
        self.id = _derive(key, b"extauthz key id", _KEY_ID_BYTES)
        self.aead = AESGCM(_derive(key, b"extauthz seal", 32))


class Sealer:
    """Seals and opens with a list of master keys, newest first. Shows none of them in ``repr``."""

    __slots__ = ("_keys",)

    def __init__(self, master_keys: Sequence[bytes]) -> None:
        """An empty list keeps secrets unsealed, which the operator must have asked for. Raises MasterKeyFault."""
        for key in master_keys:
            if len(key) != MASTER_KEY_BYTES:
                raise MasterKeyFault(
                    f"a master key has {MASTER_KEY_BYTES} bytes; `extauthz registry new-key` makes one"
                )
        self._keys = [_MasterKey(key) for key in master_keys]

    def seal(self, value: bytes, label: str) -> bytes:
        """A value at rest, which opens under this label only."""
        if not self._keys:
            return _UNSEALED + value
        newest, nonce = self._keys[0], os.urandom(_NONCE_BYTES)
        return _VERSION + newest.id + nonce + newest.aead.encrypt(nonce, value, label.encode())

    def open(self, sealed: bytes, label: str) -> bytes:
        """The value. Raises SealBroken, which names the label and no part of the value."""
        if sealed[:1] == _UNSEALED and not self._keys:
            return sealed[1:]
        key_id, nonce = sealed[1 : 1 + _KEY_ID_BYTES], sealed[1 + _KEY_ID_BYTES : _HEAD_BYTES]
        for key in self._keys:
            if sealed[:1] == _VERSION and key.id == key_id:
                try:
                    return key.aead.decrypt(nonce, sealed[_HEAD_BYTES:], label.encode())
                except InvalidTag:
                    break
        raise SealBroken(f"the secret of `{label}` cannot be opened with the master keys at hand")

    def is_current(self, sealed: bytes) -> bool:
        """Whether a value is sealed with the newest key, so that ``reseal`` can leave it."""
        if not self._keys:
            return sealed[:1] == _UNSEALED
        return sealed[:1] == _VERSION and sealed[1 : 1 + _KEY_ID_BYTES] == self._keys[0].id

    @property
    def key_ids(self) -> list[str]:
        """Which master keys these are, and nothing of the keys themselves."""
        return [key.id.hex() for key in self._keys]

    def __repr__(self) -> str:
        return f"Sealer({len(self._keys)} master keys)"


class Vault:
    """What a registry needs for its secrets: a sealer, and the key of its hashes."""

    __slots__ = ("_hash_key", "sealer")

    def __init__(self, sealer: Sealer, sealed_hash_key: bytes) -> None:
        """``sealed_hash_key`` as the registry holds it. Raises SealBroken."""
        self.sealer = sealer
        self._hash_key = sealer.open(sealed_hash_key, HASH_KEY_LABEL)

    def hash(self, value: bytes) -> bytes:
        """How an admin token, or the hash of an AppCode, is stored."""
        return hmac.digest(self._hash_key, value, "sha256")

    def __repr__(self) -> str:
        return f"Vault({self.sealer!r})"


def idempotency_label(actor: str, key: str) -> str:
    """The label of the answer that is kept for an idempotency key."""
    return f"answer/{actor}/{key}"


def new_hash_key(sealer: Sealer) -> bytes:
    """A sealed key for the hashes of a new registry."""
    return sealer.seal(os.urandom(32), HASH_KEY_LABEL)


def new_master_key() -> str:
    """A fresh master key: 32 random bytes in base64."""
    return base64.b64encode(os.urandom(MASTER_KEY_BYTES)).decode()


def _derive(key: bytes, purpose: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt=None, info=purpose).derive(key)
