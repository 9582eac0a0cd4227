"""A peer that speaks HTTP/2 frame by frame, also in ways that no gRPC library does."""

import select
import socket
import struct
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

from extauthz.wire.servicer import CHECK_PATH

CALL = [
    (":method", "POST"), (":scheme", "http"), (":path", CHECK_PATH), (":authority", "test"), ("te", "trailers"),
    ("content-type", "application/grpc"),
]  # fmt: skip

PING = b"\0\0\x08\x06\0"


def framed(message: bytes, flag: int = 0) -> bytes:
    return bytes([flag]) + struct.pack(">I", len(message)) + message


@dataclass
class Outcome:
    """What came back on a stream."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None

    @property
    def message(self) -> str:
        """The message of an answer with status OK; anything else is an error."""
        assert (self.headers.get(":status"), self.headers.get("grpc-status")) == ("200", "0"), self
        assert self.body[:1] == b"\0"
        assert int.from_bytes(self.body[1:5], "big") == len(self.body) - 5
        return self.body[5:].decode()


class Peer:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.outcomes: dict[int, Outcome] = {}
        self.goaway: ErrorCodes | int | None = None
        self.closed = False
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        config = h2.config.H2Configuration(
            header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self._h2 = h2.connection.H2Connection(config)
        self._h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self._socket.sendall(self._h2.data_to_send())

    def raw(self, data: bytes) -> None:
        self._socket.sendall(data)

    def begin(self, headers: Iterable[tuple[str, str]] = (), **pseudo: str) -> int:
        """Begin a call, with pseudo headers replaced and others added."""
        replaced = {f":{name}": value for name, value in pseudo.items()}
        fields = [(name, replaced.get(name, value)) for name, value in CALL] + list(headers)
        stream = self._h2.get_next_available_stream_id()
        self._h2.send_headers(stream, fields)
        self.outcomes[stream] = Outcome()
        self.flush()
        return stream

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        self._h2.send_data(stream, data, end_stream=end)
        self.flush()

    def reset(self, stream: int) -> None:
        self._h2.reset_stream(stream, ErrorCodes.CANCEL)
        self.flush()

    def ask(self, body: bytes, headers: Iterable[tuple[str, str]] = (), **pseudo: str) -> Outcome:
        """A whole call."""
        stream = self.begin(headers, **pseudo)
        self.send(stream, body, end=True)
        return self.wait(stream)

    def wait(self, stream: int, timeout_s: float = 15.0) -> Outcome:
        outcome, deadline_s = self.outcomes[stream], time.monotonic() + timeout_s
        while not outcome.ended and outcome.reset is None and not self.closed and time.monotonic() < deadline_s:
            self.read(0.1)
        return outcome

    def wait_closed(self, timeout_s: float) -> bool:
        deadline_s = time.monotonic() + timeout_s
        while not self.closed and time.monotonic() < deadline_s:
            self.read(0.1)
        return self.closed

    def read(self, timeout_s: float) -> None:
        if not select.select([self._socket], [], [], timeout_s)[0]:
            return
        try:
            data = self._socket.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self.closed = True
            return
        with suppress(ConnectionError):  # the next read says so
            self._receive(data)

    def _receive(self, data: bytes) -> None:
        if self.goaway is None:
            with suppress(ProtocolError):  # h2 takes a GOAWAY for the end, and no more frames
                for event in self._h2.receive_data(data):
                    self._take(event)
            self.flush()
        if (at := data.find(PING)) >= 0:
            self.raw(PING[:4] + b"\1" + data[at + 5 : at + 17])

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = event.error_code
            return
        outcome = self.outcomes.get(getattr(event, "stream_id", 0) or 0)
        if outcome is None:
            return
        if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
            outcome.headers |= dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            outcome.body += event.data
        elif isinstance(event, h2.events.StreamEnded):
            outcome.ended = True
        elif isinstance(event, h2.events.StreamReset):
            outcome.reset = outcome.reset or (None if outcome.ended else int(event.error_code))

    def close(self) -> None:
        self._socket.close()
