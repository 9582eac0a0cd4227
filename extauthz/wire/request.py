"""CheckRequest to domain Request: what Envoy sends, freed of Envoy (measured on Envoy 1.40)."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from extauthz.decide.network import network_of
from extauthz.domain.context_keys import BODY_KEY, SCHEME_KEY
from extauthz.domain.request import NOTHING_REPEATED, Delivery, Network, Parsed, Request
from extauthz.domain.settings import Settings
from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.metadata import EnvoyClaims

_NOTHING: Final = frozenset[str]()
_CACHEABLE_HOST: Final = 128
_SCHEMES: Final = {b"http": "http", b"https": "https"}
_SANITIZING: Final = ("HTTP/2", "HTTP/3")
"""Protocols whose paths may hold any byte; Envoy answers 400 to such an HTTP/1 request itself."""


def read_request(message: pb.CheckRequest, binding: Network | None, settings: Settings) -> Request:
    """Turn the message into a domain request. The caller made sure that it has an HTTP request.

    The target is taken from the raw ``:path`` where Envoy sends it, since ``http.path`` has ``!`` for every byte that
    is no UTF-8. It is split at the first ``?`` and nothing else: a URI parser would read ``//host/x`` as another path
    (CVE-2026-26205).
    """
    attributes = message.attributes
    http = attributes.request.http
    extensions = attributes.context_extensions
    context = {name: extensions[name] for name in extensions}  # dict() of a map field takes twice as long
    headers, firsts = read_headers(http)
    repeated = frozenset(firsts) if firsts else _NOTHING
    host = http.host
    encoded_host = host.encode()
    target = http.path
    raw_target = headers.get(":path") if http.header_map.headers else None
    unread = ""
    if raw_target is None:
        if "!" in target and http.protocol in _SANITIZING and "!" in target.partition("?")[0]:
            unread = "`!` may stand for bytes that are not UTF-8"
    elif raw_target != target.encode():
        unread = "not UTF-8"
    elif headers.get(":authority", encoded_host) != encoded_host:
        unread = "host"
    headers["host"] = encoded_host  # Envoy knows it as :authority only; clients sign it by this name
    path, _, query = target.partition("?")
    body = http.raw_body
    lossy = raw_target is None
    if not body and http.body:
        body, lossy = http.body.encode(), True
    port = attributes.destination.address.socket_address.port_value if settings.port_networks else 0
    return Request(  # by position: naming fifteen fields costs three times as much
        http.id,
        http.method,
        canonical_host(host),
        path,
        query,
        headers,
        repeated,
        body,
        _delivery(http, headers, body, context),
        network_of(binding, context, port, settings.port_networks),
        _scheme(headers, repeated, context, settings) if settings.tells_scheme else "",
        attributes.source.address.socket_address.address,
        context,
        EnvoyClaims(attributes.metadata_context) if settings.reads_envoy_claims else None,
        Parsed(),
        firsts,
        unread,
        lossy,
    )


def read_headers(http: pb.AttributeContext.HttpRequest) -> tuple[dict[str, bytes], Mapping[str, bytes]]:
    """Header values as bytes, and of each header that came more than once the first.

    With ``encode_raw_headers`` Envoy sends exact bytes and keeps duplicates apart. Without it, duplicates arrive
    joined and cannot be counted; the joined value then fails as a credential by itself.
    """
    raw = http.header_map.headers
    if not raw:
        return {name: value.encode() for name, value in http.headers.items()}, NOTHING_REPEATED
    headers = {header.key: header.raw_value or header.value.encode() for header in raw}
    if len(headers) == len(raw):
        return headers, NOTHING_REPEATED
    values: dict[str, list[bytes]] = {}
    for header in raw:
        values.setdefault(header.key, []).append(header.raw_value or header.value.encode())
    joined = {name: b",".join(several) for name, several in values.items()}
    return joined, {name: several[0] for name, several in values.items() if len(several) > 1}


def canonical_host(host: str) -> str:
    """Lower case, without port and trailing dot; an IPv6 address keeps its brackets."""
    # Requests come to the same few hosts. Long ones stay out of the cache, which strangers can fill.
    return _canonical_host_cached(host) if len(host) <= _CACHEABLE_HOST else _canonical_host(host)


def _canonical_host(host: str) -> str:
    host = host.lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].rstrip(".")


_canonical_host_cached = lru_cache(maxsize=1024)(_canonical_host)


def is_grpc(headers: Mapping[str, bytes]) -> bool:
    """Whether the caller speaks gRPC (not gRPC-Web) and so needs a grpc-status instead of an HTTP one."""
    content_type = headers.get("content-type")
    if content_type is None:
        return False
    media_type = content_type.partition(b";")[0].strip().lower()
    return media_type == b"application/grpc" or media_type.startswith(b"application/grpc+")


def _scheme(
    headers: Mapping[str, bytes], repeated: frozenset[str], context: Mapping[str, str], settings: Settings
) -> str:
    """What the client spoke to Envoy: http, https, or empty where nobody whom we trust says it.

    ``:scheme`` is whatever an HTTP/2 client, or the absolute target of an HTTP/1 one, claims. ``x-forwarded-proto`` is
    Envoy's own only where its edge settings can be trusted, as for the client's address.
    """
    stated = context.get(SCHEME_KEY)
    if stated is not None:
        return _SCHEMES.get(stated.encode(), "")
    if not settings.trust_external_address or "x-forwarded-proto" in repeated:
        return ""
    return _SCHEMES.get(headers.get("x-forwarded-proto", b""), "")


def _delivery(
    http: pb.AttributeContext.HttpRequest, headers: dict[str, bytes], body: bytes, context: dict[str, str]
) -> Delivery:
    """How much of the body we hold.

    A client can choose requests whose body Envoy does not show us, so every sign that a body may exist beyond what we
    hold counts as "not delivered".
    """
    if headers.get("x-envoy-auth-partial-body") == b"true":
        return Delivery.PARTIAL
    length = headers.get("content-length")
    if body:
        return Delivery.WHOLE if length is None or length == str(len(body)).encode() else Delivery.PARTIAL
    if context.get(BODY_KEY) == "unbuffered" or http.size > 0:
        return Delivery.NOT_DELIVERED
    if length is not None and length.strip(b"0"):
        return Delivery.NOT_DELIVERED
    if "upgrade" in headers or http.method == "CONNECT" or is_grpc(headers):
        return Delivery.NOT_DELIVERED
    return Delivery.WHOLE
