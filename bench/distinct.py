"""A load driver for checks that must all differ: tokens never seen before, nonces. h2load can only repeat one body.

It writes frames that were made beforehand over one HTTP/2 connection, keeps a fixed number of checks in flight, and
reads nothing but frame headers, so that one core of Python keeps up with the server: the lane against the constant
answer shows how far. A closed loop, like h2load, unless a rate is asked for. h2load's own --rps sends in bursts that
queue behind each other, so the latency at a fixed rate is measured here.
"""

import gc
import select
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from bench import http2
from bench.http2 import FRAME_HEADER
from bench.load import CONNECTIONS, STREAMS, NoResult, Round, summarize
from bench.requests import frame

IN_FLIGHT: Final = CONNECTIONS * STREAMS
_MOST_STREAMS: Final = 1000
"""Under way at a rate: servers take 1,024 on a connection. What is due beyond that waits, and its latency counts."""


def ask_all(
    address: str,
    messages: Sequence[bytes],
    judge: Callable[[bytes], None],
    cpu_s: Callable[[], float],
    rate: float = 0,
    authority: Path | None = None,
) -> Round:
    """Send every message once. Raises NoResult, and what ``judge`` raises about an answer that is wrong.

    ``rate``: so many a second whatever the server does (open loop). Latencies then count from the moment at which a
    request was due, so that neither a stall of the server nor one of ours is left out. ``authority``: whom to trust, of
    a server that speaks TLS.
    """
    connection = _Connection(address, messages, rate, authority)
    gc.collect()
    gc.disable()  # a pause of ours would look like one of the server
    before, started = cpu_s(), time.perf_counter()
    try:
        connection.run()
    except OSError as error:
        raise NoResult(f"distinct requests: {error}") from None
    finally:
        gc.enable()
    elapsed, used = time.perf_counter() - started, cpu_s() - before
    for answer in connection.answers:
        judge(answer)
    latencies = sorted(round((end - begin) * 1e6) for begin, end in connection.times.values())
    return summarize(len(messages) / elapsed, used / len(messages) * 1e6, used / elapsed, latencies)


class _Connection:
    """One HTTP/2 connection, as much of it as a client with fixed requests needs."""

    def __init__(self, address: str, messages: Sequence[bytes], rate: float, authority: Path | None) -> None:
        host, _, port = address.rpartition(":")
        self.answers: list[bytes] = []
        self.times: dict[int, tuple[float, float]] = {}
        self._frames = _request_frames(messages)
        self._socket = socket.create_connection((host, int(port)), timeout=20)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._encrypted: ssl.SSLSocket | None = None
        if authority is not None:
            context = ssl.create_default_context(cafile=str(authority))
            context.set_alpn_protocols(["h2"])
            self._socket = self._encrypted = context.wrap_socket(self._socket, server_hostname=host)
        self._unread = b""
        self._rate = rate
        self._began = 0.0
        self._next = 0
        self._done = 0
        self._in_flight = 0
        self._window = http2.DEFAULT_WINDOW

    def run(self) -> None:
        """Ask everything and take every answer."""
        self._socket.sendall(http2.opening())
        with self._socket:
            self._began = time.perf_counter()
            while self._done < len(self._frames):
                self._send()
                if self._rate and not self._readable_before_next():
                    continue
                received = self._socket.recv(262_144)
                if not received:
                    raise NoResult("the server closed the connection")
                self._read(received)

    def _readable_before_next(self) -> bool:
        """Wait for an answer, or until the next request is due."""
        if self._next == len(self._frames) or (self._encrypted is not None and self._encrypted.pending()):
            return True
        wait_s = max(0.0, self._due(self._next) - time.perf_counter())
        return bool(select.select([self._socket], [], [], wait_s)[0])

    def _due(self, number: int) -> float:
        return self._began + number / self._rate

    def _send(self) -> None:
        out = []
        now = time.perf_counter()
        while self._next < len(self._frames):
            frames, size = self._frames[self._next]
            due = self._due(self._next) if self._rate else now
            if size > self._window or due > now or self._in_flight >= (_MOST_STREAMS if self._rate else IN_FLIGHT):
                break
            self._window -= size
            self.times[2 * self._next + 1] = (due, 0.0)
            out.append(frames)
            self._next += 1
            self._in_flight += 1
        if out:
            self._socket.sendall(b"".join(out))

    def _read(self, received: bytes) -> None:
        data = self._unread + received
        at, now = 0, time.perf_counter()
        while len(data) - at >= FRAME_HEADER:
            end = at + FRAME_HEADER + int.from_bytes(data[at : at + 3], "big")
            if end > len(data):
                break
            kind, flags = data[at + 3], data[at + 4]
            if kind == http2.DATA and end - at > FRAME_HEADER:
                self.answers.append(data[at + FRAME_HEADER + 5 : end])
            elif kind == http2.HEADERS and flags & http2.END_STREAM:
                stream = int.from_bytes(data[at + 5 : at + 9], "big")
                self.times[stream] = (self.times[stream][0], now)
                self._done += 1
                self._in_flight -= 1
            elif kind not in (http2.DATA, http2.HEADERS):
                self._control(kind, flags, data[at + 5 : at + 9], data[at + FRAME_HEADER : end])
            at = end
        self._unread = data[at:]
        if self._done == len(self._frames) and len(self.answers) != self._done:
            raise NoResult(f"{self._done} calls ended with {len(self.answers)} answers")

    def _control(self, kind: int, flags: int, stream: bytes, payload: bytes) -> None:
        if kind in (http2.RST, http2.GOAWAY):
            raise NoResult(f"the server ended {'a call' if kind == http2.RST else 'the connection'}: {payload[:64]!r}")
        if kind == http2.WINDOW_UPDATE and stream == b"\0\0\0\0":
            self._window += int.from_bytes(payload, "big")
        elif answer := http2.reply(kind, flags, payload):
            self._socket.sendall(answer)


def _request_frames(messages: Sequence[bytes]) -> list[tuple[bytes, int]]:
    """Frames of each request, and how much of the connection's window they take."""
    first, later = http2.header_blocks()
    frames = []
    for number, message in enumerate(messages):
        body, stream = frame(message), 2 * number + 1
        headers = http2.make_frame(http2.HEADERS, http2.END_HEADERS, stream, later if number else first)
        frames.append((headers + http2.make_frame(http2.DATA, http2.END_STREAM, stream, body), len(body)))
    return frames
