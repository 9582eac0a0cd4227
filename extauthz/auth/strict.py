"""Strict mode: what the signature scheme leaves open, and the requests that are refused for it.

The scheme signs decoded ``k=v`` pairs of query and form joined by ``&``, only the first of repeated keys, and only the
headers that the client lists. So different requests can share one signature. Under strict mode the string to sign
determines method, path, parameters and where they stand, body, stage, timestamp and nonce, whichever of the common
parsers the backend reads the parameters with.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from extauthz.auth.parameters import is_form
from extauthz.auth.string_to_sign import SignedName, StringToSign
from extauthz.domain.header_names import (
    ACCEPT,
    CONTENT_MD5,
    CONTENT_TYPE,
    DATE,
    X_CA_KEY,
    X_CA_NONCE,
    X_CA_SIGNATURE_METHOD,
    X_CA_STAGE,
    X_CA_TIMESTAMP,
)
from extauthz.domain.request import Delivery, Pair, Request

_MUST_BE_SIGNED: Final = (X_CA_KEY, X_CA_TIMESTAMP, X_CA_NONCE, X_CA_STAGE, X_CA_SIGNATURE_METHOD)
_REQUIRED: Final = (X_CA_TIMESTAMP, X_CA_NONCE)
_MARK: Final = ord(b"!")
_FORM_IN_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_MAX_READ_PARAMETERS: Final = 1_000
"""PHP, Django, and both parsers that Node programs use stop here. Order is not signed, so a client could choose which
parameters they do not see."""
# Spelled raw, these are not what they are when escaped, though both sign alike: Ruby and old Pythons separate at `;`,
# Go drops a pair with `;` or a broken escape and Java fails on it, URL parsers cut at `#` and strip blanks,
# URLSearchParams drops a `?` at the start, and many take bytes that are no ASCII for Latin-1.
_MISREAD: Final = re.compile(rb"[\x00-\x20\x7f-\xff;#]|\A\?|%(?![0-9A-Fa-f]{2})")
_WORDS: Final = {b";": "a raw semicolon among the parameters", b"%": "a broken escape among the parameters"}
# npm's `qs`, which reads `%5D` as a bracket before it splits, takes everything before the first `]=` as the key.
_BRACKET_IN_VALUE: Final = (b"]=", b"%5d=")
# PHP writes a dot or blank in a key as `_`. NUL sorts first, so that `a[b]` comes right behind `a`.
_AS_FILED: Final = bytes.maketrans(b". [", b"__\0")


def strict_violation(request: Request, names: Sequence[SignedName], string: StringToSign) -> str:
    """What strict mode refuses in a request whose signature is right, in a few words; empty when nothing."""
    return (
        _header_violation(request, names)
        or _parameter_violation(request, string)
        or _body_violation(request, string)
        or (_lossy_violation(request, names) if request.lossy else "")
    )


def _header_violation(request: Request, names: Sequence[SignedName]) -> str:
    signed = {name.lower for name in names}
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


def _parameter_violation(request: Request, string: StringToSign) -> str:
    pairs = [*(string.query or ()), *(string.form or ())]
    if not pairs:
        return ""
    if len({key for key, _ in pairs}) != len(pairs):
        return "a parameter is repeated"
    if len(pairs) > _MAX_READ_PARAMETERS:
        return "more parameters than backends read"
    for key, value in pairs:
        if not key or b"&" in key or b"=" in key or b"&" in value or b"\n" in key or b"\n" in value:
            return "a parameter is ambiguous once decoded"
    if not _is_utf8(pairs):
        return "a parameter is not UTF-8"
    return (
        _spelling_violation(request.query.encode())
        or (_spelling_violation(request.body) if string.form else "")
        or _filing_violation(pairs)
    )


def _is_utf8(pairs: Sequence[Pair]) -> bool:
    """Whether all of it is text. Of what is none, npm's ``qs`` hands on the escapes as they were spelled."""
    try:
        for key, value in pairs:
            key.decode()
            value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _spelling_violation(encoded: bytes) -> str:
    """What parsers do not read alike in a query or a form as it was sent."""
    found = _MISREAD.search(encoded)
    if found is not None:
        return _WORDS.get(found[0], "a character among the parameters that must be escaped")
    lower = encoded.lower()
    if any(spelled in lower for spelled in _BRACKET_IN_VALUE):
        for part in lower.split(b"&"):
            value = part.partition(b"=")[2]
            if any(spelled in value for spelled in _BRACKET_IN_VALUE):
                return "a bracket before an equals sign in a value"
    return ""


def _filing_violation(pairs: Sequence[Pair]) -> str:
    """Two parameters that some backend files under one name, so that their order counts, which is not signed.

    PHP takes ``a.b`` and ``a_b`` for one, .NET ``A`` and ``a``; where brackets nest, ``a`` and ``a[]`` are in each
    other's way, and so are ``a[]`` and ``a[0]``.
    """
    filed = sorted(key.strip().lower().partition(b"[]")[0].translate(_AS_FILED) for key, _ in pairs)
    for first, second in pairwise(filed):
        if first == second or second.startswith(first + b"\0"):
            return "two parameters that backends may take for one"
    return ""


def _body_violation(request: Request, string: StringToSign) -> str:
    if request.headers.get(CONTENT_MD5, b"").strip():  # a blank one is never compared with the body
        return ""
    if not is_form(request.headers.get(CONTENT_TYPE, b"")):
        nothing_to_bind = not request.body and request.delivery is Delivery.WHOLE
        return "" if nothing_to_bind else "the body is not bound by Content-MD5"
    if request.method.upper() in _FORM_IN_BODY:
        return "a form request has query parameters" if string.query else ""
    return "a form body on a method that has none" if request.body else ""


def _lossy_violation(request: Request, names: Sequence[SignedName]) -> str:
    """Envoy writes ``!`` for a byte that is no UTF-8, so ``hello!`` may have been signed and ``hello\\xff`` be sent."""
    signed = [request.headers.get(name, b"") for name in (ACCEPT, CONTENT_MD5, CONTENT_TYPE, DATE)]
    signed += [request.headers.get(name.lower, b"") for name in names]
    if "!" in request.query or _MARK in request.body or any(_MARK in value for value in signed):
        return "`!` may stand for bytes that are not UTF-8"
    return ""
