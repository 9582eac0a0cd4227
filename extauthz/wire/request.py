"""CheckRequest to domain Request: what Envoy sends, freed of Envoy (measured on Envoy 1.40)."""

from collections.abc import Mapping
from typing import Final

from extauthz.decide.network import network_of
from extauthz.domain.request import NOTHING_REPEATED, Delivery, Network, Parsed, Request
from extauthz.domain.settings import Settings
from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.metadata import EnvoyClaims

BODY_KEY: Final = "extauthz.body"
"""``extauthz.body: unbuffered`` in a route's context says that Envoy does not show us this route's bodies."""
_NOTHING: Final = frozenset[str]()


def read_request(message: pb.CheckRequest, binding: Network | None, settings: Settings) -> Request:
    """Turn the message into a domain request. The caller made sure that it has an HTTP request.

    ``path`` is split at the first ``?`` and nothing else: a URI parser would read ``//host/x`` as another path
    (CVE-2026-26205).
    """
    attributes = message.attributes
    http = attributes.request.http
    extensions = attributes.context_extensions
    context = {name: extensions[name] for name in extensions}  # dict() of a map field takes twice as long
    headers, firsts = read_headers(http)
    headers["host"] = http.host.encode()  # Envoy knows it as :authority only; clients sign it by this name
    path, _, query = http.path.partition("?")
    body = http.raw_body or http.body.encode()
    port = attributes.destination.address.socket_address.port_value if settings.port_networks else 0
    return Request(  # by position: naming fifteen fields costs three times as much
        http.id,
        http.method,
        canonical_host(http.host),
        path,
        query,
        headers,
        frozenset(firsts) if firsts else _NOTHING,
        body,
        _delivery(http, headers, body, context),
        network_of(binding, context, port, settings.port_networks),
        http.scheme,
        attributes.source.address.socket_address.address,
        context,
        EnvoyClaims(attributes.metadata_context) if settings.reads_envoy_claims else None,
        Parsed(),
        firsts,
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
    host = host.lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].rstrip(".")


def is_grpc(headers: Mapping[str, bytes]) -> bool:
    """Whether the caller speaks gRPC (not gRPC-Web) and so needs a grpc-status instead of an HTTP one."""
    content_type = headers.get("content-type")
    if content_type is None:
        return False
    media_type = content_type.partition(b";")[0].strip().lower()
    return media_type == b"application/grpc" or media_type.startswith(b"application/grpc+")


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
