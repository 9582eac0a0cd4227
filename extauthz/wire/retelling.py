"""A domain request back into the question that it came from, so that it can be asked again elsewhere.

``read_request`` makes an equal request of it, but for Envoy's verified claims and what is hidden on purpose.
"""

from collections.abc import Mapping
from typing import Final

from extauthz.domain.request import Delivery, Request
from extauthz.wire.generated import ext_authz_pb2 as pb

_NOT_UTF8: Final = b"\xff"


def retell(request: Request, headers: Mapping[str, bytes], query: str) -> bytes:
    """The serialized CheckRequest, with other headers and another query where something is to be hidden."""
    message = pb.CheckRequest()
    attributes = message.attributes
    http = attributes.request.http
    http.id, http.method = request.stream_id, request.method
    http.path = _target(request, headers, query)
    http.host = headers.get("host", b"").decode("utf-8", "replace")
    if request.delivery is Delivery.NOT_DELIVERED and not request.body:
        http.size = 1
    if ":path" in headers or request.firsts:
        _tell_raw(http, request, headers, query)
    else:
        for name, value in headers.items():
            http.headers[name] = value.decode("utf-8", "replace")
    if request.unread.startswith("`!`"):
        http.protocol = "HTTP/2"
    if request.lossy and ":path" in headers:
        http.body = request.body.decode("utf-8", "replace")
    else:
        http.raw_body = request.body
    attributes.source.address.socket_address.address = request.peer
    for key, stated in request.context.items():
        attributes.context_extensions[key] = stated
    return message.SerializeToString()


def _target(request: Request, headers: Mapping[str, bytes], query: str) -> str:
    raw = headers.get(":path", b"").decode("utf-8", "replace")
    if raw and query == request.query and request.unread != "not UTF-8":
        return raw  # with a question mark that nothing follows
    return f"{request.path}?{query}" if query else request.path


def _tell_raw(
    http: pb.AttributeContext.HttpRequest, request: Request, headers: Mapping[str, bytes], query: str
) -> None:
    add = http.header_map.headers.add
    for name, value in headers.items():
        if name == "host":
            continue
        if name == ":path":
            unread = value if query == request.query else _NOT_UTF8
            add(key=name, raw_value=unread if request.unread == "not UTF-8" else http.path.encode())
            continue
        first = request.firsts.get(name)
        if first is not None and value.startswith(first + b","):
            add(key=name, raw_value=first)
            add(key=name, raw_value=value[len(first) + 1 :])
        else:
            add(key=name, raw_value=value)
