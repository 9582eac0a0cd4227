"""Digest: AppKey, AppSecret and an HMAC over the request (vendor doc 29475).

The order of checks: credential headers once, timestamp, key and signature, strict mode, body. The nonce is recorded by
the caller of this module, after everything else held, so that strangers cannot burn nonces.
"""

import hashlib
import hmac
import os
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from extauthz.auth import appcode
from extauthz.auth.method import Method
from extauthz.auth.parameters import MAX_PARAMETERS, TOO_MANY, is_form
from extauthz.auth.strict import strict_violation
from extauthz.auth.string_to_sign import MAX_HEAD_BYTES, ONCE, PRIMARY, SignedName, StringToSign, signed_names
from extauthz.domain import reason
from extauthz.domain.api import Api, AuthMethod, Strictness
from extauthz.domain.app import HMAC_SHA1, HMAC_SHA256, KeyPair, sign_with, start_signature
from extauthz.domain.decision import OneTimeUse, Proof, Refusal
from extauthz.domain.header_names import (
    CONTENT_MD5,
    CONTENT_TYPE,
    DIGEST_CREDENTIAL,
    X_CA_KEY,
    X_CA_NONCE,
    X_CA_SIGNATURE,
    X_CA_SIGNATURE_HEADERS,
    X_CA_SIGNATURE_METHOD,
    X_CA_TIMESTAMP,
    as_written,
)
from extauthz.domain.one_time import nonce_use
from extauthz.domain.request import Delivery, Request
from extauthz.domain.snapshot import Snapshot

_ALGORITHMS: Final = {b"": HMAC_SHA256, b"hmacsha256": HMAC_SHA256, b"hmacsha1": HMAC_SHA1}
_MAX_TIMESTAMP_DIGITS: Final = 15
_MOST_OF_A_KEY: Final = 64
"""Bytes that the log keeps of an AppKey that nobody has; it is no secret, and long enough to be recognized."""
# Stand-in key, so that an unknown AppKey takes as long to check as a known one.
_STRANGER: Final = KeyPair("", "", os.urandom(32))


def is_presented(request: Request, api: Api) -> bool:
    """Whether the request carries a signature, or an AppKey that should have come with one.

    An AppKey beside an AppCode is no signature: clients in the wild send both.
    """
    if request.headers.get(X_CA_SIGNATURE):
        return True
    return bool(request.headers.get(X_CA_KEY)) and not appcode.is_presented(request, api)


def authenticate(request: Request, api: Api, snapshot: Snapshot, now_ms: int) -> Proof | Refusal:
    """Verify the signature of a request. Pure: the proof names the nonce that is still to be recorded."""
    headers = request.headers
    rules = api.digest
    if request.repeated and (twice := request.repeated & ONCE):
        return Refusal(reason.HEADER_REPEATED, min(twice))
    signature = headers.get(X_CA_SIGNATURE, b"").strip()
    if not signature:
        return Refusal(reason.SIGNATURE_MISSING)
    algorithm = _ALGORITHMS.get(headers.get(X_CA_SIGNATURE_METHOD, b"").strip().lower())
    if algorithm is None or algorithm not in rules.algorithms:
        return Refusal(reason.SIGNATURE_METHOD_REFUSED, "is not accepted", algorithm or "unknown algorithm")
    names = signed_names(headers.get(X_CA_SIGNATURE_HEADERS, b""))
    if names is None:
        detail = "too long, no header names, or one name twice"
        return Refusal(reason.HEADER_INVALID, as_written(X_CA_SIGNATURE_HEADERS), detail)
    refusal = _time_refusal(request, api, snapshot, names, now_ms)
    refusal = refusal or _body_refusal(request, snapshot.gateway.settings.max_form_bytes)
    if refusal:
        return refusal
    string = StringToSign(request, names)
    if string.head_bytes > MAX_HEAD_BYTES or string.query is None or string.form is None:
        return _size_refusal(string)

    app_key = headers.get(X_CA_KEY, b"").strip()
    pair = snapshot.directory.key_pair(app_key)
    app = None if pair is None else snapshot.directory.app(pair.app_id)
    reading = _matching_reading(pair or _STRANGER, algorithm, signature, string, api)
    credential = "key"
    if not reading and pair is not None and (previous := pair.previous_at(now_ms)) is not None:
        credential = "previous"
        reading = _matching_reading(replace(pair, secret=previous), algorithm, signature, string, api)
    echo = "" if reading else string.echo()  # for an unknown key too: it must not take less time
    if app is None or pair is None:
        return Refusal(reason.APP_KEY_UNKNOWN, detail=f"AppKey {app_key[:_MOST_OF_A_KEY].decode('ascii', 'replace')}")
    if not reading:
        return Refusal(reason.SIGNATURE_MISMATCH, echo, f"app key of app {app.id}")

    warning = strict_violation(request, names, string) if rules.strict is not Strictness.OFF else ""
    if rules.strict is Strictness.WARN and not warning and reading != PRIMARY:
        warning = f"signed as {reading}"
    if warning and rules.strict is Strictness.ON:
        return Refusal(reason.STRICT_REFUSED, warning, f"app {app.id}")
    refusal = _content_md5_refusal(request)
    if refusal:
        return refusal
    uses = _uses(request, api, snapshot, pair, signature, names, now_ms)
    return Proof(AuthMethod.DIGEST, app, "", uses, reading, warning, credential=f"{credential}/{pair.app_key}")


def _matching_reading(pair: KeyPair, algorithm: str, signature: bytes, string: StringToSign, api: Api) -> str:
    if hmac.compare_digest(b64encode(sign_with(pair.secret, algorithm, string.primary())), signature):
        return PRIMARY
    if api.digest.strict is Strictness.ON:
        return ""
    head: bytes | None = None
    for reading in string.others(api.digest.require_signed):
        if reading.head is not head:
            head = reading.head
            begun = start_signature(pair.secret, algorithm, head)
        mac = begun.copy()
        mac.update(reading.path)
        mac.update(reading.parameters)
        if hmac.compare_digest(b64encode(mac.digest()), signature):
            return reading.name
    return ""


def _time_refusal(
    request: Request, api: Api, snapshot: Snapshot, names: Sequence[SignedName], now_ms: int
) -> Refusal | None:
    """What is wrong with timestamp and nonce before any key is looked at."""
    rules = api.digest
    timestamp = request.headers.get(X_CA_TIMESTAMP, b"").strip()
    if timestamp:
        if not timestamp.isdigit() or len(timestamp) > _MAX_TIMESTAMP_DIGITS:
            return Refusal(reason.TIMESTAMP_INVALID)
        skew_ms = now_ms - int(timestamp)
        if abs(skew_ms) > snapshot.gateway.horizon.window_ms(rules.window_ms, int(timestamp)):
            return Refusal(reason.TIMESTAMP_EXPIRED, detail=f"our clock is {skew_ms} ms ahead of the timestamp")
    elif rules.require_timestamp:
        return Refusal(reason.TIMESTAMP_REQUIRED)
    if rules.require_nonce and not request.headers.get(X_CA_NONCE, b"").strip():
        return Refusal(reason.NONCE_REQUIRED)
    if rules.require_signed:
        missing = rules.require_signed - {name.lower for name in names}
        if missing:
            return Refusal(reason.SIGNED_HEADER_REQUIRED, min(missing))
    return None


def _body_refusal(request: Request, max_form_bytes: int) -> Refusal | None:
    """A proof that covers the body needs the whole body; anything less is a refusal, never a pass."""
    is_a_form = is_form(request.headers.get(CONTENT_TYPE, b""))
    if is_a_form and len(request.body) > max_form_bytes:
        return Refusal(reason.BODY_TOO_LARGE, detail=f"a form of more than {max_form_bytes} bytes")
    if request.query.count("&") + (request.body.count(b"&") if is_a_form else 0) >= MAX_PARAMETERS:
        return Refusal(reason.BODY_UNAVAILABLE, "too many parameters", f"more than {MAX_PARAMETERS} parameters")
    if request.delivery is Delivery.WHOLE:
        return None
    if not is_a_form and not request.headers.get(CONTENT_MD5):
        return None
    if request.delivery is Delivery.PARTIAL:
        return Refusal(reason.BODY_TOO_LARGE, detail="Envoy delivered a part of it")
    return Refusal(reason.BODY_UNAVAILABLE, "not available to verify", f"body {request.delivery.value}")


def _size_refusal(string: StringToSign) -> Refusal:
    """What is too much to be hashed for somebody who has proved nothing."""
    if string.head_bytes > MAX_HEAD_BYTES:
        detail = f"more than {MAX_HEAD_BYTES} bytes are signed"
        return Refusal(reason.HEADER_INVALID, as_written(X_CA_SIGNATURE_HEADERS), detail)
    return Refusal(reason.BODY_UNAVAILABLE, TOO_MANY)


def _content_md5_refusal(request: Request) -> Refusal | None:
    stated = request.headers.get(CONTENT_MD5, b"").strip()
    if not stated:
        return None
    actual = b64encode(hashlib.md5(request.body, usedforsecurity=False).digest())
    if not hmac.compare_digest(actual, stated):
        return Refusal(reason.CONTENT_MD5_INVALID, "does not match the body")
    return None


def _uses(
    request: Request,
    api: Api,
    snapshot: Snapshot,
    pair: KeyPair,
    signature: bytes,
    names: Sequence[SignedName],
    now_ms: int,
) -> tuple[OneTimeUse, ...]:
    """The nonce to record: kept for as long as a request with its timestamp could still be accepted, by any API."""
    nonce = request.headers.get(X_CA_NONCE, b"").strip()
    if not nonce:
        return ()
    timestamp = request.headers.get(X_CA_TIMESTAMP, b"").strip()
    kept_ms = snapshot.gateway.horizon.kept_ms
    if timestamp and any(name.lower == X_CA_TIMESTAMP for name in names):
        expires_ms = int(timestamp) + kept_ms
    else:
        # Nobody signed the time, so a replay could state any: keep the nonce as long as the longest timestamp lives.
        expires_ms = now_ms + 2 * kept_ms
    return (nonce_use(request, pair.app_key.encode(), pair.app_id, api.id, nonce, signature, expires_ms),)


def _credential_headers(api: Api) -> tuple[str, ...]:
    return DIGEST_CREDENTIAL


METHOD: Final = Method(AuthMethod.DIGEST, is_presented, authenticate, _credential_headers)
