"""As much of HTTP/2 as a client with fixed requests needs: frames, and nothing of HPACK but literals and indexes."""

from collections.abc import Mapping
from typing import Final

from bench.constant import CHECK_PATH

DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
FRAME_HEADER: Final = 9
DEFAULT_WINDOW: Final = 65_535
CANCEL: Final = b"\0\0\0\x08"
MAX_CONCURRENT_STREAMS: Final = 3
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_LARGE_WINDOW: Final = 2**30
_NEWEST: Final = 62
"""HPACK's index of the header that was added last."""


def make_frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One frame as it goes over the wire."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def opening() -> bytes:
    """What a client says first: that it takes answers of any size."""
    window = _LARGE_WINDOW.to_bytes(4, "big")
    settings = make_frame(SETTINGS, 0, 0, b"\x00\x04" + window)
    return _PREFACE + settings + make_frame(WINDOW_UPDATE, 0, 0, window)


def reply(kind: int, flags: int, payload: bytes) -> bytes:
    """What a peer's SETTINGS and PING have to be answered with; nothing for other frames."""
    if kind in (SETTINGS, PING) and not flags & ACK:
        return make_frame(kind, ACK, 0, payload if kind == PING else b"")
    return b""


def settings_of(payload: bytes) -> dict[int, int]:
    """The settings in a SETTINGS frame, by identifier."""
    return {
        int.from_bytes(payload[at : at + 2], "big"): int.from_bytes(payload[at + 2 : at + 6], "big")
        for at in range(0, len(payload) - 5, 6)
    }


def header_blocks(more: Mapping[str, str] | None = None) -> tuple[bytes, bytes]:
    """The headers of a check: of the first on a connection, and of every later one.

    The first puts them into HPACK's dynamic table, the others name them by index: as clients do.
    """
    headers = {
        ":path": CHECK_PATH, ":authority": "bench", "content-type": "application/grpc", "te": "trailers", **(more or {})
    }  # fmt: skip
    post, http = b"\x83", b"\x86"
    first = b"".join(b"\x40" + _text(name) + _text(value) for name, value in headers.items())
    later = bytes(0x80 | _NEWEST + index for index in reversed(range(len(headers))))
    return post + http + first, post + http + later


def _text(text: str) -> bytes:
    if len(text) > 126:
        raise ValueError("longer than one length byte can say")
    return bytes((len(text),)) + text.encode()
