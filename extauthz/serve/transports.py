"""Transports: how Envoy's questions reach the servicer. Both speak the same protocol; `native` costs less per check.

A transport serves one address and knows nothing of what it carries: it hands request bytes to ``Servicer.check`` and
answers with what comes back, at once or later.
"""

import asyncio
import threading
from collections.abc import Awaitable
from typing import Any, Final, Protocol

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2

from extauthz.domain.request import Network
from extauthz.wire.servicer import CHECK_PATH, SERVICE, Servicer

MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024
HEALTH_PATH: Final = "/grpc.health.v1.Health/Check"
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
    # Envoy may ping more often than gRPC's defaults permit, and would be sent away for it.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5000),
)


class Health:
    """What grpc.health.v1 answers, for every transport of the process."""

    def __init__(self) -> None:
        self.serving = False

    def check(self, payload: bytes) -> bytes | None:
        """The serialized answer, or None for a service that we do not have."""
        service = health_pb2.HealthCheckRequest.FromString(payload).service
        if service not in ("", SERVICE):
            return None
        status = health_pb2.HealthCheckResponse.SERVING if self.serving else health_pb2.HealthCheckResponse.NOT_SERVING
        answer: bytes = health_pb2.HealthCheckResponse(status=status).SerializeToString()
        return answer


class Transport(Protocol):
    """One address at which Envoy asks."""

    address: str
    """Where it listens, with the real port once started."""

    async def start(self) -> None:
        """Bind and begin to answer. Raises OSError when the address cannot be bound."""
        ...

    async def stop(self, grace_s: float) -> None:
        """Finish what is in flight, for at most ``grace_s`` seconds, then close."""
        ...


class GrpcioTransport:
    """grpc.aio: always there."""

    def __init__(self, address: str, binding: Network | None, servicer: Servicer, health: Health) -> None:
        self.address = address
        self._binding = binding
        self._servicer = servicer
        self._health = health
        self._server: Any = None

    async def start(self) -> None:
        # Here and not in the constructor: a grpc.aio server belongs to the event loop that runs when it is made.
        self._server = grpc.aio.server(options=_OPTIONS)
        self._server.add_generic_rpc_handlers((_Handlers({CHECK_PATH: self._check, HEALTH_PATH: self._check_health}),))
        try:
            port = self._server.add_insecure_port(self.address)
        except RuntimeError:
            raise OSError(f"cannot listen on {self.address}: is another process using it?") from None
        if not self.address.startswith("unix:"):
            self.address = f"{self.address.rpartition(':')[0]}:{port}"
        await self._server.start()

    async def stop(self, grace_s: float) -> None:
        if self._server is not None:
            await self._server.stop(grace_s)

    async def _check(self, payload: bytes, context: Any) -> bytes:
        answer = self._servicer.check(payload, self._binding)
        return answer if isinstance(answer, bytes) else await answer

    async def _check_health(self, payload: bytes, context: Any) -> bytes:
        answer = self._health.check(payload)
        if answer is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return answer or b""


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Unary methods that take and give bytes."""

    def __init__(self, methods: dict[str, Any]) -> None:
        self._handlers = {path: grpc.unary_unary_rpc_method_handler(method) for path, method in methods.items()}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return self._handlers.get(handler_call_details.method)


class NativeTransport:
    """pygrpc-native: HTTP/2 in Rust outside the GIL, calls handed over in batches to one thread of ours."""

    _BATCH: Final = 64
    _NOT_FOUND: Final = 5
    _RESOURCE_EXHAUSTED: Final = 8

    def __init__(self, address: str, binding: Network | None, servicer: Servicer, health: Health) -> None:
        from pygrpc_native import NativeGrpcFront  # an optional extra: imported where it is used

        self.address = address
        self._binding = binding
        self._servicer = servicer
        self._health = health
        try:
            self._front = NativeGrpcFront(address, [(CHECK_PATH, False), (HEALTH_PATH, False)], io_threads=1)
        except (OSError, RuntimeError, ValueError) as error:
            raise OSError(f"cannot listen on {address}: {error}") from None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._answer_batches, name=f"checks {address}", daemon=True)

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._front.start()
        if not self.address.startswith("unix:"):
            self.address = f"{self.address.rpartition(':')[0]}:{self._front.bound_port}"
        self._thread.start()

    async def stop(self, grace_s: float) -> None:
        # Unary checks take microseconds: by the time the drain is over, none is left in Python.
        self._front.close()
        await asyncio.to_thread(self._thread.join, grace_s)

    def _answer_batches(self) -> None:
        front, check, binding = self._front, self._servicer.check, self._binding
        while (events := front.recv_batch(self._BATCH)) is not None:
            for _kind, call_id, method_id, payload, _client in events:
                if payload is None:
                    continue  # a cancelled call: the answer was on its way, or is of no use
                if method_id:
                    self._answer_health(call_id, payload)
                elif len(payload) > MAX_MESSAGE_BYTES:
                    front.fail(call_id, self._RESOURCE_EXHAUSTED, "message too large")
                else:
                    answer = check(payload, binding)
                    if isinstance(answer, bytes):
                        front.respond(call_id, answer)
                    else:
                        self._answer_later(call_id, answer)

    def _answer_health(self, call_id: int, payload: bytes) -> None:
        try:
            answer = self._health.check(payload)
        except Exception:
            answer = None
        if answer is None:
            self._front.fail(call_id, self._NOT_FOUND, "unknown service")
        else:
            self._front.respond(call_id, answer)

    def _answer_later(self, call_id: int, answer: Awaitable[bytes]) -> None:
        async def wait() -> None:
            self._front.respond(call_id, await answer)

        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(wait(), self._loop)


def choose_transport(wanted: str) -> type[GrpcioTransport] | type[NativeTransport]:
    """The transport for a configuration's ``transport``. Raises ModuleNotFoundError where ``native`` is missing."""
    if wanted == "grpcio":
        return GrpcioTransport
    try:
        import pygrpc_native  # noqa: F401
    except ModuleNotFoundError:
        if wanted == "native":
            raise
        return GrpcioTransport
    return NativeTransport
