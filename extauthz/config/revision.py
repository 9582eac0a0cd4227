"""The revision of a configuration, as logs, metrics and Envoy's access log show it."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Final

from extauthz.config.schema import ConfigFile

DIRECTORY_KEYS: Final = frozenset({"apps", "grants"})
"""The keys of the file that make the directory half of a snapshot; all others make the gateway half."""
_ROUNDS: Final = 4_000
"""A revision, which everybody may see, must be no quick way to try guesses of a secret: milliseconds for each."""


def gateway_revision(file: ConfigFile, secrets: Iterable[bytes]) -> str:
    """A short hash of everything but apps and grants: replicas show equal revisions when all they hold is equal.

    ``secrets`` are the values of what these keys name, in the order of the file, for a SecretStr dumps as asterisks.
    """
    return _hash_of(file.model_dump(mode="json", exclude=set(DIRECTORY_KEYS)), secrets)


def directory_revision(file: ConfigFile, secrets: Iterable[bytes]) -> str:
    """The same of apps and grants."""
    return _hash_of(file.model_dump(mode="json", include=set(DIRECTORY_KEYS)), secrets)


def _hash_of(dumped: dict[str, Any], secrets: Iterable[bytes]) -> str:
    plain = json.dumps(dumped, sort_keys=True, default=str).encode()
    hashed = hashlib.sha256()
    for part in (plain, *secrets):
        hashed.update(len(part).to_bytes(8, "big") + part)
    return hashlib.pbkdf2_hmac("sha256", hashed.digest(), b"extauthz revision", _ROUNDS).hex()[:8]
