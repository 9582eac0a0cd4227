"""Which transport serves an address: the fast one where it is installed, else the one that always is."""

from importlib.util import find_spec
from typing import Final, Protocol

from extauthz.domain.request import Network
from extauthz.transport.contract import Health, Transport
from extauthz.transport.front import FrontTransport
from extauthz.transport.grpcio import GrpcioTransport
from extauthz.transport.tls import Certificates
from extauthz.wire.servicer import Checks


class MakeTransport(Protocol):
    """How a transport is made."""

    def __call__(
        self,
        address: str,
        binding: Network | None,
        checks: Checks,
        health: Health,
        in_flight_limit: int,
        message_limit: int,
        certificates: Certificates | None = None,
    ) -> Transport: ...


WITHOUT_FRONT: Final = (
    "extauthz-front is not installed, so gRPC's own transport serves, and a core answers a fraction of the checks. "
    'README, "Put it before your Envoy", says how to get it; `transport: grpcio` says that this is meant'
)


def choose_transport(wanted: str) -> MakeTransport:
    """The transport for a configuration's ``transport``. Raises ModuleNotFoundError where the one named is missing."""
    if wanted == "grpcio":
        return GrpcioTransport
    if has_front():
        return FrontTransport
    if wanted == "front":
        raise ModuleNotFoundError("`transport: front` needs extauthz-front; `pip install ./front` builds it, with Rust")
    return GrpcioTransport


def has_front() -> bool:
    """Whether extauthz-front is installed."""
    return find_spec("extauthz_front") is not None
