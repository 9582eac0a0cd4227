"""The string to sign, exactly as the vendor's gateway builds it, and the readings where real clients disagree.

Layout (vendor doc 29475; console API documents; every SDK)::

    METHOD \\n Accept \\n Content-MD5 \\n Content-Type \\n Date \\n
    name:value \\n  ...        the headers that X-Ca-Signature-Headers lists
    path?k=v&k2&k3=v3          parameters of query and form, pooled, sorted by key

Everything is bytes: what arrived is what is compared.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from extauthz.auth.parameters import decode_escapes, is_form, parse_pairs, query_pairs
from extauthz.domain.request import Pair, Request

PRIMARY: Final = "primary"
DECODED_PATH: Final = "decoded_path"
QUERY_WINS: Final = "query_wins"
DECODED_PATH_QUERY_WINS: Final = "decoded_path+query_wins"
READINGS: Final = (PRIMARY, DECODED_PATH, QUERY_WINS, DECODED_PATH_QUERY_WINS)
"""The readings that are tried, in this order. The path as sent or decoded; for a key that stands in query and form,
the form's value or the query's. SDKs disagree on both and the vendor documents neither."""

_NEVER_IN_BLOCK: Final = frozenset(
    {"x-ca-signature", "x-ca-signature-headers", "accept", "content-md5", "content-type", "date"}
)
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ASTRAL_FIRST: Final = bytes.maketrans(bytes.fromhex("eeeff0f1f2f3f4"), bytes.fromhex("f3f4eeeff0f1f2"))
_CACHEABLE: Final = 512
MAX_LISTED_BYTES: Final = 8192
"""Of X-Ca-Signature-Headers. Every name costs a microsecond before anyone has proved anything."""


class SignedName(NamedTuple):
    """A header name that the client says it signed."""

    line_start: bytes
    """The name as the client wrote it, which is what was signed, and a colon."""
    lower: str


def signed_names(listed: bytes) -> tuple[SignedName, ...] | None:
    """The names in X-Ca-Signature-Headers that form the header block, sorted by code point in the client's spelling.

    None when something in the list cannot be a header name. Such a "name" could hold a slash or a question mark, and
    with it one captured string to sign could be cut into header lines and path in two ways. None, too, when the list
    is longer than MAX_LISTED_BYTES.
    """
    if len(listed) > MAX_LISTED_BYTES:
        return None
    # Clients send the same few lists over and over. Long ones stay out of the cache, which strangers can fill.
    return _signed_names_cached(listed) if len(listed) <= _CACHEABLE else _signed_names(listed)


def _signed_names(listed: bytes) -> tuple[SignedName, ...] | None:
    spelled = {name for part in listed.split(b",") if (name := part.strip())}
    if not all(_TOKEN.fullmatch(name) for name in spelled):
        return None
    names = (SignedName(name + b":", name.decode("ascii").lower()) for name in sorted(spelled))
    return tuple(name for name in names if name.lower not in _NEVER_IN_BLOCK)


_signed_names_cached = lru_cache(maxsize=1024)(_signed_names)


class StringToSign:
    """The strings to sign of one request, primary first."""

    __slots__ = ("_head", "_path", "form", "query")

    def __init__(self, request: Request, names: Sequence[SignedName]) -> None:
        """``names`` as ``signed_names`` returned them for this request."""
        value = request.headers.get
        content_type = value("content-type", b"")
        lines = [
            request.method.upper().encode(),
            value("accept", b""),
            value("content-md5", b""),
            content_type,
            value("date", b""),
        ]
        lines += [line_start + value(lower, b"") for line_start, lower in names]
        lines.append(b"")
        self._head = b"\n".join(lines)
        self._path = request.path.encode()
        self.query: list[Pair] = query_pairs(request) or []
        self.form: list[Pair] = parse_pairs(request.body) if request.body and is_form(content_type) else []

    def primary(self) -> bytes:
        """The string that is echoed to callers: path as sent, form before query."""
        return self._assemble(self._path, self.form, self.query)

    def others(self) -> Iterator[tuple[str, bytes]]:
        """The other readings that differ from the primary one for this request, in order."""
        decoded = decode_escapes(self._path) if b"%" in self._path else self._path
        shared = not {key for key, _ in self.form}.isdisjoint(key for key, _ in self.query)
        if decoded != self._path:
            yield DECODED_PATH, self._assemble(decoded, self.form, self.query)
        if shared:
            yield QUERY_WINS, self._assemble(self._path, self.query, self.form)
        if shared and decoded != self._path:
            yield DECODED_PATH_QUERY_WINS, self._assemble(decoded, self.query, self.form)

    def _assemble(self, path: bytes, winners: list[Pair], others: list[Pair]) -> bytes:
        if not winners and not others:
            return self._head + path
        values = dict((winners + others)[::-1])  # of a repeated key the first value counts
        pairs = [key + b"=" + values[key] if values[key] else key for key in _sorted_keys(values)]
        return self._head + path + b"?" + b"&".join(pairs)


def _sorted_keys(keys: dict[bytes, bytes]) -> list[bytes]:
    if b"".join(keys).isascii():
        return sorted(keys)
    return sorted(keys, key=_utf16_order)


def _utf16_order(key: bytes) -> bytes:
    # Java, JavaScript and .NET compare UTF-16 units, which puts astral characters (UTF-8 from 0xF0 on) before U+E000
    # (0xEE and 0xEF); all else sorts in UTF-8 as it does in UTF-16. Decoding a megabyte that is no UTF-8 takes 140 ms.
    return key.translate(_ASTRAL_FIRST)
