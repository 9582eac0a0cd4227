"""Apps: the identities that call, their credentials, and the grants that let them."""

import hashlib
import hmac
from dataclasses import dataclass, field

from extauthz.domain.request import Stage

HMAC_SHA256 = "HmacSHA256"
HMAC_SHA1 = "HmacSHA1"


@dataclass(frozen=True, slots=True, eq=False)
class App:
    """An app. Its credentials all carry its full permissions (vendor doc: many credentials, one app)."""

    id: str
    owner: str = ""
    """The account that the app belongs to; an API's owner may grant other accounts' apps by their id."""
    disabled: bool = False
    code_id: str = ""
    """The id of the AppCode by which the registry knew the app; empty where it was another credential."""


@dataclass(frozen=True, slots=True, eq=False)
class KeyPair:
    """An AppKey and its AppSecret. No secret ever appears in ``repr``."""

    app_id: str
    app_key: str
    secret: bytes = field(repr=False)
    previous: bytes | None = field(default=None, repr=False)
    """The secret before the last rotation, valid until ``previous_until_ms``."""
    previous_until_ms: int | None = None
    """Milliseconds since 1970."""

    def previous_at(self, now_ms: int) -> bytes | None:
        """The secret before the last rotation, if it is still valid. The end itself is outside."""
        if self.previous is None or self.previous_until_ms is None or now_ms >= self.previous_until_ms:
            return None
        return self.previous


@dataclass(frozen=True, slots=True, eq=False)
class Grant:
    """The right of one app to call one API in one stage."""

    app_id: str
    api_id: str
    stage: Stage
    until_ms: int | None = None
    """Milliseconds since 1970 at which the grant ends; None: never."""
    granted_by: str = ""

    def is_live(self, now_ms: int) -> bool:
        """Whether the grant still holds. The end itself is outside (vendor doc: AuthValidTime)."""
        return self.until_ms is None or now_ms < self.until_ms


def hash_app_code(code: bytes) -> bytes:
    """The form in which AppCodes are stored and compared, so that a snapshot holds none in clear.

    An AppCode is a random token of at least 8 characters, not a password, so a plain hash is the right cost here.
    """
    return hashlib.sha256(code).digest()


def sign_with(secret: bytes, algorithm: str, string_to_sign: bytes) -> bytes:
    """The raw HMAC of a string to sign. ``algorithm`` is HMAC_SHA256 or HMAC_SHA1 (KeyError otherwise)."""
    return hmac.digest(secret, string_to_sign, _HASHES[algorithm])


def start_signature(secret: bytes, algorithm: str, start: bytes) -> hmac.HMAC:
    """The HMAC of strings to sign that begin alike: hashed once, to be copied for each of them."""
    return hmac.new(secret, start, _HASHES[algorithm])


_HASHES = {HMAC_SHA256: "sha256", HMAC_SHA1: "sha1"}
