"""The process of the admin API: one socket, one server, until it is told to stop."""

import asyncio
import signal
import socket
import ssl
import uuid
from http import HTTPStatus
from typing import Final

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from extauthz.admin.problem import Refusal, answer

STATEMENT_LIMIT_S: Final = 15.0
"""How long PostgreSQL may work, or wait for somebody else's lock, in one statement of a request."""
HEAD_WITHIN_S: Final = 10.0
_CONNECTIONS: Final = 1000
_STOP_WITHIN_S: Final = 20
_BACKLOG: Final = 256
_NOT_HTTP: Final = Refusal(
    HTTPStatus.BAD_REQUEST, "not-http", "this is not a request of HTTP/1.1, or its head is too large"
)


def open_socket(address: str) -> socket.socket:
    """A socket that listens on ``host:port``. Raises OSError."""
    host, _, port = address.rpartition(":")
    (family, kind, protocol, _, place), *_ = socket.getaddrinfo(
        host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(place)
        opened.listen(_BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened


def run(app: ASGIApp, opened: socket.socket, tls: ssl.SSLContext | None) -> None:
    """Answer requests until SIGTERM or SIGINT, then finish those in flight."""
    config = uvicorn.Config(
        app,
        http=_PatientProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=_STOP_WITHIN_S,
        ssl_context_factory=None if tls is None else lambda _config, _default: tls,
    )
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: None)  # the server raises once more, when it has stopped, what stopped it
    uvicorn.Server(config).run(sockets=[opened])


class _PatientProtocol(H11Protocol):
    """Closes a connection on which no whole head of a request arrives in time; the server alone would wait for ever."""

    _impatience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Tell as a problem, like every error, that this is not HTTP."""
        request_id = str(uuid.uuid4())
        told = answer(_NOT_HTTP, request_id)
        headers = [*told.raw_headers, (b"x-request-id", request_id.encode()), (b"connection", b"close")]
        events = (
            h11.Response(status_code=told.status_code, headers=headers, reason=b"Bad Request"),
            h11.Data(data=bytes(told.body)),
            h11.EndOfMessage(),
        )
        self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._calm()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._calm()
        elif self._impatience is None and not self.transport.is_closing():
            self._impatience = self.loop.call_later(HEAD_WITHIN_S, self.transport.close)

    def _calm(self) -> None:
        if self._impatience is not None:
            self._impatience.cancel()
            self._impatience = None
