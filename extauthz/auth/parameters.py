"""Parameters and cookies as we read them: decoded, in order of arrival. Each text is parsed once in a check.

Nobody has proved anything by then, so parts are counted before any of them is decoded.
"""

import re
from itertools import islice
from typing import Final
from urllib.parse import unquote_to_bytes

from extauthz.domain.request import Pair, Request

MAX_PARAMETERS: Final = 5_000
"""In query and form together. Parsing and sorting them takes up to four microseconds each, and nobody has proved
anything by then: a megabyte of them would hold up every other check for half a second. Java servers do the same."""
MAX_COOKIES: Final = 1_000
"""In all cookie headers together; browsers send fewer than 200 to one host (RFC 6265, section 6.1, asks for 50)."""
_CRUMB_ENDS: Final = re.compile(rb"[;,]")
_LONG: Final = 128
# As numbers: `b"%" in text` first raises a TypeError inside the interpreter, which takes five times as long.
_PERCENT: Final = ord(b"%")
_PLUS: Final = ord(b"+")
MAX_BROKEN_ESCAPES: Final = 10_000
"""Of a body that is a form; each takes longer than all else that a form can hold."""
_BROKEN_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def query_pairs(request: Request) -> list[Pair] | None:
    """The decoded parameters of the query, parsed once in a check; None when there are more than MAX_PARAMETERS.

    None is no empty list: a credential may stand among what nobody reads, so such a request is refused.
    """
    query = request.query
    if not query:
        return []
    parsed = request.parsed
    if parsed is not None and parsed.query is not None and parsed.query[0] is query:
        return parsed.query[1]
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
    if parsed is not None and parsed.cookies is not None and parsed.cookies[0] is cookie:
        return parsed.cookies[1]
    crumbs = None if cookie.count(b";") + cookie.count(b",") >= MAX_COOKIES else _parse_crumbs(cookie)
    if parsed is not None:
        parsed.cookies = cookie, crumbs
    return crumbs


def _parse_crumbs(cookie: bytes) -> list[Pair]:
    parts = [crumb.strip().partition(b"=") for crumb in _CRUMB_ENDS.split(cookie)]
    return [(name, value) for name, _, value in parts]


def parse_pairs(encoded: bytes) -> list[Pair]:
    """Split ``k=v&k2=v2`` into decoded pairs. A missing value is empty. Only ``&`` separates; the first ``=`` splits.

    Bytes, not text, so that no two different parameters can decode to the same thing; a broken escape stays as it is.
    Pairs without a key and a value are dropped. (Alibaba console API documents: "decoded keys and values".)
    """
    if _PERCENT in encoded or _PLUS in encoded:
        pairs = []
        for part in encoded.split(b"&"):
            if part:
                key, _, value = part.partition(b"=")
                pairs.append((_decode(key), _decode(value)))
        return pairs
    return [(key, value) for key, _, value in [part.partition(b"=") for part in encoded.split(b"&") if part]]


def _decode(text: bytes) -> bytes:
    return decode_escapes(text.replace(b"+", b" "))


def decode_escapes(text: bytes) -> bytes:
    """Percent-decode; a broken escape stays as it is. The same as ``unquote_to_bytes``, at a bounded price."""
    if len(text) < _LONG:
        return unquote_to_bytes(text)
    # unquote_to_bytes takes 90 ms for a megabyte of escapes. Nobody has proved anything yet, so long texts go by way
    # of Python's own `\xHH`, which C code decodes.
    spelled = b"\\x25".join(_BROKEN_ESCAPE.split(text.replace(b"\\", b"\\\\"))).replace(b"%", b"\\x")
    return spelled.decode("unicode_escape").encode("latin-1")


def has_many_broken_escapes(form: bytes) -> bool:
    """Whether there are more than MAX_BROKEN_ESCAPES."""
    if form.count(b"%") <= MAX_BROKEN_ESCAPES:
        return False
    return sum(1 for _ in islice(_BROKEN_ESCAPE.finditer(form), MAX_BROKEN_ESCAPES + 1)) > MAX_BROKEN_ESCAPES


def is_form(content_type: bytes) -> bool:
    """Whether the media type, without its parameters, is a URL-encoded form."""
    return content_type.partition(b";")[0].strip().lower() == b"application/x-www-form-urlencoded"
