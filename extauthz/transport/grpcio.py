"""The transport that is always there: grpc.aio."""

import asyncio
import time
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from extauthz.domain import reason
from extauthz.domain.reason import Reason
from extauthz.domain.request import Network
from extauthz.transport.contract import HEALTH_PATH, Health, bound_address
from extauthz.transport.late_answers import until_it_comes
from extauthz.transport.listening import socket_mode
from extauthz.transport.overload import LEAST_LEFT_S
from extauthz.transport.stall import LOOK_S, StallWatch
from extauthz.transport.tls import Certificates, may_ask
from extauthz.wire.servicer import CHECK_PATH, Checks, Metadata

_LARGEST: Final = 64 * 1024 * 1024
_OPTIONS: Final = (
    ("grpc.so_reuseport", 0),
    # Envoy may ping more often than gRPC's defaults permit, and would be sent away for it.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5000),
)


class GrpcioTransport:
    """Answers on the event loop, one coroutine a call."""

    def __init__(
        self,
        address: str,
        binding: Network | None,
        checks: Checks,
        health: Health,
        in_flight_limit: int,
        message_limit: int,
        certificates: Certificates | None = None,
    ) -> None:
        """With ``certificates`` it speaks TLS, else plain text."""
        self.address = address
        self.in_flight = 0
        self._binding = binding
        self._checks = checks
        self._health = health
        self._limit = in_flight_limit
        self._message_limit = message_limit
        self._certificates = certificates
        self._names = None if certificates is None or not certificates.allowed_clients else certificates.allowed_clients
        self._server: Any = None
        self._watch = StallWatch()
        self._look: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        # Not earlier: grpc.aio binds a server to the event loop that runs when it is made.
        # gRPC's own limit answers with a gRPC error; ours, an explicit denial, has to come first.
        largest = ("grpc.max_receive_message_length", max(_LARGEST, 2 * self._message_limit))
        self._server = grpc.aio.server(options=[*_OPTIONS, largest])
        self._server.add_generic_rpc_handlers((_Handlers({CHECK_PATH: self._check, HEALTH_PATH: self._check_health}),))
        try:
            with socket_mode(self.address):
                if self._certificates is None:
                    port = self._server.add_insecure_port(self.address)
                else:
                    port = self._server.add_secure_port(self.address, self._certificates.credentials())
        except RuntimeError:
            raise OSError("the address cannot be opened") from None
        self.address = bound_address(self.address, port)
        await self._server.start()
        self._watch.stood_still()  # not counting from before the start
        self._look_again()

    async def stop(self, grace_s: float) -> None:
        if self._server is not None:
            await self._server.stop(grace_s)
        if self._look is not None:
            self._look.cancel()

    def _look_again(self) -> None:
        self._watch.settle_after_a_stall()
        self._look = asyncio.get_running_loop().call_later(LOOK_S, self._look_again)

    async def _until_settled(self) -> None:
        """Wait while gRPC reads what lies on the connections: it ends this task where Envoy gave the call up."""
        self.in_flight += 1
        try:
            while (left_s := self._watch.settled_s - time.monotonic()) > 0:
                await asyncio.sleep(left_s)
                self._watch.settle_after_a_stall()
        finally:
            self.in_flight -= 1

    def _refuse(self, why: Reason, context: Any) -> bytes:
        return self._checks.refuse(why, self._binding, self._metadata(context))

    def _metadata(self, context: Any) -> Metadata:
        return (context.invocation_metadata() or ()) if self._checks.metadata_names else ()

    async def _check(self, payload: bytes, context: Any) -> bytes:
        if self._names is not None and not may_ask(context, self._names):
            return self._refuse(reason.PEER_REFUSED, context)
        if len(payload) > self._message_limit:
            return self._refuse(reason.REQUEST_INVALID, context)
        left_s = context.time_remaining()
        if self.in_flight >= self._limit or (left_s is not None and left_s < LEAST_LEFT_S):
            return self._refuse(reason.OVERLOADED, context)
        self._watch.settle_after_a_stall()
        if self._watch.passed_s < self._watch.settled_s:
            await self._until_settled()
        answer = self._checks.check(payload, self._binding, self._metadata(context))
        if isinstance(answer, bytes):
            return answer
        self.in_flight += 1
        try:
            return await until_it_comes(answer)
        finally:
            self.in_flight -= 1

    async def _check_health(self, payload: bytes, context: Any) -> bytes:
        if self._names is not None and not may_ask(context, self._names):
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not an allowed client")
        try:
            answer = self._health.check(payload)
        except DecodeError:
            answer = None
        if answer is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return answer or b""


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Unary methods that take and give bytes."""

    def __init__(self, methods: dict[str, Any]) -> None:
        self._handlers = {path: grpc.unary_unary_rpc_method_handler(method) for path, method in methods.items()}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return self._handlers.get(handler_call_details.method)
