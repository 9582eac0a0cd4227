"""The operations port: /metrics, /healthz (the process lives), /readyz (it should be asked).

One thread serves it, whoever connects and however many: what a connection may cost is bounded in bytes, in seconds and
in number, and where there are too many the oldest makes room, so that a request which is sent at once is answered.
Every connection is for one request.
"""

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import h11
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry

from extauthz.domain.address import Address
from extauthz.serve.metrics_page import MetricsPage
from extauthz.transport.listening import listening
from extauthz.wire.failure import describe

MAX_HEAD_BYTES: Final = 8192
"""Of request line and headers together."""
HEAD_TIMEOUT_S: Final = 5.0
"""From the connection to the end of the headers."""
ANSWER_TIMEOUT_S: Final = 15.0
"""From there until the answer is taken. Prometheus waits for 10 s."""
MOST_WAITING: Final = 256
"""Connections without a whole request; a quarter of the file descriptors that a process has by default."""
MOST_SCRAPES: Final = 128
"""Pages waited for or being read. As pages are built one after the other, with rests, slow readers hold only a few."""
_AT_ONCE: Final = 64
"""Connections taken in at a time, before those that stand are looked at again."""
_PIECE: Final = 65_536
_PATHS: Final = ("/metrics", "/healthz", "/readyz")
_JSON: Final = "application/json"
_log: Final = logging.getLogger("extauthz")


class _Answer(NamedTuple):
    status: int
    content_type: str
    body: bytes


class OperationsServer:
    """A small HTTP server in a thread of its own."""

    def __init__(self, address: str, registry: CollectorRegistry, readiness: Callable[[], dict[str, Any]]) -> None:
        """``readiness`` returns details with a boolean ``ready``. Raises OSError when the address cannot be bound."""
        self._registry = registry
        self._readiness = readiness
        with listening(address, "operations"):
            self._socket = _bind(Address.parse(address))
        self.port: int = self._socket.getsockname()[1]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._runs = threading.Event()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="operations", daemon=True)
        self._waiting = _Places(MOST_WAITING)
        self._scrapes = _Places(MOST_SCRAPES)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()
        self._runs.wait()

    def stop(self) -> None:
        """Answer no more."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(HEAD_TIMEOUT_S)
        self._socket.close()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._page = MetricsPage(self._registry)
        server = await asyncio.start_server(self._serve, sock=self._socket, backlog=_AT_ONCE, limit=MAX_HEAD_BYTES)
        self._runs.set()
        await self._stopping.wait()
        server.close()
        self._page.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            parser = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
            with self._waiting.place():
                async with asyncio.timeout(HEAD_TIMEOUT_S):
                    asked = await _read_request(reader, parser)
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self._answer(asked, parser, writer)
        except (OSError, TimeoutError, asyncio.CancelledError, h11.ProtocolError):
            pass  # whoever is too slow, or speaks something else, is hung up on
        except Exception as error:
            _log.error("the operations port could not answer: %s", describe(error))
        finally:
            writer.transport.abort()

    async def _answer(
        self, asked: h11.Request | h11.RemoteProtocolError, parser: h11.Connection, writer: asyncio.StreamWriter
    ) -> None:
        if isinstance(asked, h11.RemoteProtocolError):
            await _send(
                parser, writer, _json(asked.error_status_hint, {"error": "not an HTTP request that can be read"})
            )
            return
        path = asked.target.partition(b"?")[0].decode("ascii", "replace")
        if asked.method not in (b"GET", b"HEAD"):
            answer = _json(405, {"methods": ["GET", "HEAD"]})
        elif path == "/metrics":
            with self._scrapes.place():
                await _send(parser, writer, await self._metrics(), asked.method)  # and until it is taken
            return
        elif path == "/healthz":
            answer = _json(200, {"alive": True})
        elif path == "/readyz":
            details = self._readiness()
            answer = _json(200 if details["ready"] else 503, details)
        else:
            answer = _json(404, {"paths": _PATHS})
        await _send(parser, writer, answer, asked.method)

    async def _metrics(self) -> _Answer:
        try:
            return _Answer(200, CONTENT_TYPE_LATEST, await self._page.get())
        except Exception as error:
            _log.error("the metrics cannot be read: %s", describe(error))
            return _json(500, {"error": "the metrics cannot be read; the log says where it failed"})


class _Places:
    """So many tasks may be at a point; of more the one that came first is cancelled."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._tasks: dict[asyncio.Task[Any], None] = {}

    @contextmanager
    def place(self) -> Iterator[None]:
        """Around what the running task does there."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("not within a task")
        if len(self._tasks) >= self._most:
            first = next(iter(self._tasks))
            del self._tasks[first]
            first.cancel()
        self._tasks[task] = None
        try:
            yield
        finally:
            self._tasks.pop(task, None)


def _bind(address: Address) -> socket.socket:
    place = (address.host, address.port)
    if ":" not in address.host:
        return socket.create_server(place, backlog=_AT_ONCE)
    return socket.create_server(
        place, family=socket.AF_INET6, backlog=_AT_ONCE, dualstack_ipv6=socket.has_dualstack_ipv6()
    )


async def _read_request(reader: asyncio.StreamReader, parser: h11.Connection) -> h11.Request | h11.RemoteProtocolError:
    """Request line and headers; the error where they are none. Raises h11.ProtocolError when the caller goes."""
    while True:
        try:
            event = parser.next_event()
        except h11.RemoteProtocolError as error:
            return error
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            raise h11.LocalProtocolError("hung up")
        parser.receive_data(await reader.read(MAX_HEAD_BYTES))


def _json(status: int, content: dict[str, Any]) -> _Answer:
    return _Answer(status, _JSON, json.dumps(content).encode() + b"\n")


async def _send(parser: h11.Connection, writer: asyncio.StreamWriter, answer: _Answer, method: bytes = b"GET") -> None:
    headers = [
        ("Content-Type", answer.content_type),
        ("Content-Length", str(len(answer.body))),
        ("Connection", "close"),
    ]
    writer.write(parser.send(h11.Response(status_code=answer.status, headers=headers)) or b"")
    body = memoryview(answer.body if method != b"HEAD" else b"")
    for start in range(0, len(body), _PIECE):
        writer.write(parser.send(h11.Data(data=bytes(body[start : start + _PIECE]))) or b"")
        await writer.drain()
    writer.close()
    await writer.wait_closed()
