"""Transports: how Envoy's questions reach the servicer. All speak the same protocol; `front` costs least per check.

A transport serves one address and knows nothing of what it carries: it hands request bytes to ``Checks.check`` and
answers with what comes back, at once or later. What it cannot take on it refuses with an explicit denial, never with a
gRPC error, which Envoy under ``failure_mode_allow`` would turn into an allow.
"""

from typing import Final, Protocol

from grpc_health.v1 import health_pb2

from extauthz.domain.address import Address
from extauthz.wire.servicer import SERVICE

HEALTH_PATH: Final = "/grpc.health.v1.Health/Check"


class Health:
    """What grpc.health.v1 answers, for every transport of the process."""

    def __init__(self) -> None:
        self.serving = False

    def check(self, payload: bytes) -> bytes | None:
        """The serialized answer, or None for a service that we do not have. Raises DecodeError."""
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

    @property
    def in_flight(self) -> int:
        """Checks that were taken on and not answered yet."""
        ...

    async def start(self) -> None:
        """Bind and begin to answer. Raises OSError when the address cannot be bound."""
        ...

    async def stop(self, grace_s: float) -> None:
        """Finish what is in flight, for at most ``grace_s`` seconds, then close."""
        ...


def bound_address(address: str, port: int) -> str:
    """``address`` with the real port."""
    return str(Address.parse(address).with_port(port))
