"""What the authentication methods compare, in the order in which they do: rows for the table of a check's way.

The rules stand in ``auth``; here are only the values that they look at.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from extauthz.auth import appcode
from extauthz.auth.jwt_token import Token, find_tokens, parse_token
from extauthz.auth.parameters import is_form
from extauthz.domain import reason
from extauthz.domain.api import Api, AuthMethod
from extauthz.domain.decision import Allow
from extauthz.domain.header_names import (
    CONTENT_MD5,
    CONTENT_TYPE,
    X_CA_KEY,
    X_CA_NONCE,
    X_CA_SIGNATURE,
    X_CA_SIGNATURE_HEADERS,
    X_CA_SIGNATURE_METHOD,
    X_CA_TIMESTAMP,
)
from extauthz.domain.request import Request
from extauthz.domain.snapshot.directory import DirectoryUnavailable
from extauthz.explain.fact import Row, moment, span, text
from extauthz.explain.way import Way


def request_of(way: Way) -> Request:
    """The request of a check that got so far that there is one."""
    if way.request is None:
        raise ValueError("this check had no request")
    return way.request


def api_of(way: Way) -> Api:
    """The API of a check that got so far that there is one."""
    api = way.about.api
    if api is None:
        raise ValueError("this check had no API")
    return api


def _header(way: Way, name: str, missing: str = "missing") -> str:
    value = request_of(way).headers.get(name, b"")
    return text(value) if value else missing


def _repeated(way: Way) -> str:
    repeated = sorted(request_of(way).repeated)
    return f"came more than once: {', '.join(repeated)}" if repeated else "no header came more than once"


def _algorithm(way: Way) -> str:
    stated = _header(way, X_CA_SIGNATURE_METHOD, "HmacSHA256, as none is stated")
    return f"{stated}; the API takes {', '.join(sorted(api_of(way).digest.algorithms))}"


def _timestamp(way: Way) -> str:
    stated = request_of(way).headers.get(X_CA_TIMESTAMP, b"").strip()
    window = span(api_of(way).digest.window_ms)
    if not stated:
        return f"missing; {'required' if api_of(way).digest.require_timestamp else 'not required'}"
    if not stated.isdigit() or len(stated) > 15:
        return f"{text(stated)}, which is not milliseconds since 1970"
    ahead = way.now_ms - int(stated)
    side = "behind" if ahead >= 0 else "ahead of"
    return f"{text(stated)} = {moment(int(stated))}, {span(ahead)} {side} our clock; up to {window} is taken"


def _nonce(way: Way) -> str:
    required = api_of(way).digest.require_nonce
    return _header(way, X_CA_NONCE, f"missing; {'required' if required else 'not required'}")


def _must_be_signed(way: Way) -> str:
    required = api_of(way).digest.require_signed
    return f"required: {', '.join(sorted(required)) or 'none'}; signed: {_header(way, X_CA_SIGNATURE_HEADERS, 'none')}"


def _body(way: Way) -> str:
    request = request_of(way)
    kind = text(request.headers.get(CONTENT_TYPE, b"")) or "no Content-Type"
    read = "its fields are signed" if is_form(request.headers.get(CONTENT_TYPE, b"")) else "not signed itself"
    return f"{len(request.body)} bytes, {request.delivery.value}; {kind}: {read}"


def _app_key(way: Way) -> str:
    app_key = request_of(way).headers.get(X_CA_KEY, b"").strip()
    try:
        pair = way.checked.snapshot.directory.key_pair(app_key)
    except DirectoryUnavailable as error:
        return str(error)
    if pair is None:
        return f"{text(app_key)} is in neither the configuration nor its registry" if app_key else "X-Ca-Key is missing"
    older = f"; its older secret holds until {moment(pair.previous_until_ms)}" if pair.previous_until_ms else ""
    return f"{text(app_key)} belongs to app {pair.app_id}{older}"


def _signature(way: Way) -> str:
    decision = way.decision
    sent = _header(way, X_CA_SIGNATURE)
    if isinstance(decision, Allow) and decision.reading:
        secret = "older secret" if decision.credential.startswith("previous/") else "secret"
        return f"{sent} is right by the {secret}, read as {decision.reading}"
    return f"{sent} is not the HMAC of the string to sign"


def _content_md5(way: Way) -> str:
    request = request_of(way)
    stated = request.headers.get(CONTENT_MD5, b"").strip()
    if not stated:
        return "none is stated"
    actual = base64.b64encode(hashlib.md5(request.body, usedforsecurity=False).digest())
    return f"stated {text(stated)}, the body has {text(actual)}"


DIGEST: Final = (
    Row("once", (reason.HEADER_REPEATED,), _repeated),
    Row("signature", (reason.SIGNATURE_MISSING,), lambda way: _header(way, X_CA_SIGNATURE)),
    Row("algorithm", (reason.SIGNATURE_METHOD_REFUSED,), _algorithm),
    Row("names", (reason.HEADER_INVALID,), lambda way: _header(way, X_CA_SIGNATURE_HEADERS, "none are listed")),
    Row(
        "timestamp",
        (reason.TIMESTAMP_INVALID, reason.TIMESTAMP_REQUIRED, reason.TIMESTAMP_EXPIRED),
        _timestamp,
    ),
    Row("nonce", (reason.NONCE_REQUIRED,), _nonce),
    Row("must be signed", (reason.SIGNED_HEADER_REQUIRED,), _must_be_signed),
    Row("body", (reason.BODY_TOO_LARGE, reason.BODY_UNAVAILABLE), _body),
    Row("AppKey", (reason.APP_KEY_UNKNOWN, reason.REGISTRY_UNAVAILABLE), _app_key),
    Row("match", (reason.SIGNATURE_MISMATCH,), _signature),
    Row("strict mode", (reason.STRICT_REFUSED,), lambda way: api_of(way).digest.strict.value),
    Row("Content-MD5", (reason.CONTENT_MD5_INVALID,), _content_md5),
)


def _code_place(way: Way) -> str:
    in_header = appcode.header_code(request_of(way)) is not None
    return f"{'in Authorization' if in_header else 'in the query'}; the API takes them in {api_of(way).app_code.value}"


def _code_app(way: Way) -> str:
    app = way.about.app
    return f"belongs to app {app.id}" if app is not None else "belongs to no app that is known"


APP_CODE: Final = (
    Row("one AppCode", (reason.HEADER_REPEATED, reason.REQUEST_INVALID, reason.CREDENTIAL_AMBIGUOUS), _code_place),
    Row("known", (reason.APP_CODE_UNKNOWN, reason.REGISTRY_UNAVAILABLE), _code_app),
)


def _token(way: Way) -> Token | None:
    plugin = api_of(way).jwt
    tokens = None if plugin is None or plugin.envoy_payload is not None else find_tokens(request_of(way), plugin)
    parsed = parse_token(tokens[0]) if tokens and len(tokens) == 1 else None
    return parsed if isinstance(parsed, Token) else None


def _token_place(way: Way) -> str:
    plugin = api_of(way).jwt
    if plugin is None:
        return "the API has no JWT plug-in"
    if plugin.envoy_payload is not None:
        return f"verified by Envoy, payload {plugin.envoy_payload!r}"
    return f"plug-in {plugin.id}: in {plugin.place.value} {plugin.parameter!r}"


def _token_form(way: Way) -> str:
    token = _token(way)
    if token is None:
        return "cannot be read as a token"
    return ", ".join(f"{name} {token.header[name]!r}" for name in ("alg", "kid", "typ") if name in token.header)


def _token_keys(way: Way) -> str:
    plugin = api_of(way).jwt
    keys = None if plugin is None else plugin.key_source.current
    if plugin is None or keys is None:
        return "no keys were had"
    kids = [key.kid or "(no kid)" for key in keys.keys]
    shown = ", ".join(kids[:8]) + (", ..." if len(kids) > 8 else "")
    return f"{len(kids)} keys: {shown}; takes {', '.join(sorted(plugin.algorithms))}"


def _token_claims(way: Way) -> str:
    token, plugin = _token(way), api_of(way).jwt
    if token is None or plugin is None:
        return ""
    told = [f"now {moment(way.now_ms)}"]
    told += [f"{name} {_time(token.claims[name])}" for name in ("exp", "nbf", "iat") if name in token.claims]
    for name, accepted in (("iss", plugin.issuers), ("aud", plugin.audiences)):
        if accepted or name in token.claims:
            told.append(f"{name} {token.claims.get(name)!r}, taken: {', '.join(sorted(accepted)) or 'any'}")
    told += [f"required {'.'.join(path)}" for path in plugin.required_claims]
    return "; ".join(told)


def _time(seconds: object) -> str:
    return moment(int(seconds * 1000)) if isinstance(seconds, int | float) else repr(seconds)


JWT: Final = (
    Row(
        "one token",
        (reason.JWT_MISSING, reason.HEADER_REPEATED, reason.HEADER_INVALID, reason.REQUEST_INVALID),
        _token_place,
    ),
    Row("form", (reason.JWT_MALFORMED,), _token_form),
    Row("keys", (reason.JWT_KEYS_UNAVAILABLE, reason.JWT_KEY_UNKNOWN), _token_keys),
    Row("signature and claims", (reason.JWT_INVALID, reason.JWT_EXPIRED, reason.JTI_REQUIRED), _token_claims),
)
ROWS: Final[Mapping[str, Sequence[Row]]] = {
    AuthMethod.DIGEST: DIGEST,
    AuthMethod.APP_CODE: APP_CODE,
    AuthMethod.JWT: JWT,
}
"""By the name of the method."""
