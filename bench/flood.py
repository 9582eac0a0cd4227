"""More than a server can do: checks at a fixed rate, with a deadline as Envoy has it, whatever the server answers.

An open loop over several connections. As Envoy does, each check names its deadline (``grpc-timeout``) and is reset when
it has passed; and as Envoy's circuit breaker does, what is due while ``MAX_REQUESTS`` are under way is ended here, with
a 503 that costs the server nothing. Latencies count from the moment at which a check was due, so that a stall hides
nothing.
"""

import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from bench import http2
from bench.http2 import FRAME_HEADER
from bench.load import CONNECTIONS, NoResult, Round, summarize
from bench.requests import frame

DEADLINE_S: Final = 0.2
"""Envoy's own default for the question to an authorization service."""
WARM_UP_S: Final = 0.3
MAX_REQUESTS: Final = 400
"""Of the circuit breaker of the clusters in envoy/, for one worker."""
_UNSENT_BYTES: Final = 262_144
"""So much may wait for the server to read it; what is due beyond that waits as well, and its deadline runs."""
_STREAMS_AT_FIRST: Final = 100
"""Checks on a connection before the server has said how many it takes."""


@dataclass(slots=True)
class _Tally:
    """How the checks of one connection ended. Those of the warm-up are left out."""

    began: float
    latencies_us: dict[int, list[int]] = field(default_factory=dict)
    """By size of the answer: what is answered alike is equally long."""
    samples: dict[int, bytes] = field(default_factory=dict)
    """One answer of each size."""
    nothing: int = 0
    broken: int = 0
    """Ended by the circuit breaker."""
    closed: int = 0
    """Connections that the server ended."""

    def answered(self, due: float, answer: bytes, now: float) -> None:
        if now > due + DEADLINE_S:  # Envoy would have given it up, had we not been late ourselves
            self.gave_up(due)
        elif due >= self.began + WARM_UP_S:
            self.samples.setdefault(len(answer), answer)
            self.latencies_us.setdefault(len(answer), []).append(round((now - due) * 1e6))

    def gave_up(self, due: float) -> None:
        self.nothing += due >= self.began + WARM_UP_S

    def broke(self, due: float) -> None:
        self.broken += due >= self.began + WARM_UP_S


def flood(
    address: str,
    message: bytes,
    rate: float,
    seconds: float,
    judge: Callable[[bytes], bool],
    cpu_s: Callable[[], float],
) -> Round:
    """Send one message so many times a second. Raises NoResult, and what ``judge`` raises about a wrong answer.

    ``judge`` says of an answer whether it is the decision that was asked for, and not a refusal to decide. The round's
    rate and latencies are those of the decisions; ``apart`` has what became of the rest, each a second.
    """
    before, own_before, began = cpu_s(), time.process_time(), time.perf_counter()
    try:
        peers = [_Peer(address, message, index, rate, began) for index in range(CONNECTIONS)]
        _run(peers, began, seconds)
    except OSError as error:
        raise NoResult(f"overload: {error}") from None
    elapsed, used, own = time.perf_counter() - began, cpu_s() - before, time.process_time() - own_before
    decided: list[int] = []
    refused: list[int] = []
    for peer in peers:
        for size, latencies in peer.tally.latencies_us.items():
            (decided if judge(peer.tally.samples[size]) else refused).extend(latencies)
    refused.sort()
    span_s, answered = seconds - WARM_UP_S, len(decided) + len(refused)
    if not answered:
        raise NoResult("overload: no answer at all")
    latencies_us = sorted(decided) or [round(DEADLINE_S * 1e6)]
    shown = summarize(len(decided) / span_s, used / answered * 1e6, used / elapsed, latencies_us)
    apart = {
        "offered": rate,
        "refused": len(refused) / span_s,
        "refused_p99_us": float(refused[int(0.99 * len(refused))]) if refused else 0.0,
        "nothing": sum(peer.tally.nothing for peer in peers) / span_s,
        "broken": sum(peer.tally.broken for peer in peers) / span_s,
        "closed": float(sum(peer.tally.closed for peer in peers)),
        "driver_busy": own / elapsed,
    }
    return replace(shown, apart=apart)


def _run(peers: list["_Peer"], began: float, seconds: float) -> None:
    end = began + seconds
    while (now := time.perf_counter()) < end + DEADLINE_S:
        poll = select.poll()
        for peer in peers:
            peer.expire(now)
            peer.send(min(now, end))
            poll.register(peer.socket, select.POLLIN | (select.POLLOUT if peer.unsent else 0))
        ready = {number for number, _ in poll.poll(1)}
        for peer in peers:
            if peer.socket.fileno() in ready:
                peer.receive()
    for peer in peers:
        peer.socket.close()


class _Peer:
    """One connection, and the checks that are its turn: every so many-th of all."""

    def __init__(self, address: str, message: bytes, index: int, rate: float, began: float) -> None:
        host, _, port = address.rpartition(":")
        self._address = host, int(port)
        self.tally = _Tally(began)
        body = frame(message)
        self._first, self._later = http2.header_blocks({"grpc-timeout": f"{DEADLINE_S * 1000:.0f}m"})
        self._size = len(body)
        self._data = http2.make_frame(http2.DATA, http2.END_STREAM, 0, body)
        self._every_s = CONNECTIONS / rate
        self._due = began + index / rate
        self._connect()

    def _connect(self) -> None:
        self.socket = socket.create_connection(self._address, timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.unsent = bytearray(http2.opening())
        self._unread = b""
        self._block = self._first
        self._stream = 1
        self._window = http2.DEFAULT_WINDOW
        self._most_streams = _STREAMS_AT_FIRST
        self._open: dict[int, float] = {}
        """By stream, in the order of sending: when it was due."""

    def _connect_again(self) -> None:
        """As Envoy does: what was under way is lost, the rest goes over a new connection."""
        self.tally.closed += 1
        for due in self._open.values():
            self.tally.gave_up(due)
        self.socket.close()
        self._connect()

    def send(self, now: float) -> None:
        """Send what is due."""
        while self._due <= now and self._room():
            number = self._stream.to_bytes(4, "big")
            self.unsent += http2.make_frame(http2.HEADERS, http2.END_HEADERS, self._stream, self._block)
            self.unsent += self._data[:5] + number + self._data[FRAME_HEADER:]
            self._open[self._stream] = self._due
            self._block = self._later
            self._window -= self._size
            self._stream += 2
            self._due += self._every_s
        while len(self._open) + (now - self._due) / self._every_s >= MAX_REQUESTS // CONNECTIONS:
            self.tally.broke(self._due)  # what waits for a flow-control window is under way as well
            self._due += self._every_s
        while self._due + DEADLINE_S <= now:  # never sent, because the server takes no more
            self.tally.gave_up(self._due)
            self._due += self._every_s
        if self.unsent:
            try:
                del self.unsent[: self.socket.send(self.unsent)]
            except BlockingIOError:
                return
            except ConnectionError:
                self._connect_again()

    def _room(self) -> bool:
        streams = len(self._open) < self._most_streams
        return streams and self._size <= self._window and len(self.unsent) < _UNSENT_BYTES

    def expire(self, now: float) -> None:
        """Reset the checks whose deadline has passed."""
        while self._open:
            stream, due = next(iter(self._open.items()))
            if due + DEADLINE_S > now:
                return
            del self._open[stream]
            self.tally.gave_up(due)
            self.unsent += http2.make_frame(http2.RST, 0, stream, http2.CANCEL)

    def receive(self) -> None:
        """Take what the server has sent."""
        try:
            received = self.socket.recv(262_144)
        except BlockingIOError:
            return
        except ConnectionError:
            received = b""
        if not received:
            self._connect_again()
            return
        data = self._unread + received
        at, now = 0, time.perf_counter()
        while len(data) - at >= FRAME_HEADER:
            end = at + FRAME_HEADER + int.from_bytes(data[at : at + 3], "big")
            if end > len(data):
                break
            kind, flags, stream = data[at + 3], data[at + 4], int.from_bytes(data[at + 5 : at + 9], "big")
            if kind == http2.DATA:
                due = self._open.pop(stream, None)
                if due is not None:
                    self.tally.answered(due, data[at + FRAME_HEADER + 5 : end], now)
            elif kind == http2.RST or (kind == http2.HEADERS and flags & http2.END_STREAM):
                due = self._open.pop(stream, None)
                if due is not None:  # it ends without an answer
                    self.tally.gave_up(due)
            elif kind != http2.HEADERS:
                self._control(kind, flags, stream, data[at + FRAME_HEADER : end])
            at = end
        self._unread = data[at:]

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == http2.WINDOW_UPDATE and not stream:
            self._window += int.from_bytes(payload, "big")
        elif kind == http2.SETTINGS and not flags & http2.ACK:
            self._most_streams = http2.settings_of(payload).get(http2.MAX_CONCURRENT_STREAMS, 1 << 31)
        self.unsent += http2.reply(kind, flags, payload)
