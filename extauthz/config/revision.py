"""The revision of a configuration, as logs, metrics and Envoy's access log show it."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from pydantic import BaseModel

from extauthz.config.schema import ConfigFile

DIRECTORY_KEYS: Final = frozenset({"apps", "grants"})
"""The keys of the file that make the directory half of a snapshot; all others make the gateway half."""
_ROUNDS: Final = 4_000
"""A revision, which everybody may see, must be no quick way to try guesses of a secret: milliseconds for each."""


def gateway_revision(file: ConfigFile, secrets: Iterable[bytes]) -> str:
    """A short hash of everything but apps and grants: replicas show equal revisions when all they hold is equal.

    ``secrets`` are the values of what these keys name, in the order of the file, for a SecretStr dumps as asterisks.
    """
    return _hash_of([_json(file.model_dump(mode="json", exclude=set(DIRECTORY_KEYS)))], secrets)


def directory_revision(file: ConfigFile, secrets: Iterable[bytes]) -> str:
    """The same of apps and grants. Entry by entry: of a hundred thousand at once nobody else would get a turn."""
    return _hash_of(_directory(file), secrets)


def _directory(file: ConfigFile) -> Iterator[bytes]:
    yield b'{"apps": ['
    yield from _entries(file.apps)
    yield b'], "grants": ['
    yield from _entries(file.grants)
    yield b"]}"


def _entries(entries: Iterable[BaseModel]) -> Iterator[bytes]:
    comma = b""
    for entry in entries:
        yield comma + _json(entry.model_dump(mode="json"))
        comma = b", "


def _json(dumped: dict[str, Any]) -> bytes:
    return json.dumps(dumped, sort_keys=True, default=str).encode()


def _hash_of(plain: Iterable[bytes], secrets: Iterable[bytes]) -> str:
    hashed = hashlib.sha256()
    pieces = list(plain)
    hashed.update(sum(map(len, pieces)).to_bytes(8, "big"))
    for piece in pieces:
        hashed.update(piece)
    for secret in secrets:
        hashed.update(len(secret).to_bytes(8, "big") + secret)
    return hashlib.pbkdf2_hmac("sha256", hashed.digest(), b"extauthz revision", _ROUNDS).hex()[:8]
