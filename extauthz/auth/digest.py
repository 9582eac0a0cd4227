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
from extauthz.auth.parameters import MAX_PARAMETERS, has_many_broken_escapes, is_form
from extauthz.auth.strict import strict_violation
from extauthz.auth.string_to_sign import PRIMARY, SignedName, StringToSign, signed_names
from extauthz.domain import reason
from extauthz.domain.api import Api, AuthMethod, Strictness
from extauthz.domain.app import HMAC_SHA1, HMAC_SHA256, App, KeyPair, sign_with
from extauthz.domain.decision import OneTimeUse, Proof, Refusal
from extauthz.domain.one_time import nonce_use
from extauthz.domain.request import Delivery, Request
from extauthz.domain.snapshot import Snapshot

CREDENTIAL_HEADERS: Final = (
    "x-ca-key",
    "x-ca-signature",
    "x-ca-signature-headers",
    "x-ca-signature-method",
    "x-ca-timestamp",
    "x-ca-nonce",
)
_ONCE: Final = frozenset({*CREDENTIAL_HEADERS, "x-ca-stage", "content-md5", "content-type", "date"})
_ALGORITHMS: Final = {b"": HMAC_SHA256, b"hmacsha256": HMAC_SHA256, b"hmacsha1": HMAC_SHA1}
_MAX_TIMESTAMP_DIGITS: Final = 15
MAX_FORM_BYTES: Final = 1024 * 1024
"""Of a form in a body. Decoding a megabyte of escapes takes up to 20 ms, in which no other check is answered."""
_MAX_ECHO_BYTES: Final = 8192
"""Of the string to sign in the message of a mismatch: more than any answer shows, and not a megabyte of form."""
# Somebody nobody knows: an unknown AppKey is checked against this secret, so that it costs what a known one costs.
_STRANGER: Final = KeyPair(App("", disabled=True), "", os.urandom(32))


def is_presented(request: Request, api: Api) -> bool:
    """Whether the request carries a signature, or an AppKey that should have come with one.

    An AppKey beside an AppCode is no signature: clients in the wild send both.
    """
    if request.headers.get("x-ca-signature"):
        return True
    return bool(request.headers.get("x-ca-key")) and not appcode.is_presented(request, api)


def authenticate(request: Request, api: Api, snapshot: Snapshot, now_ms: int) -> Proof | Refusal:
    """Verify the signature of a request. Pure: the proof names the nonce that is still to be recorded."""
    headers = request.headers
    rules = api.digest
    if request.repeated and (twice := request.repeated & _ONCE):
        return Refusal(reason.HEADER_REPEATED, min(twice))
    signature = headers.get("x-ca-signature", b"").strip()
    if not signature:
        return Refusal(reason.SIGNATURE_MISSING)
    algorithm = _ALGORITHMS.get(headers.get("x-ca-signature-method", b"").strip().lower())
    if algorithm is None or algorithm not in rules.algorithms:
        return Refusal(reason.SIGNATURE_METHOD_REFUSED, "is not accepted", algorithm or "unknown algorithm")
    names = signed_names(headers.get("x-ca-signature-headers", b""))
    if names is None:
        return Refusal(reason.HEADER_INVALID, "X-Ca-Signature-Headers", "a name in it is none, or it is too long")
    refusal = _time_refusal(request, api, snapshot, names, now_ms) or _body_refusal(request)
    if refusal:
        return refusal

    app_key = headers.get("x-ca-key", b"").strip()
    pair = snapshot.keys.get(app_key)
    string = StringToSign(request, names)
    primary = string.primary()
    reading = _matching_reading(pair or _STRANGER, algorithm, signature, string, primary, api)
    if not reading and pair is not None and (previous := pair.previous_at(now_ms)) is not None:
        reading = _matching_reading(replace(pair, secret=previous), algorithm, signature, string, primary, api)
    if pair is None:
        return Refusal(reason.APP_KEY_UNKNOWN)
    if not reading:
        echo = primary[:_MAX_ECHO_BYTES].decode("utf-8", "replace").replace("\n", "#")
        return Refusal(reason.SIGNATURE_MISMATCH, echo, f"app key of app {pair.app.id}")

    warning = strict_violation(request, names, string) if rules.strict is not Strictness.OFF else ""
    if warning and rules.strict is Strictness.ON:
        return Refusal(reason.STRICT_REFUSED, warning, f"app {pair.app.id}")
    refusal = _content_md5_refusal(request)
    if refusal:
        return refusal
    uses = _uses(request, api, snapshot, pair, signature, names, now_ms)
    return Proof(AuthMethod.DIGEST, pair.app, "", uses, reading, warning)


def _matching_reading(
    pair: KeyPair, algorithm: str, signature: bytes, string: StringToSign, primary: bytes, api: Api
) -> str:
    if _signs(pair, algorithm, signature, primary):
        return PRIMARY
    if api.digest.strict is Strictness.ON:
        return ""
    for reading, alternative in string.others():
        if _signs(pair, algorithm, signature, alternative):
            return reading
    return ""


def _signs(pair: KeyPair, algorithm: str, signature: bytes, string_to_sign: bytes) -> bool:
    return hmac.compare_digest(b64encode(sign_with(pair.secret, algorithm, string_to_sign)), signature)


def _time_refusal(
    request: Request, api: Api, snapshot: Snapshot, names: Sequence[SignedName], now_ms: int
) -> Refusal | None:
    """What is wrong with timestamp and nonce before any key is looked at."""
    rules = api.digest
    timestamp = request.headers.get("x-ca-timestamp", b"").strip()
    if timestamp:
        if not timestamp.isdigit() or len(timestamp) > _MAX_TIMESTAMP_DIGITS:
            return Refusal(reason.TIMESTAMP_INVALID)
        skew_ms = now_ms - int(timestamp)
        if abs(skew_ms) > snapshot.horizon.window_ms(rules.window_ms, int(timestamp)):
            return Refusal(reason.TIMESTAMP_EXPIRED, detail=f"our clock is {skew_ms} ms ahead of the timestamp")
    elif rules.require_timestamp:
        return Refusal(reason.TIMESTAMP_REQUIRED)
    if rules.require_nonce and not request.headers.get("x-ca-nonce", b"").strip():
        return Refusal(reason.NONCE_REQUIRED)
    if rules.require_signed:
        missing = rules.require_signed - {name.lower for name in names}
        if missing:
            return Refusal(reason.SIGNED_HEADER_REQUIRED, min(missing))
    return None


def _body_refusal(request: Request) -> Refusal | None:
    """A proof that covers the body needs the whole body; anything less is a refusal, never a pass."""
    is_a_form = is_form(request.headers.get("content-type", b""))
    if is_a_form and len(request.body) > MAX_FORM_BYTES:
        return Refusal(reason.BODY_UNAVAILABLE, "too large to verify", f"a form of more than {MAX_FORM_BYTES} bytes")
    if request.query.count("&") + (request.body.count(b"&") if is_a_form else 0) >= MAX_PARAMETERS:
        return Refusal(reason.BODY_UNAVAILABLE, "too many parameters", f"more than {MAX_PARAMETERS} parameters")
    if is_a_form and has_many_broken_escapes(request.body):
        return Refusal(reason.BODY_UNAVAILABLE, "too many broken escapes")
    if request.delivery is Delivery.WHOLE:
        return None
    if not is_a_form and not request.headers.get("content-md5"):
        return None
    fact = "too large to verify" if request.delivery is Delivery.PARTIAL else "not available to verify"
    return Refusal(reason.BODY_UNAVAILABLE, fact, f"body {request.delivery.value}")


def _content_md5_refusal(request: Request) -> Refusal | None:
    stated = request.headers.get("content-md5", b"").strip()
    if not stated:
        return None
    if not request.body:
        return Refusal(reason.CONTENT_MD5_INVALID, "the body is empty")
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
    nonce = request.headers.get("x-ca-nonce", b"").strip()
    if not nonce:
        return ()
    timestamp = request.headers.get("x-ca-timestamp", b"").strip()
    kept_ms = snapshot.horizon.kept_ms
    if timestamp and any(name.lower == "x-ca-timestamp" for name in names):
        expires_ms = int(timestamp) + kept_ms
    else:
        # Nobody signed the time, so a replay could state any: keep the nonce as long as the longest timestamp lives.
        expires_ms = now_ms + 2 * kept_ms
    return (nonce_use(request, pair.app_key.encode(), pair.app.id, api.id, nonce, signature, expires_ms),)
