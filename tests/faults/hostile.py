"""A hostile peer at a gRPC port, in a process of its own: ``python -m tests.faults.hostile KIND PORT``.

It says ``ready``. Then every line of its input is a number of seconds for which to attack, which it answers with how
much it got done.
"""

import contextlib
import random
import socket
import struct
import sys
import time
from collections.abc import Callable

import grpc
import hpack

from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.servicer import CHECK_PATH

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS = 1, 4
CANCEL = struct.pack(">I", 8)
STREAMS_PER_S, TOGETHER = 1_700, 100
FRAMES_PER_S = 10_000
LARGE = 8 * 1024 * 1024
ALLOWED = 2 * 1024 * 1024 - 4096
"""Just below what a service reads unless it is told otherwise."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def call_headers() -> bytes:
    fields = [
        (":method", "POST"), (":scheme", "http"), (":path", CHECK_PATH), (":authority", "x"), ("te", "trailers"),
        ("content-type", "application/grpc"),
    ]  # fmt: skip
    # Sensitive fields are never indexed, so the same bytes are right on every stream.
    return hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*field) for field in fields])


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=2)
    connection.settimeout(2)
    return connection


def half_open(port: int, end_s: float) -> int:
    """300 connections that say nothing, or begin to speak and fall silent."""
    beginnings = [b"", PREFACE[:9], PREFACE, PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, 0, 1, b"\x82")[:-1]]
    open_ones = []
    for number in range(300):
        with contextlib.suppress(OSError):
            connection = connect(port)
            connection.sendall(beginnings[number % len(beginnings)])
            open_ones.append(connection)
    time.sleep(max(0.0, end_s - time.monotonic()))
    return len(open_ones)


_left_open: list[socket.socket] = []


def abandoned_streams(port: int, end_s: float) -> int:
    """Thousands of streams: half are cancelled at once, half are left open, without a body, until the process ends."""
    headers, opened, begun = call_headers(), 0, time.monotonic()
    while time.monotonic() < end_s:
        with contextlib.suppress(OSError):
            connection = connect(port)
            _left_open.append(connection)
            connection.sendall(PREFACE + frame(SETTINGS, 0, 0))
            connection.setblocking(False)
            for number in range(TOGETHER):
                stream = 2 * number + 1
                data = frame(HEADERS, END_HEADERS, stream, headers)
                connection.send(data + (frame(RST_STREAM, 0, stream, CANCEL) if number % 2 else b""))
                opened += 1
            with contextlib.suppress(BlockingIOError):
                connection.recv(65536)
        time.sleep(max(0.0, begun + opened / STREAMS_PER_S - time.monotonic()))
    return opened


def garbage(port: int, end_s: float) -> int:
    """Bytes of no protocol, frames of no sense, and calls whose payload is no CheckRequest."""
    dice, sent = random.Random(1), 0
    headers = call_headers()
    while time.monotonic() < end_s:
        noise = dice.randbytes(512)
        frames = b"".join(
            frame(dice.randrange(12), dice.randrange(256), dice.randrange(9), noise[:40]) for _ in "12345"
        )
        message = b"\x00" + struct.pack(">I", len(noise)) + noise
        call = frame(HEADERS, END_HEADERS, 1, headers) + frame(DATA, END_STREAM, 1, message)
        start = PREFACE + frame(SETTINGS, 0, 0)
        for data in (noise, PREFACE + noise, start + frames, start + call):
            with contextlib.suppress(OSError), connect(port) as connection:
                connection.sendall(data)
                sent += 1
        time.sleep(0.005)
    return sent


def large_bodies(port: int, end_s: float) -> int:
    """Ten questions of 8 MiB a second, each a form of escapes with a signature, the dearest there is."""
    return ask_with_bodies(port, end_s, LARGE, 0.1)


def allowed_bodies(port: int, end_s: float) -> int:
    """The same as large as the service takes."""
    return ask_with_bodies(port, end_s, ALLOWED, 0.1)


def ask_with_bodies(port: int, end_s: float, size: int, every_s: float) -> int:
    message = pb.CheckRequest()
    http = message.attributes.request.http
    http.id, http.method, http.path, http.host = "1", "POST", "/signed", "api.test"
    form = "application/x-www-form-urlencoded"
    http.headers.update({"x-ca-key": "test-key-0001", "x-ca-signature": "?", "content-type": form})
    http.raw_body = b"%41" * (size // 3)
    payload, sent = message.SerializeToString(), 0
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        check = channel.unary_unary(CHECK_PATH)
        while time.monotonic() < end_s:
            with contextlib.suppress(grpc.RpcError):
                check(payload, timeout=5)
                sent += 1
            time.sleep(every_s)
    return sent


def rapid_resets(port: int, end_s: float) -> int:
    """Whole calls, 10,000 a second, each taken back at once; a new connection when the service closes the old one."""
    headers, message = call_headers(), frame(DATA, END_STREAM, 0, b"\0\0\0\0\0")

    def calls(number: int) -> bytes:
        stream = struct.pack(">I", 2 * number + 1)
        body = message[:5] + stream + message[9:]
        return (
            frame(HEADERS, END_HEADERS, 2 * number + 1, headers) + body + frame(RST_STREAM, 0, 2 * number + 1, CANCEL)
        )

    return flood(port, end_s, calls)


def control_frames(port: int, end_s: float) -> int:
    """Settings, pings and window updates, 10,000 a second, whose answers are never read."""
    kinds = (
        frame(SETTINGS, 0, 0, struct.pack(">HI", 3, 100)),
        frame(PING, 0, 0, b"12345678"),
        frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"),
    )
    return flood(port, end_s, lambda number: kinds[number % len(kinds)])


def continuations(port: int, end_s: float) -> int:
    """A header block that never ends, 10,000 frames a second."""
    field = hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple("x", "y" * 200)])
    first = frame(HEADERS, 0, 1, call_headers())
    return flood(port, end_s, lambda number: frame(CONTINUATION, 0, 1, field) if number else first)


def flood(port: int, end_s: float, make: Callable[[int], bytes]) -> int:
    """Send what ``make`` gives for 0, 1, 2, ... on a connection, and begin anew where the service closes it."""
    sent, begun = 0, time.monotonic()
    while time.monotonic() < end_s:
        with contextlib.suppress(OSError), connect(port) as connection:
            connection.sendall(PREFACE + frame(SETTINGS, 0, 0))
            number = 0
            while time.monotonic() < end_s:
                connection.sendall(b"".join(make(number + index) for index in range(TOGETHER)))
                number, sent = number + TOGETHER, sent + TOGETHER
                time.sleep(max(0.0, begun + sent / FRAMES_PER_S - time.monotonic()))
    return sent


KINDS = {one.__name__: one for one in (half_open, abandoned_streams, garbage, large_bodies, allowed_bodies)}
FLOODS = {one.__name__: one for one in (rapid_resets, control_frames, continuations)}
"""Of what HTTP/2 is made of. Only the front claims to stand them."""

if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.stdout.write("ready\n")
    for line in sys.stdin:
        sys.stdout.write(f"{(KINDS | FLOODS)[sys.argv[1]](int(sys.argv[2]), time.monotonic() + float(line))}\n")
