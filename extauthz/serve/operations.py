"""The operations port: /metrics, /healthz (the process lives), /readyz (it should be asked)."""

import json
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import ThreadingWSGIServer, make_wsgi_app

from extauthz.serve.listening import listening

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class OperationsServer:
    """A small HTTP server in a thread of its own."""

    def __init__(self, address: str, registry: CollectorRegistry, readiness: Callable[[], dict[str, Any]]) -> None:
        """``readiness`` returns details with a boolean ``ready``. Raises OSError when the address cannot be bound."""
        host, _, port = address.rpartition(":")
        self._metrics = make_wsgi_app(registry)
        self._readiness = readiness
        server = _ServerForIPv6 if host.startswith("[") else ThreadingWSGIServer
        with listening(address, "operations"):
            self._server = make_server(
                host.strip("[]"), int(port), self._answer, server_class=server, handler_class=_QuietHandler
            )
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="operations", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            answer: Iterable[bytes] = self._metrics(environ, start_response)
            return answer
        if path == "/healthz":
            return _json(start_response, "200 OK", {"alive": True})
        if path == "/readyz":
            details = self._readiness()
            return _json(start_response, "200 OK" if details["ready"] else "503 Service Unavailable", details)
        return _json(start_response, "404 Not Found", {"paths": ["/metrics", "/healthz", "/readyz"]})


def _json(start_response: StartResponse, status: str, content: dict[str, Any]) -> Iterable[bytes]:
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(content).encode() + b"\n"]


class _ServerForIPv6(ThreadingWSGIServer):
    address_family = socket.AF_INET6


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class names it so
        """Scrapes are not worth a line."""
