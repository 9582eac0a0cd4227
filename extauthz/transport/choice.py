"""Which transport serves an address: the fast one where it is installed, else the one that always is."""

from typing import Protocol

from extauthz.domain.request import Network
from extauthz.transport.contract import Health, Transport
from extauthz.transport.grpcio import GrpcioTransport
from extauthz.transport.native import NativeTransport
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
    ) -> Transport: ...


def choose_transport(wanted: str) -> MakeTransport:
    """The transport for a configuration's ``transport``. Raises ModuleNotFoundError where ``native`` is missing."""
    if wanted == "grpcio":
        return GrpcioTransport
    try:
        import pygrpc_native  # noqa: F401
    except ModuleNotFoundError:
        if wanted == "native":
            raise ModuleNotFoundError("`transport: native` needs `pip install extauthz[fast]`") from None
        return GrpcioTransport
    return NativeTransport
