"""The revision of a configuration, as logs, metrics and Envoy's access log show it."""

import hashlib
import json
from collections.abc import Iterable
from typing import Final

from extauthz.config.schema import ConfigFile

_ROUNDS: Final = 20_000
"""A revision, which everybody may see, must be no quick way to try guesses of a secret: some milliseconds for each."""


def revision_of(file: ConfigFile, secrets: Iterable[bytes]) -> str:
    """A short hash of everything, ``secrets`` too: replicas show equal revisions when all they hold is equal.

    ``secrets`` are the values of what the file names, in the order of the file, for a SecretStr dumps as asterisks.
    """
    plain = json.dumps(file.model_dump(mode="json"), sort_keys=True, default=str).encode()
    hashed = hashlib.sha256()
    for part in (plain, *secrets):
        hashed.update(len(part).to_bytes(8, "big") + part)
    return hashlib.pbkdf2_hmac("sha256", hashed.digest(), b"extauthz revision", _ROUNDS).hex()[:12]
