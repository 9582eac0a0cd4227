"""JWT: a bearer token checked by the API's JWT plug-in (vendor docs 103228 and 177489; RFC 7519, RFC 8725)."""

import base64
import binascii
import json
import math
import re
from email.utils import formatdate
from typing import Any, Final, NamedTuple

from jwt import PyJWS
from jwt.exceptions import PyJWTError

from extauthz.auth.parameters import parse_pairs
from extauthz.domain import reason
from extauthz.domain.api import Api, AuthMethod
from extauthz.domain.decision import Proof, Refusal
from extauthz.domain.jwt import JwtPlugin, TokenPlace, VerificationKey
from extauthz.domain.one_time import token_use
from extauthz.domain.request import Request
from extauthz.domain.snapshot import Snapshot

_MAX_TOKEN_BYTES: Final = 16_384
_MAX_KID: Final = 256
_FOREVER_S: Final = 2**53  # past it, floats cannot count seconds, and integers no longer fit into them
_ACCEPTED_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})
_OTHER_SCHEMES: Final = frozenset({b"appcode", b"basic", b"digest"})
_ILLEGAL_IN_HEADER: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|^\s|\s$")
_JWS: Final = PyJWS()


def is_presented(request: Request, api: Api) -> bool:
    """Whether something stands where the plug-in looks for its token."""
    return api.jwt is not None and bool(_tokens(request, api.jwt))


def authenticate(request: Request, api: Api, snapshot: Snapshot, now_ms: int) -> Proof | Refusal:
    """Verify the one token that the request brings, and turn its claims into upstream headers."""
    plugin = api.jwt
    if plugin is None:
        return Refusal(reason.JWT_MISSING, detail="the API has no JWT plug-in")
    if plugin.place is TokenPlace.HEADER and plugin.parameter in request.repeated:
        return Refusal(reason.HEADER_REPEATED, plugin.parameter)
    tokens = _tokens(request, plugin)
    if not tokens:
        return Refusal(reason.JWT_MISSING)
    if len(tokens) > 1:
        return Refusal(reason.JWT_INVALID, "more than one token")
    parsed = _parse(tokens[0])
    if isinstance(parsed, Refusal):
        return parsed
    refusal = _signature_refusal(parsed, plugin) or _claims_refusal(parsed.claims, plugin, now_ms // 1000)
    if refusal:
        return refusal
    headers = _claim_headers(parsed.claims, plugin)
    if isinstance(headers, Refusal):
        return headers
    subject = parsed.claims.get("sub", "")
    proof = Proof(
        AuthMethod.JWT,
        subject=subject if isinstance(subject, str) else "",
        claim_headers=headers,
    )
    if not plugin.prevent_jti_replay:
        return proof
    jti = parsed.claims.get("jti")
    if not isinstance(jti, str) or not jti:
        return Refusal(reason.JTI_REQUIRED)
    expires_ms = _last_accepted_ms(parsed.claims, plugin, now_ms)
    return proof._replace(uses=(token_use(request, plugin.id, jti, tokens[0], expires_ms),))


def _last_accepted_ms(claims: dict[str, Any], plugin: JwtPlugin, now_ms: int) -> int:
    """Until when this token's jti must be remembered: for as long as the token could be accepted again."""
    if plugin.ignore_expiration:  # such a token never ends: remember it as long as the longest ordinary one
        return now_ms + (plugin.max_lifetime_s + plugin.clock_skew_s) * 1000
    expires_s: float = claims["exp"]
    return math.ceil(expires_s + plugin.clock_skew_s) * 1000


def _tokens(request: Request, plugin: JwtPlugin) -> list[bytes]:
    if plugin.place is TokenPlace.QUERY:
        wanted = plugin.parameter.encode()
        return [value for key, value in parse_pairs(request.query.encode()) if key == wanted and value]
    if plugin.place is TokenPlace.COOKIE:
        # Envoy joins HTTP/1 cookie headers with a comma and HTTP/2 crumbs with a semicolon.
        crumbs = re.split(rb"[;,]", request.headers.get("cookie", b""))
        pairs = (crumb.strip().partition(b"=") for crumb in crumbs)
        return [value.strip(b'"') for name, _, value in pairs if name == plugin.parameter.encode() and value]
    value = request.headers.get(plugin.parameter, b"").strip()
    scheme, _, rest = value.partition(b" ")
    if scheme.lower() == b"bearer":
        value = rest.strip()
    elif plugin.parameter == "authorization" and scheme.lower() in _OTHER_SCHEMES:
        return []
    return [value] if value else []


class _Token(NamedTuple):
    text: bytes
    header: dict[str, Any]
    claims: dict[str, Any]


class _DuplicateMember(ValueError):
    pass


def _parse(token: bytes) -> _Token | Refusal:
    if len(token) > _MAX_TOKEN_BYTES:
        return Refusal(reason.JWT_MALFORMED, detail=f"longer than {_MAX_TOKEN_BYTES} bytes")
    parts = token.split(b".")
    if len(parts) != 3:
        return Refusal(reason.JWT_MALFORMED, detail=f"{len(parts)} parts instead of 3")
    try:
        header, claims = _json_object(parts[0]), _json_object(parts[1])
    except (ValueError, RecursionError) as error:
        return Refusal(reason.JWT_MALFORMED, detail=type(error).__name__)
    if header is None or claims is None:
        return Refusal(reason.JWT_MALFORMED, detail="header or claims are not an object")
    return _Token(token, header, claims)


def _json_object(part: bytes) -> dict[str, Any] | None:
    try:
        text = base64.b64decode(part + b"=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise ValueError("not base64url") from None
    # Text, not bytes: json.loads would also take UTF-16, which other readers of the token do not.
    value = json.loads(text.decode(), object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
    return value if isinstance(value, dict) else None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _DuplicateMember  # two readers of one token could see different claims
    return members


def _refuse_constant(name: str) -> Any:
    raise ValueError("NaN and Infinity are not JSON")


def _signature_refusal(token: _Token, plugin: JwtPlugin) -> Refusal | None:
    header = token.header
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(algorithm, str) or algorithm not in plugin.algorithms:
        return Refusal(reason.JWT_INVALID, "algorithm not accepted")
    if "crit" in header or "b64" in header:
        return Refusal(reason.JWT_INVALID, "critical header not understood")
    if not isinstance(kind, str) or kind.lower() not in _ACCEPTED_TYPES:
        return Refusal(reason.JWT_INVALID, "wrong type of token")
    if kid is not None and (not isinstance(kid, str) or len(kid) > _MAX_KID):
        return Refusal(reason.JWT_INVALID, "malformed kid")
    candidates = [key for key in plugin.key_set.candidates(kid) if algorithm in key.keys]
    if not candidates:
        return Refusal(reason.JWT_KEY_UNKNOWN, kid or "")
    if any(_verifies(token.text, key, algorithm) for key in candidates):
        return None
    return Refusal(reason.JWT_INVALID, "signature does not match")


def _verifies(token: bytes, key: VerificationKey, algorithm: str) -> bool:
    try:
        _JWS.decode_complete(token, key.keys[algorithm], algorithms=[algorithm])
    except PyJWTError:
        return False
    return True


def _claims_refusal(claims: dict[str, Any], plugin: JwtPlugin, now_s: int) -> Refusal | None:
    for name in ("exp", "nbf", "iat"):
        if name in claims and not _is_number(claims[name]):
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
        if claims.get(name, 0) > now_s + skew:
            return Refusal(reason.JWT_INVALID, f"claim {name} lies in the future")
    if plugin.issuer is not None and claims.get("iss") != plugin.issuer:
        return Refusal(reason.JWT_INVALID, "claim iss is not accepted")
    if plugin.audiences:
        audience = claims.get("aud", [])
        stated = audience if isinstance(audience, list) else [audience]
        if not any(isinstance(entry, str) and entry in plugin.audiences for entry in stated):
            return Refusal(reason.JWT_INVALID, "claim aud is not accepted")
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _FOREVER_S


def _http_time(seconds: float) -> str:
    try:
        return formatdate(seconds, usegmt=True)
    except (ValueError, OverflowError, OSError):
        return "an unknown date"


def _claim_headers(claims: dict[str, Any], plugin: JwtPlugin) -> tuple[tuple[str, str], ...] | Refusal:
    headers = []
    for entry in plugin.claim_headers:
        if entry.claim not in claims:
            continue
        text = _header_text(claims[entry.claim])
        if text is None:
            return Refusal(reason.JWT_INVALID, f"claim {entry.claim} does not fit in a header")
        headers.append((entry.header, text))
    return tuple(headers)


def _header_text(value: object) -> str | None:
    """A claim as header text; None when it cannot be one without being changed."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return None if len(value) > 4096 or _ILLEGAL_IN_HEADER.search(value) else value
    if isinstance(value, list):
        parts = [_header_text(part) if not isinstance(part, list | dict) else None for part in value]
        if any(part is None or "," in part for part in parts):
            return None  # a comma inside an element would read as two elements
        return ",".join(part for part in parts if part is not None)
    return None
