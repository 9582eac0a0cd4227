"""Parameters and cookies as we read them: decoded, in order of arrival. Each text is parsed once in a check.

Nobody has proved anything by then, so parts are counted before any of them is decoded.
"""

import re
from binascii import a2b_qp
from typing import Final

from extauthz.domain.request import Pair, Request

MAX_PARAMETERS: Final = 5_000
"""In query and form together. Parsing and sorting them takes up to four microseconds each, and nobody has proved
anything by then: a megabyte of them would hold up every other check for half a second. Java servers do the same."""
MAX_COOKIES: Final = 1_000
"""In all cookie headers together; browsers send fewer than 200 to one host (RFC 6265, section 6.1, asks for 50)."""
MAX_MENDED: Final = 10_000
"""Percent signs in a query or form of which some begin no escape. Every encoder escapes them; looking for those that
nobody escaped takes longer than all other decoding."""
MAX_PLAIN_EQUALS: Final = 25_000
"""Equals signs in a query or form with escapes. Encoders escape all but the one of each parameter."""
TOO_MANY: Final = "too many parameters, or characters that are not escaped"
_CRUMB_ENDS: Final = re.compile(rb"[;,]")
_BROKEN_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# As numbers: `b"%" in text` first raises a TypeError inside the interpreter, which takes five times as long.
_PERCENT: Final = ord(b"%")
_PLUS: Final = ord(b"+")
_EQUALS: Final = ord(b"=")
# Translating takes the same time for all texts; replacing one byte by one, five times that for the worst.
_PLUS_AS_SPACE: Final = bytes.maketrans(b"+", b" ")
_AS_QUOTED_PRINTABLE: Final = bytes.maketrans(b"%", b"=")
_WITH_NOTHING_ELSE_QUOTED: Final = bytes.maketrans(b"%=\r\n", b"=---")


def query_pairs(request: Request) -> list[Pair] | None:
    """The decoded parameters of the query, parsed once in a check. None when they are too many to be read.

    None is no empty list: a credential may stand among what nobody reads, so such a request is refused.
    """
    query = request.query
    if not query:
        return []
    parsed = request.parsed
    known = None if parsed is None else parsed.query
    if known is not None and known[0] is query:
        return known[1]
    pairs = None if query.count("&") >= MAX_PARAMETERS else parse_pairs(query.encode())
    if parsed is not None:
        parsed.query = query, pairs
    return pairs


def cookie_pairs(request: Request) -> list[Pair] | None:
    """Name and value of every cookie, parsed once in a check; None when there are more than MAX_COOKIES.

    Envoy joins HTTP/1 cookie headers with a comma and HTTP/2 crumbs with a semicolon, so both separate.
    """
    cookie = request.headers.get("cookie")
    if not cookie:
        return []
    parsed = request.parsed
    known = None if parsed is None else parsed.cookies
    if known is not None and known[0] is cookie:
        return known[1]
    crumbs = None if cookie.count(b";") + cookie.count(b",") >= MAX_COOKIES else _parse_crumbs(cookie)
    if parsed is not None:
        parsed.cookies = cookie, crumbs
    return crumbs


def _parse_crumbs(cookie: bytes) -> list[Pair]:
    parts = [crumb.strip().partition(b"=") for crumb in _CRUMB_ENDS.split(cookie)]
    return [(name, value) for name, _, value in parts]


def parse_pairs(encoded: bytes) -> list[Pair] | None:
    """Split ``k=v&k2=v2`` into decoded pairs. A missing value is empty. Only ``&`` separates; the first ``=`` splits.

    Bytes, not text, so that no two different parameters can decode to the same thing; a broken escape stays as it is.
    Pairs without a key and a value are dropped. (Alibaba console API documents: "decoded keys and values".) None when
    the text is past MAX_MENDED or MAX_PLAIN_EQUALS.
    """
    if _PERCENT not in encoded:
        if _PLUS in encoded:
            encoded = encoded.translate(_PLUS_AS_SPACE)
        return [(key, value) for key, _, value in [part.partition(b"=") for part in encoded.split(b"&") if part]]
    mended = _mend_escapes(encoded)
    if mended is None or mended.count(b"=") > MAX_PLAIN_EQUALS:
        return None
    if _PLUS in mended:
        mended = mended.translate(_PLUS_AS_SPACE)
    pairs = []
    for part in mended.split(b"&"):
        if part:
            key, _, value = part.partition(b"=")
            pairs.append((_unescape(key), _unescape(value)))
    return pairs


def decode_escapes(text: bytes) -> bytes:
    """Percent-decode, as ``unquote_to_bytes`` does: a broken escape stays as it is. Past MAX_MENDED everything does."""
    mended = _mend_escapes(text)
    return text if mended is None else _unescape(mended)


def _mend_escapes(text: bytes) -> bytes | None:
    """The same text with the percent sign of each broken escape escaped; None when that is past MAX_MENDED."""
    # Only a good escape makes a text two bytes shorter; to look at each with an expression takes four times as long.
    decoded = a2b_qp(text.translate(_WITH_NOTHING_ELSE_QUOTED))
    count = text.count(b"%")
    if len(decoded) == len(text) - 2 * count:
        return text
    return None if count > MAX_MENDED else b"%25".join(_BROKEN_ESCAPE.split(text))


def _unescape(text: bytes) -> bytes:
    """Percent-decode what has no broken escapes."""
    # unquote_to_bytes takes 90 ms for a megabyte of escapes, and nobody has proved anything yet. The decoder of
    # quoted-printable is in C, and does the same once `%` has become its `=`.
    if _PERCENT not in text:
        return text
    if _EQUALS in text:
        text = text.replace(b"=", b"%3D")
    return a2b_qp(text.translate(_AS_QUOTED_PRINTABLE))


def is_form(content_type: bytes) -> bool:
    """Whether the media type, without its parameters, is a URL-encoded form."""
    return content_type.partition(b";")[0].strip().lower() == b"application/x-www-form-urlencoded"
