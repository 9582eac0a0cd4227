"""How a client builds its string to sign, taken apart: whatever it can do wrongly is one change to one part.

With nothing changed, the parts make the primary reading of ``auth.string_to_sign``; a test holds the two together.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from extauthz.auth.parameters import decode_escapes, is_form
from extauthz.auth.string_to_sign import SignedName, signed_names, utf16_order
from extauthz.domain.header_names import ACCEPT, CONTENT_MD5, CONTENT_TYPE, DATE, X_CA_SIGNATURE_HEADERS
from extauthz.domain.request import Pair, Request

METHOD, ACCEPTED, MD5, TYPE, DATED = range(5)
"""Places of the five fixed lines."""
FIXED: Final = (ACCEPT, CONTENT_MD5, CONTENT_TYPE, DATE)
_PLUS_AS_SPACE: Final = bytes.maketrans(b"+", b" ")


class Head(NamedTuple):
    """The lines before the path."""

    lines: tuple[bytes | None, ...]
    """The five fixed lines; None: no line at all."""
    headers: tuple[Pair, ...]
    """Name and value of each signed header, in the order in which they are signed."""
    colon: bytes = b":"
    end: bytes = b"\n"
    """Between the last line and the path."""

    def text(self) -> bytes:
        """The bytes."""
        lines = [line for line in self.lines if line is not None]
        lines += [name + self.colon + value for name, value in self.headers]
        return b"\n".join(lines) + self.end

    def with_line(self, place: int, line: bytes | None) -> "Head":
        """The same with another fixed line."""
        return self._replace(lines=(*self.lines[:place], line, *self.lines[place + 1 :]))

    def with_value(self, place: int, value: bytes) -> "Head":
        """The same with another value in one header line."""
        changed = (self.headers[place][0], value)
        return self._replace(headers=(*self.headers[:place], changed, *self.headers[place + 1 :]))

    def without(self, place: int) -> "Head":
        """The same without one header line."""
        return self._replace(headers=(*self.headers[:place], *self.headers[place + 1 :]))


Pairs = Sequence[Pair]


class Tail(NamedTuple):
    """Path and parameters."""

    path: bytes
    query: Pairs
    """Names and values as they were sent, in order."""
    form: Pairs
    decode: Callable[[bytes], bytes]
    unite: Callable[[Pairs, Pairs], list[Pair]]
    """Form and query, decoded, become the pairs that are signed."""
    order: Callable[[bytes, bytes], bytes] | None
    """What a pair is sorted by; None: it stays where it came."""
    write: Callable[[bytes, bytes], bytes]

    def pairs(self) -> list[Pair]:
        """The parameters that are signed, in order."""
        decode, order = self.decode, self.order
        form = [(decode(key), decode(value)) for key, value in self.form]
        query = [(decode(key), decode(value)) for key, value in self.query]
        pairs = self.unite(form, query)
        if order is not None:
            pairs.sort(key=lambda pair: order(*pair))
        return pairs

    def text(self) -> bytes:
        """The bytes."""
        parameters = b"&".join([self.write(key, value) for key, value in self.pairs()])
        return self.path + b"?" + parameters if parameters else self.path


class Case(NamedTuple):
    """A request whose signature does not match, as far as the mistakes look at it."""

    request: Request
    names: tuple[SignedName, ...]
    head: Head
    tail: Tail


def case_of(request: Request) -> Case | None:
    """A request taken apart; None where it lists no header names that can be read."""
    names = signed_names(request.headers.get(X_CA_SIGNATURE_HEADERS, b""))
    if names is None:
        return None
    value = request.headers.get
    lines = (request.method.upper().encode(), *(value(name, b"") for name in FIXED))
    headers = tuple((line_start[:-1], value(lower, b"")) for line_start, lower in names)
    form = request.body if is_form(value(CONTENT_TYPE, b"")) else b""
    tail = Tail(
        request.path.encode(), split(request.query.encode()), split(form), decoded, form_first, by_utf16, key_alone
    )
    return Case(request, names, Head(lines, headers), tail)


def split(encoded: bytes) -> tuple[Pair, ...]:
    """The pairs of a query or a form as they were sent."""
    parts = [part.partition(b"=") for part in encoded.split(b"&") if part]
    return tuple([(key, value) for key, _, value in parts])


@lru_cache(maxsize=4096)
def decoded(text: bytes) -> bytes:
    """A name or value as the scheme signs it. Remembered: a search decodes the same few over and over."""
    return decode_escapes(text.translate(_PLUS_AS_SPACE))


def form_first(form: Pairs, query: Pairs) -> list[Pair]:
    """Of a repeated key the first value, and the form's before the query's."""
    values: dict[bytes, bytes] = {}
    for key, value in (*form, *query):
        values.setdefault(key, value)
    return list(values.items())


def query_first(form: Pairs, query: Pairs) -> list[Pair]:
    """The same with the query's before the form's."""
    return form_first(query, form)


def by_utf16(key: bytes, _value: bytes) -> bytes:
    """The scheme's order of keys."""
    return utf16_order(key)


def key_alone(key: bytes, value: bytes) -> bytes:
    """A pair as the scheme writes it: an empty value leaves the key alone."""
    return key + b"=" + value if value else key
