"""The string to sign, exactly as the vendor's gateway builds it, and the readings where real clients disagree.

Layout (vendor doc 29475; console API documents; every SDK)::

    METHOD \\n Accept \\n Content-MD5 \\n Content-Type \\n Date \\n
    name:value \\n  ...        the headers that X-Ca-Signature-Headers lists
    path?k=v&k2&k3=v3          parameters of query and form, pooled, sorted by key

Everything is bytes: what arrived is what is compared.
"""

import re
from collections.abc import Iterator, Sequence, Set
from functools import lru_cache
from typing import Final, NamedTuple

from extauthz.auth.parameters import decode_escapes, is_form, parse_pairs, query_pairs
from extauthz.domain.header_names import (
    ACCEPT,
    AUTHORIZATION,
    CONTENT_MD5,
    CONTENT_TYPE,
    DATE,
    DIGEST_CREDENTIAL,
    PREFIX,
    X_CA_SIGNATURE,
    X_CA_SIGNATURE_HEADERS,
    X_CA_STAGE,
)
from extauthz.domain.request import Pair, Request

PRIMARY: Final = "primary"
DECODED_PATH: Final = "decoded_path"
QUERY_WINS: Final = "query_wins"
DECODED_PATH_QUERY_WINS: Final = "decoded_path+query_wins"
FIRST_VALUES: Final = "first_values"
DECODED_PATH_FIRST_VALUES: Final = "decoded_path+first_values"
READINGS: Final = (
    PRIMARY,
    DECODED_PATH,
    QUERY_WINS,
    DECODED_PATH_QUERY_WINS,
    FIRST_VALUES,
    DECODED_PATH_FIRST_VALUES,
)
"""The readings that are tried, in this order: never more than these six. The path as sent or decoded; for a key that
stands in query and form, the form's value or the query's; of a header that came more than once, all values joined or
the first. SDKs disagree on all three and the vendor documents none."""

ONCE: Final = frozenset({*DIGEST_CREDENTIAL, X_CA_STAGE, CONTENT_MD5, CONTENT_TYPE, DATE})
"""The headers of the scheme. Sent twice, any of them is refused."""
_NEVER_CUT: Final = ONCE | {AUTHORIZATION, "cookie", "host"}
"""The first value of these is never all that a signature covers: they carry a credential, or have one value only."""
_NEVER_IN_BLOCK: Final = frozenset({X_CA_SIGNATURE, X_CA_SIGNATURE_HEADERS, ACCEPT, CONTENT_MD5, CONTENT_TYPE, DATE})
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Envoy joins values with a comma and nothing else; a client that lists several in one header writes a space after it.
_JOINT: Final = re.compile(rb",(?![ \t])")
_ASTRAL_FIRST: Final = bytes.maketrans(bytes.fromhex("eeeff0f1f2f3f4"), bytes.fromhex("f3f4eeeff0f1f2"))
_CACHEABLE: Final = 512
MAX_LISTED_BYTES: Final = 8192
"""Of X-Ca-Signature-Headers. Every name costs a microsecond before anyone has proved anything."""
MAX_HEAD_BYTES: Final = 65_536
"""Of everything before the path: more than Envoy's default limit for all headers of a request."""
_MAX_ECHO_BYTES: Final = 8192
"""Of the string to sign in the message of a mismatch: more than any answer shows, and not a megabyte of form."""
_MASK: Final = b"***"


class SignedName(NamedTuple):
    """A header name that the client says it signed."""

    line_start: bytes
    """The name as the client wrote it, which is what was signed, and a colon."""
    lower: str


class Reading(NamedTuple):
    """One way to read a request, in parts, so that what many have in common is hashed once."""

    name: str
    """One of READINGS."""
    head: bytes
    """The lines before the path; the same object in all readings that share it."""
    path: bytes
    parameters: bytes
    """With the ``?`` before them."""

    def string(self) -> bytes:
        """The string to sign."""
        return self.head + self.path + self.parameters


def signed_names(listed: bytes) -> tuple[SignedName, ...] | None:
    """The names in X-Ca-Signature-Headers that form the header block, sorted by code point in the client's spelling.

    None when something in the list cannot be a header name. Such a "name" could hold a slash or a question mark, and
    with it one captured string to sign could be cut into header lines and path in two ways. None, too, when the list
    is longer than MAX_LISTED_BYTES, or names a header in two spellings: the value would stand in the string once for
    each, so a short list of spellings would make a request of 60 KiB one of 40 MiB.
    """
    if len(listed) > MAX_LISTED_BYTES:
        return None
    # Clients send the same few lists over and over. Long ones stay out of the cache, which strangers can fill.
    return _signed_names_cached(listed) if len(listed) <= _CACHEABLE else _signed_names(listed)


def _signed_names(listed: bytes) -> tuple[SignedName, ...] | None:
    spelled = {name for part in listed.split(b",") if (name := part.strip())}
    if not all(_TOKEN.fullmatch(name) for name in spelled):
        return None
    if len({name.lower() for name in spelled}) != len(spelled):
        return None
    names = (SignedName(name + b":", name.decode("ascii").lower()) for name in sorted(spelled))
    return tuple(name for name in names if name.lower not in _NEVER_IN_BLOCK)


_signed_names_cached = lru_cache(maxsize=1024)(_signed_names)


class StringToSign:
    """The strings to sign of one request, primary first."""

    __slots__ = ("_lines", "_names", "_parameters", "_path", "_request", "form", "head_bytes", "query")

    def __init__(self, request: Request, names: Sequence[SignedName]) -> None:
        """``names`` as ``signed_names`` returned them for this request."""
        value = request.headers.get
        content_type = value(CONTENT_TYPE, b"")
        lines = [
            request.method.upper().encode(),
            value(ACCEPT, b""),
            value(CONTENT_MD5, b""),
            content_type,
            value(DATE, b""),
        ]
        lines += [line_start + value(lower, b"") for line_start, lower in names]
        lines.append(b"")
        self._request = request
        self._names = names
        self._lines = lines
        self._path = request.path.encode()
        self.head_bytes = sum(map(len, lines)) + len(lines)
        """How long the head is; it is joined only when it is asked for."""
        self.query: list[Pair] | None = query_pairs(request)
        """None when it has more than is read."""
        self.form: list[Pair] | None = parse_pairs(request.body) if request.body and is_form(content_type) else []
        """None when it has more than is read."""
        self._parameters = _pooled(self.form, self.query)

    def primary(self) -> bytes:
        """The string as most clients sign it: path as sent, form before query, all values of a header."""
        return b"\n".join(self._lines) + self._path + self._parameters

    def echo(self) -> str:
        """The primary string as it is told to a caller, without the values that may not be the caller's own.

        A caller can list any header: cookies that a script must not read, and what a proxy added on the way. So only
        the plain lines and ``x-ca-*`` are shown as they are. ``#`` stands for a line feed (vendor doc 43799).
        """
        shown = self._lines[:5]
        for (line_start, lower), line in zip(self._names, self._lines[5:], strict=False):
            hidden = not lower.startswith(PREFIX) and len(line) > len(line_start)
            shown.append(line_start + _MASK if hidden else line)
        text = b"\n".join([*shown, b""]) + self._path + self._parameters[:_MAX_ECHO_BYTES]
        return text[:_MAX_ECHO_BYTES].decode("utf-8", "replace").replace("\n", "#")

    def others(self, required: Set[str] = frozenset()) -> Iterator[Reading]:
        """The other readings that differ from the primary one for this request, in order.

        Of the headers named in ``required`` (lower-case) all values have to be signed, however often they came.
        """
        path, parameters = self._path, self._parameters
        head = b"\n".join(self._lines)
        decoded = decode_escapes(path) if b"%" in path else path
        if decoded != path:
            yield Reading(DECODED_PATH, head, decoded, parameters)
        if self.form and self.query and not {key for key, _ in self.form}.isdisjoint(key for key, _ in self.query):
            query_wins = _pooled(self.query, self.form)
            yield Reading(QUERY_WINS, head, path, query_wins)
            if decoded != path:
                yield Reading(DECODED_PATH_QUERY_WINS, head, decoded, query_wins)
        several = self._request.firsts or b"," in head
        first = self._head_of_first_values(required) if several else head
        if first != head:
            yield Reading(FIRST_VALUES, first, path, parameters)
            if decoded != path:
                yield Reading(DECODED_PATH_FIRST_VALUES, first, decoded, parameters)

    def _head_of_first_values(self, required: Set[str]) -> bytes:
        """The head of a client that sent a header more than once and signed its first value only.

        Where the transport kept the values apart, they are known. Envoy joins some before anyone can see them (Accept
        is one), so where none of those that count was kept apart, what stands before the first joint is tried.
        """
        request = self._request
        counted = [*(lower for _, lower in self._names), ACCEPT]
        cut = {lower for lower in counted if lower not in _NEVER_CUT and lower not in required}
        kept_apart = {lower: request.firsts[lower] for lower in cut if lower in request.firsts}
        lines = self._lines.copy()
        starts = [(1, b"", ACCEPT)]
        starts += [(place, start, lower) for place, (start, lower) in enumerate(self._names, 5)]
        for place, start, lower in starts:
            if lower in kept_apart:
                lines[place] = start + kept_apart[lower]
            elif lower in cut and not kept_apart:
                lines[place] = start + _JOINT.split(request.headers.get(lower, b""), 1)[0]
        return b"\n".join(lines)


def _pooled(winners: list[Pair] | None, others: list[Pair] | None) -> bytes:
    """The parameters of both as they are signed; of a key in both the winners' value."""
    if not winners and not others:
        return b""
    values = dict(((winners or []) + (others or []))[::-1])  # of a repeated key the first value counts
    pairs = [key + b"=" + values[key] if values[key] else key for key in _sorted_keys(values)]
    return b"?" + b"&".join(pairs)


def _sorted_keys(keys: dict[bytes, bytes]) -> list[bytes]:
    if b"".join(keys).isascii():
        return sorted(keys)
    return sorted(keys, key=utf16_order)


def utf16_order(key: bytes) -> bytes:
    """What a key is sorted by where some are not ASCII: the order of its UTF-16 units."""
    # Java, JavaScript and .NET compare UTF-16 units, which puts astral characters (UTF-8 from 0xF0 on) before U+E000
    # (0xEE and 0xEF); all else sorts in UTF-8 as it does in UTF-16. Decoding a megabyte that is no UTF-8 takes 140 ms.
    return key.translate(_ASTRAL_FIRST)
