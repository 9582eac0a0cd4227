"""What names, ids and texts of the registry may hold (vendor: CreateApp, CreateAppKey, CreateAppCode)."""

import re
import secrets
from datetime import UTC, datetime
from typing import Final

from extauthz.domain.request import Stage
from extauthz.registry.errors import Invalid

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CREDENTIAL: Final = re.compile(r"[A-Za-z0-9_-]{8,128}")
NAME_LENGTH: Final = (4, 26)
MAX_DESCRIPTION: Final = 180
MAX_WHY: Final = 500
MAX_AT_ONCE: Final = 100
"""APIs of one app, or apps of one API, in one call (vendor: SetApisAuthorities, SetAppsAuthorities)."""


def checked_id(field: str, value: str) -> str:
    """An id. Raises Invalid."""
    if not _ID.fullmatch(value):
        raise Invalid(field, "must be 1 to 64 letters, digits, `.`, `_` or `-`, and begin with a letter or digit")
    return value


def checked_credential(field: str, value: str) -> str:
    """An AppKey or AppCode. Raises Invalid, whose message does not hold the value."""
    if not _CREDENTIAL.fullmatch(value):
        raise Invalid(field, "must be 8 to 128 letters, digits, `_` or `-`")
    return value


def checked_secret(field: str, value: str) -> str:
    """An AppSecret that somebody brings along. Raises Invalid, whose message does not hold the value."""
    if not 16 <= len(value) <= 128 or not value.isascii() or not value.isprintable() or value != value.strip():
        raise Invalid(field, "must be 16 to 128 printable ASCII characters without blanks at the ends")
    return value


def checked_name(field: str, value: str) -> str:
    """The name of an app. Raises Invalid."""
    least, most = NAME_LENGTH
    if not least <= len(value) <= most or not value.isprintable() or value != value.strip():
        raise Invalid(field, f"must be {least} to {most} printable characters without blanks at the ends")
    return value


def checked_text(field: str, value: str, longest: int = MAX_DESCRIPTION) -> str:
    """A text for people. Raises Invalid."""
    if len(value) > longest or not all(character.isprintable() or character in "\n\t" for character in value):
        raise Invalid(field, f"must be at most {longest} printable characters")
    return value


def checked_stage(field: str, value: str) -> Stage:
    """A stage, in any letter case. Raises Invalid."""
    try:
        return Stage(value.upper())
    except ValueError:
        raise Invalid(field, f"must be one of {', '.join(Stage)}") from None


def new_app_key() -> str:
    """An AppKey that nobody has."""
    return secrets.token_hex(12)


def new_secret() -> str:
    """An AppSecret: 192 random bits."""
    return secrets.token_urlsafe(24)


def new_app_code() -> str:
    """An AppCode: 192 random bits."""
    return secrets.token_hex(24)


def utc_text(at_ms: int | None) -> str | None:
    """A moment in milliseconds since 1970 as ISO 8601 in UTC."""
    if at_ms is None:
        return None
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
