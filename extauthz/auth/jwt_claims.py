"""What a token's claims must say, for how long that holds, and which claims go upstream as headers."""

import math
from collections.abc import Iterable, Mapping
from email.utils import formatdate
from typing import Any, Final

from extauthz.domain import reason
from extauthz.domain.decision import Refusal
from extauthz.domain.header_value import is_header_value
from extauthz.domain.tokens.jwt import ClaimPath, ClaimValue, JwtPlugin

_LATEST_S: Final = 2**53
"""Times beyond what a double counts exactly are no times."""


def claims_refusal(claims: Mapping[str, Any], plugin: JwtPlugin, now_s: int) -> Refusal | None:
    """The first claim rule of the plug-in that the claims break, if any. ``now_s`` is in seconds since 1970."""
    return _time_refusal(claims, plugin, now_s) or _content_refusal(claims, plugin)


def _time_refusal(claims: Mapping[str, Any], plugin: JwtPlugin, now_s: int) -> Refusal | None:
    for name in ("exp", "nbf", "iat"):
        if name in claims and not _is_time(claims[name]):
            return Refusal(reason.JWT_INVALID, f"claim {name} is not a number")
    skew = plugin.clock_skew_s
    if not plugin.ignore_expiration:
        expires = claims.get("exp")
        if expires is None:
            return Refusal(reason.JWT_INVALID, "claim exp is missing")
        if expires + skew <= now_s:
            return Refusal(reason.JWT_EXPIRED, _http_time(expires))
        if expires - claims.get("iat", now_s) > plugin.max_lifetime_s or expires - now_s > plugin.max_lifetime_s + skew:
            return Refusal(reason.JWT_INVALID, "lifetime is too long")
    for name in ("nbf", "iat"):
        if claims.get(name, now_s) > now_s + skew:
            return Refusal(reason.JWT_INVALID, f"claim {name} lies in the future")
    return None


def valid_between(claims: Mapping[str, Any], plugin: JwtPlugin) -> tuple[float, float]:
    """The whole seconds, from (inside) and until (outside), at which claims that hold now keep every rule about time.

    This is ``_time_refusal`` solved for the time, so that a token which comes again needs one comparison.
    """
    skew, start, end = plugin.clock_skew_s, -math.inf, math.inf
    for name in ("nbf", "iat"):
        if name in claims:
            start = max(start, claims[name] - skew)
    if not plugin.ignore_expiration:
        end = claims["exp"] + skew
        start = max(start, claims["exp"] - plugin.max_lifetime_s - (skew if "iat" in claims else 0))
    return start, end


def _content_refusal(claims: Mapping[str, Any], plugin: JwtPlugin) -> Refusal | None:
    if plugin.issuers and (refusal := _name_refusal("iss", claims.get("iss"), plugin.issuers)):
        return refusal
    if plugin.audiences and (refusal := _name_refusal("aud", claims.get("aud"), plugin.audiences, lists=True)):
        return refusal
    for path, accepted in plugin.required_claims.items():
        value = _claim_at(claims, path)
        if value is None:
            return Refusal(reason.JWT_INVALID, f"claim {'.'.join(path)} is missing")
        if accepted is not None and not _is_one_of(value, accepted):
            return Refusal(reason.JWT_INVALID, f"claim {'.'.join(path)} is not accepted")
    if plugin.scopes and not plugin.scopes <= _scopes(claims):
        return Refusal(reason.JWT_INVALID, "scope is not sufficient")
    return None


def _name_refusal(name: str, value: Any, accepted: frozenset[str], *, lists: bool = False) -> Refusal | None:
    if value is None:
        return Refusal(reason.JWT_INVALID, f"claim {name} is missing")
    stated = value if lists and isinstance(value, list) else [value]
    if any(isinstance(entry, str) and entry in accepted for entry in stated):
        return None
    return Refusal(reason.JWT_INVALID, f"claim {name} is not accepted")


def _claim_at(claims: Mapping[str, Any], path: ClaimPath) -> Any:
    """What stands at a path; None where any part of it is missing or is no object."""
    value = claims.get(path[0])
    for name in path[1:]:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _is_one_of(value: Any, accepted: Iterable[ClaimValue]) -> bool:
    """Whether a claim, or one element of a list, is an accepted value of the same type: ``true`` is not 1."""
    stated = value if isinstance(value, list) else [value]
    return any(type(entry) is type(one) and entry == one for entry in stated for one in accepted)


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """Scopes out of ``scope`` (RFC 8693) or ``scp`` (Azure, Okta): text with spaces, or a list."""
    stated = claims.get("scope", claims.get("scp"))
    if isinstance(stated, str):
        return frozenset(stated.split(" "))
    return frozenset(entry for entry in stated if isinstance(entry, str)) if isinstance(stated, list) else frozenset()


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -_LATEST_S < value < _LATEST_S


def _http_time(seconds: float) -> str:
    try:
        return formatdate(seconds, usegmt=True)
    except (ValueError, OverflowError, OSError):
        return "an unknown date"


def claim_headers(claims: Mapping[str, Any], plugin: JwtPlugin) -> tuple[tuple[str, str], ...] | Refusal:
    """The headers that tell claims to the upstream.

    A claim that is absent or empty gives none, and the client's copy of its header is removed; a claim that cannot be
    a header without being changed is refused.
    """
    headers = []
    for entry in plugin.claim_headers:
        value = _claim_at(claims, entry.claim)
        if value is None:
            continue
        text = claim_text(value)
        if text is None:
            return Refusal(reason.JWT_INVALID, f"claim {'.'.join(entry.claim)} does not fit in a header")
        if text:
            headers.append((entry.header, text))
    return tuple(headers)


def claim_text(value: object) -> str | None:
    """A claim as header text; None when it cannot be one without being changed."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = value
    elif isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        text = str(value)
    elif isinstance(value, list):
        parts = [claim_text(part) if isinstance(part, str | int | float) else None for part in value]
        if any(not part or "," in part for part in parts):
            return None  # an empty element, or a comma inside one, would read as another list
        text = ",".join(part for part in parts if part)
    else:
        return None
    return text if is_header_value(text) else None
