"""Envoy's end of a check, for tools: the question that it asks about an HTTP request, and what our answer makes it do.

Measured on Envoy 1.40 with the filter as it is shipped: ``encode_raw_headers``, ``pack_as_bytes``, whole bodies.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from extauthz.wire.generated import ext_authz_pb2 as pb

JOINED: Final = frozenset(
    {
        "accept", "accept-encoding", "authorization", "cache-control", "content-type", "cookie", "forwarded", "origin",
        "referer", "te", "user-agent", "via", "x-forwarded-for", "x-forwarded-proto", "x-request-id",
    }
)  # fmt: skip
"""Headers of which Envoy has room for one: it joins several by a comma before a filter sees them."""
_OF_ONE_HOP: Final = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding"})
"""Taken off before a filter sees the request."""
_WRITTEN_BY_ENVOY: Final = frozenset(
    {"x-request-id", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-client-cert"}
)
"""Where Envoy sets, appends to or replaces what a client sent, unless it is told to keep it."""
_EXTERNAL_ADDRESS: Final = "x-envoy-external-address"
_PARTIAL: Final = "x-envoy-auth-partial-body"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """An HTTP request as its client sent it."""

    method: str
    target: str
    """Path and query, as they go on the wire."""
    host: str
    """As the client sent it, with its port."""
    headers: tuple[tuple[str, bytes], ...] = ()
    """In order, without Host."""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Entrance:
    """How the request comes to the service, as the operator's Envoy has it."""

    context: Mapping[str, str] = field(default_factory=dict)
    """``context_extensions`` of the listener, host or route."""
    peer: str = "127.0.0.1"
    """The address of the client."""
    port: int = 0
    """Of the listener."""


def question(sent: HttpRequest, entrance: Entrance) -> bytes:
    """The serialized CheckRequest that Envoy sends about a request."""
    message = pb.CheckRequest()
    attributes = message.attributes
    http = attributes.request.http
    http.id, http.method, http.protocol = "1", _text(sent.method), "HTTP/1.1"
    http.path, http.host = _text(sent.target), _text(sent.host)
    http.raw_body = sent.body
    add = http.header_map.headers.add
    for name, told in ((":authority", sent.host), (":path", sent.target), (":method", sent.method)):
        add(key=name, raw_value=_bytes(told))
    for name, raw_value in _as_envoy_has_them(sent):
        add(key=_text(name), raw_value=raw_value)
    add(key=_EXTERNAL_ADDRESS, raw_value=_bytes(entrance.peer))
    attributes.source.address.socket_address.address = _text(entrance.peer)
    attributes.destination.address.socket_address.port_value = entrance.port
    for key, value in entrance.context.items():
        attributes.context_extensions[_text(key)] = _text(value)
    return message.SerializeToString()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(text: str) -> str:
    """Text that a message can hold: what was not UTF-8 is replaced."""
    return _bytes(text).decode("utf-8", "replace")


def _as_envoy_has_them(sent: HttpRequest) -> list[tuple[str, bytes]]:
    headers: list[tuple[str, bytes]] = []
    places: dict[str, int] = {}
    is_chunked = False
    for written, value in sent.headers:
        name, stripped = written.lower(), value.strip(b" \t")
        if name in _OF_ONE_HOP or name in (_EXTERNAL_ADDRESS, _PARTIAL):
            is_chunked = is_chunked or name == "transfer-encoding"
            continue
        if name in JOINED and name in places:
            place = places[name]
            headers[place] = (name, headers[place][1] + b"," + stripped)
            continue
        places.setdefault(name, len(headers))
        headers.append((name, stripped))
    if sent.body:
        if "content-length" not in places and not is_chunked:
            headers.append(("content-length", str(len(sent.body)).encode()))
        headers.append((_PARTIAL, b"false"))
    return headers


def written_by_envoy(names: frozenset[str]) -> list[str]:
    """Those of some header names, in lower case, whose values are Envoy's own by the time the service is asked."""
    return sorted(name for name in names if name in _WRITTEN_BY_ENVOY or name.startswith("x-envoy-"))


class Answered(NamedTuple):
    """What an answer makes Envoy do."""

    allowed: bool
    status: int
    """Of the HTTP answer to the caller; 0 for a request that passes."""
    set_headers: tuple[tuple[str, str], ...]
    """On the way upstream, for a request that passes; else the headers of the answer."""
    removed: tuple[str, ...]
    body: str


def read_answer(answer: bytes) -> Answered:
    """A serialized CheckResponse as Envoy reads it."""
    message = pb.CheckResponse.FromString(answer)
    if message.status.code == 0:
        changes = message.ok_response
        headers = tuple((option.header.key.lower(), option.header.value) for option in changes.headers)
        return Answered(True, 0, headers, tuple(changes.headers_to_remove), "")
    denied = message.denied_response
    headers = tuple((option.header.key, option.header.value) for option in denied.headers)
    return Answered(False, denied.status.code, headers, (), denied.body)
