"""Strict mode: what the signature scheme leaves open, and the requests that are refused for it.

The scheme signs decoded ``k=v`` pairs of query and form joined by ``&``, only the first of repeated keys, and only the
headers that the client lists. So different requests can share one signature. Under strict mode the string to sign
determines method, path, parameters and where they stand, body, stage, timestamp and nonce.
"""

from collections.abc import Sequence
from typing import Final

from extauthz.auth.parameters import is_form
from extauthz.auth.string_to_sign import SignedName, StringToSign
from extauthz.domain.request import Delivery, Request

_MUST_BE_SIGNED: Final = ("x-ca-key", "x-ca-timestamp", "x-ca-nonce", "x-ca-stage", "x-ca-signature-method")
_REQUIRED: Final = ("x-ca-timestamp", "x-ca-nonce")
_FORM_IN_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


def strict_violation(request: Request, names: Sequence[SignedName], string: StringToSign) -> str:
    """What strict mode refuses in a request whose signature is right, in a few words; empty when nothing."""
    return _header_violation(request, names) or _parameter_violation(string) or _body_violation(request, string)


def _header_violation(request: Request, names: Sequence[SignedName]) -> str:
    signed = {name.lower for name in names}
    if len(signed) != len(names):
        return "a header is listed twice"
    for name in _REQUIRED:
        if not request.headers.get(name):
            return f"{name} is missing"
    for name in _MUST_BE_SIGNED:
        if name in request.headers and name not in signed:
            return f"{name} is not signed"
    for name in signed:
        if name not in request.headers:
            return "a signed header is missing"
        if name in request.repeated:
            return "a signed header is repeated"
    return ""


def _parameter_violation(string: StringToSign) -> str:
    pairs = string.query + string.form
    if len({key for key, _ in pairs}) != len(pairs):
        return "a parameter is repeated"
    for key, value in pairs:
        if not key or b"&" in key or b"=" in key or b"&" in value or b"\n" in key or b"\n" in value:
            return "a parameter is ambiguous once decoded"
    return ""


def _body_violation(request: Request, string: StringToSign) -> str:
    if request.headers.get("content-md5", b"").strip():  # a blank one is never compared with the body
        return ""
    if not is_form(request.headers.get("content-type", b"")):
        nothing_to_bind = not request.body and request.delivery is Delivery.WHOLE
        return "" if nothing_to_bind else "the body is not bound by Content-MD5"
    if request.method.upper() in _FORM_IN_BODY:
        return "a form request has query parameters" if string.query else ""
    return "a form body on a method that has none" if request.body else ""
