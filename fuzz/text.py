"""Requests as the fuzzer writes them: lines of bytes, which it can cut, swap and copy far better than protobuf.

``METHOD target host network``, then a line ``name: value`` for each header, an empty line, and the body.
"""

from typing import Final

from extauthz.domain.context_keys import NETWORK_KEY
from extauthz.domain.request import Network, Request
from extauthz.domain.settings import Settings
from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.request import read_request

DEFAULTS: Final = (b"GET", b"/", b"api.example.com", b"")
_SETTINGS: Final = Settings()


def check_request(data: bytes) -> pb.CheckRequest:
    """The CheckRequest that the lines describe, as Envoy sends it with raw headers. Missing parts have defaults."""
    head, _, body = data.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    words = first.split(b" ")
    method, target, host, network = (*words[:4], *DEFAULTS[len(words[:4]) :])
    message = pb.CheckRequest()
    http = message.attributes.request.http
    http.id, http.scheme = "7", "https"
    http.method, http.path, http.host = _text(method), _text(target), _text(host)
    for line in lines:
        name, _, value = line.partition(b":")
        http.header_map.headers.add(key=_text(name).lower(), raw_value=value.strip(b" "))
    http.raw_body = body
    if network:
        message.attributes.context_extensions[NETWORK_KEY] = _text(network)
    return message


def request(data: bytes) -> Request:
    """The request that the lines describe."""
    return read_request(check_request(data), Network.INTERNET, _SETTINGS)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
