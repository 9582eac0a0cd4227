"""Finding a token in a request, and taking it apart: strictly, so that no two readers can see different tokens."""

import binascii
import json
import re
import string
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from extauthz.auth.lookalike import values_of
from extauthz.auth.parameters import MAX_PARAMETERS, cookie_pairs, parse_pairs, query_pairs
from extauthz.domain import reason
from extauthz.domain.decision import Refusal
from extauthz.domain.header_names import AUTHORIZATION
from extauthz.domain.request import Pair, Request
from extauthz.domain.tokens.jwt import JwtPlugin, TokenPlace

_SCHEMES_ALONE: Final = frozenset({b"appcode", b"basic", b"digest", b"negotiate"})
_SCHEME: Final = re.compile(rb"[A-Za-z][A-Za-z0-9_-]*[ \t]")
_TOKEN_BEHIND_COMMA: Final = re.compile(rb",[ \t]*+[A-Za-z0-9_-]++\.[A-Za-z0-9_-]++\.")
# Only the alphabet of base64url: Python's decoder would take "+" and "/" too, and one token would have many spellings.
_ALPHABET: Final = (string.ascii_letters + string.digits + "-_").encode()
_AS_DECODED: Final = bytes.maketrans(b"-_", b"+/")
_PADDING: Final = (b"", b"===", b"==", b"=")
_CACHED_HEADER: Final = 256
"""Longest header of a token that is remembered, as it is spelled. A provider has one for each of its keys."""


class Token(NamedTuple):
    """A token taken apart. Nothing in it is verified yet."""

    signed: bytes
    """Header and claims as they came, which is what the signature covers."""
    signature: bytes
    header: Mapping[str, Any]
    """Shared by all tokens with the same one."""
    claims: dict[str, Any]


class _DuplicateMember(ValueError):
    pass


def find_tokens(request: Request, plugin: JwtPlugin) -> list[bytes] | None:
    """What stands where the plug-in looks for its token: nothing, one token, or too many.

    MISSPELLED is among them where something stands under a name that other readers take for the plug-in's. None when
    query or cookies have more parts than are read: any of them may be a token, so that is never "no token".

    In a header the word ``Bearer`` may stand before the token (vendor doc 103228). Credentials of other schemes in
    ``Authorization`` are no tokens.
    """
    if plugin.place is TokenPlace.HEADER:
        value = request.headers.get(plugin.parameter)
        if not value:
            return []
        if value.startswith(b"Bearer "):
            value = value[7:].strip()
            return [value] if value else []
        return _header_token(value.strip(), plugin)
    wanted = plugin.parameter.encode()
    if plugin.place is TokenPlace.QUERY:
        pairs = query_pairs(request)
        hidden = _behind_semicolons(request.query) if ";" in request.query else []
        if pairs is None or hidden is None:
            return None
        return [value for value in values_of([*pairs, *hidden], wanted) if value]
    cookies = cookie_pairs(request)
    return None if cookies is None else [value.strip(b'"') for value in values_of(cookies, wanted) if value]


def _behind_semicolons(query: str) -> list[Pair] | None:
    """Parameters that only readers see who split at ``;`` too; None when there are more than are read."""
    if query.count(";") >= MAX_PARAMETERS:
        return None
    return parse_pairs("&".join([part for chunk in query.split("&") for part in chunk.split(";")[1:]]).encode())


def _header_token(value: bytes, plugin: JwtPlugin) -> list[bytes]:
    scheme, _, rest = value.partition(b" ")
    if scheme.lower() == b"bearer":
        value = rest.strip()
    elif plugin.parameter == AUTHORIZATION and _is_other_scheme(value) and not _hides_token(value):
        return []
    return [value] if value else []


def _is_other_scheme(value: bytes) -> bool:
    """Whether a word and a blank stand before the credential (RFC 9110, section 11.4), as in ``ApiKey x``.

    A bare token has no blank, and a JWT has dots, which no registered scheme has.
    """
    return value.lower() in _SCHEMES_ALONE or _SCHEME.match(value) is not None


def _hides_token(value: bytes) -> bool:
    """Whether a reader who searches could find a token behind the first credential.

    Envoy joins repeated Authorization headers with a comma, so ``Basic x,Bearer y`` may be two headers.
    """
    return b"bearer" in value.lower() or _TOKEN_BEHIND_COMMA.search(value) is not None


def parse_token(token: bytes) -> Token | Refusal:
    """Take a token apart: compact form, two JSON objects, no member twice."""
    parts = token.split(b".")
    if len(parts) != 3 or not parts[0] or not parts[1] or token.translate(None, _ALPHABET) != b"..":
        return Refusal(reason.JWT_MALFORMED, detail="not three parts of base64url")
    try:
        spelled = parts[0]
        header = _header_cached(spelled) if len(spelled) <= _CACHED_HEADER else _json_object(spelled)
        claims = _json_object(parts[1])
        signature = _decode(parts[2])
    except (ValueError, RecursionError) as error:
        return Refusal(reason.JWT_MALFORMED, detail=type(error).__name__)
    if header is None or claims is None:
        return Refusal(reason.JWT_MALFORMED, detail="header or claims are not an object")
    return Token(token[: len(parts[0]) + 1 + len(parts[1])], signature, header, claims)


def _decode(part: bytes) -> bytes:
    return binascii.a2b_base64(part.translate(_AS_DECODED) + _PADDING[len(part) % 4])


def _json_object(part: bytes) -> dict[str, Any] | None:
    # As UTF-8 and nothing else: from bytes, `json` would guess UTF-16 and UTF-32 too.
    text = _decode(part).decode()
    value = _JSON.decode(text)
    return value if isinstance(value, dict) else None


_header_cached = lru_cache(maxsize=256)(_json_object)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _DuplicateMember  # two readers of one token could see different claims
    return members


def _refuse_constant(name: str) -> Any:
    raise ValueError("NaN and Infinity are not JSON")


_JSON: Final = json.JSONDecoder(object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
