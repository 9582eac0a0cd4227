"""Connections to providers of keys: to addresses that were judged, all of them in a race (RFC 8305, Happy Eyeballs)."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Iterable
from typing import Any, Final

import anyio
import httpcore
from aiohappyeyeballs import AddrInfoType, start_connection
from anyio.abc import ByteStream, SocketStream
from anyio.streams.tls import TLSStream

_ATTEMPT_DELAY_S: Final = 0.25
"""How long one address has before the next one is tried beside it (RFC 8305, section 5)."""
_MAX_OF_A_FAMILY: Final = 8
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_NEVER: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "169.254.0.0/16",  # metadata of nearly every cloud
        "100.100.100.200",  # Alibaba Cloud
        "168.63.129.16",  # Azure: a public address that every virtual machine reaches
        "192.0.0.0/24",  # Oracle Cloud at .192; protocol assignments, none of which is a web server (RFC 6890)
        "fd00:ec2::/32",  # AWS
        "fd20:ce::254",  # Google Cloud
        "fd00:c1::a9fe:a9fe",  # Oracle Cloud
        "fd00:42::42",  # Scaleway
        "64:ff9b:1::/48",  # NAT64 of a network's own (RFC 8215): where in it the IPv4 address stands is unknown
    )
)
"""Where clouds keep the metadata and credentials of their machines, and what may lead there."""


def may_connect(address: str, allow_private: bool) -> bool:
    """Whether keys may be fetched from an address (text).

    Public addresses always; private and loopback ones only where the configuration says so; link-local ones and the
    metadata services of clouds never. An IPv4 address inside an IPv6 one counts as itself.
    """
    try:
        parsed = _innermost(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return False
    if parsed.is_link_local or parsed.is_multicast or parsed.is_unspecified:
        return False
    if any(parsed in network for network in _NEVER):
        return False
    if parsed.is_loopback:
        return allow_private
    return not parsed.is_reserved and (parsed.is_global or allow_private)


def _innermost(parsed: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if isinstance(parsed, ipaddress.IPv4Address):
        return parsed
    if parsed in _NAT64:
        return ipaddress.IPv4Address(int(parsed) & 0xFFFF_FFFF)
    if parsed.teredo is not None:
        return parsed.teredo[1]
    return parsed.ipv4_mapped or parsed.sixtofour or parsed


class HandshakeFailed(httpcore.ConnectError):
    """A TLS handshake that ended for a reason of TLS: the certificate, the name in it, the version."""


class JudgedNetwork(httpcore.AsyncNetworkBackend):
    """Reaches one host at addresses that were judged, and asks no name server again (DNS rebinding)."""

    def __init__(self, addresses: Iterable[str], within_s: float) -> None:
        """Every address is tried within the first half of ``within_s`` seconds; who calls ends the race after it."""
        found = list(addresses)
        newer = [address for address in found if ":" in address][:_MAX_OF_A_FAMILY]
        older = [address for address in found if ":" not in address][:_MAX_OF_A_FAMILY]
        self.addresses = [address for address in found if address in newer or address in older]
        """Those that are tried, in the order of the name server."""
        self.connected: str | None = None
        """The address that won."""
        self._delay_s = min(_ATTEMPT_DELAY_S, within_s / 2 / max(len(self.addresses), 1))

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """The first connection that comes about; one that hangs or is refused delays the next one little."""
        self.connected = None
        try:
            # A family in turns: where all of IPv6 is dead, the second attempt is IPv4.
            connected = await start_connection(
                [_address_info(address, port) for address in self.addresses],
                happy_eyeballs_delay=self._delay_s,
                interleave=1,
            )
        except (OSError, RuntimeError) as error:  # uvloop raises the latter
            raise httpcore.ConnectError(type(error).__name__) from error
        self.connected = str(connected.getpeername()[0])
        return _Stream(await SocketStream.from_socket(connected))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _address_info(address: str, port: int) -> AddrInfoType:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)


class _Stream(httpcore.AsyncNetworkStream):
    """A connection in the terms of httpcore. But for TLS no time is counted here: that is for who calls."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        try:
            return await self._stream.receive(max_bytes)
        except anyio.EndOfStream:
            return b""
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise httpcore.ReadError(type(error).__name__) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        try:
            await self._stream.send(buffer)
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise httpcore.WriteError(type(error).__name__) from error

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        try:
            with anyio.fail_after(timeout):
                wrapped = await TLSStream.wrap(
                    self._stream, ssl_context=ssl_context, hostname=server_hostname, standard_compatible=False
                )
        except (OSError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
            await self.aclose()
            kind = HandshakeFailed if isinstance(error, ssl.SSLError) else httpcore.ConnectError
            raise kind(type(error).__name__) from error
        return _Stream(wrapped)
