"""A raw HTTP/1.1 request, as a proxy, tcpdump or an editor has it."""

import re

from extauthz.explain.reading.unreadable import UnreadableRequest
from extauthz.explain.reading.url import parts_of
from extauthz.wire.asking import HttpRequest

_CHUNK = re.compile(rb"([0-9A-Fa-f]+)[^\r\n]*\r?\n")


def read_raw(given: bytes) -> HttpRequest:
    """The request. Lines may end with LF alone. Raises UnreadableRequest."""
    text = given.lstrip(b"\r\n")
    end = re.search(rb"\r?\n\r?\n", text)
    head, body = (text, b"") if end is None else (text[: end.start()], text[end.end() :])
    start, *lines = re.split(rb"\r?\n", head.rstrip(b"\r\n"))
    words = start.split(b" ")
    if len(words) not in (2, 3) or not words[0].isalpha():
        raise UnreadableRequest(
            "not a curl command line, a HAR entry or a raw request, which begins with a line like `GET /path HTTP/1.1`"
        )
    target, host = words[1].decode("utf-8", "surrogateescape"), ""
    if "://" in target.partition("?")[0]:
        host, target = parts_of(target)
    headers: list[tuple[str, bytes]] = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name.strip():
            raise UnreadableRequest(f"{line.decode('utf-8', 'replace')!r} is not a header line, `Name: value`")
        if name.lower() == b"host":
            host = value.strip().decode("utf-8", "replace")
        else:
            headers.append((name.decode("latin-1"), value))
    named = {name.lower(): value.strip() for name, value in headers}
    if named.get("transfer-encoding", b"").lower().endswith(b"chunked"):
        body = _without_chunks(body)
    length = named.get("content-length", b"")
    if length.isdigit():
        if len(body) < int(length):
            raise UnreadableRequest(f"the body has {len(body)} bytes; Content-Length says {int(length)}")
        body = body[: int(length)]  # an editor ends a file with a line feed
    return HttpRequest(words[0].decode(), target, host, tuple(headers), body)


def _without_chunks(body: bytes) -> bytes:
    whole, place = b"", 0
    while (found := _CHUNK.match(body, place)) and (size := int(found[1], 16)):
        whole += body[found.end() : found.end() + size]
        place = found.end() + size
        place += 2 if body[place : place + 2] == b"\r\n" else 1
    return whole
