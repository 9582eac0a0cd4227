"""From what an operator has at hand to an HTTP request: a curl command line, a HAR entry, a raw request."""

from extauthz.explain.reading.curl import read_curl
from extauthz.explain.reading.har import read_har
from extauthz.explain.reading.raw import read_raw
from extauthz.explain.reading.unreadable import UnreadableRequest
from extauthz.wire.asking import HttpRequest

__all__ = ["UnreadableRequest", "read_request"]


def read_request(given: bytes, entry: int = -1) -> HttpRequest:
    """The request in a text of any of the three kinds, told apart by how it begins. Raises UnreadableRequest.

    ``entry`` is the place of the wanted request in a HAR file that holds several; -1 is the last.
    """
    start = given.lstrip()[:5]
    if start in (b"curl ", b"curl\t", b"curl\n", b"curl\\"):
        return read_curl(given.decode("utf-8", "surrogateescape"))
    if start[:1] in (b"{", b"["):
        return read_har(given, entry)
    return read_raw(given)
