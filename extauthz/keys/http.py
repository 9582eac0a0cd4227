"""One guarded HTTP GET: what a provider of keys may make us do, and nothing more.

The host is resolved once, every address is judged, and the connections go to addresses that were judged, so a name
cannot point elsewhere the second time it is asked (DNS rebinding). TLS still verifies the certificate for the name.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

import httpcore
import httpx

from extauthz.domain.tokens.key_source import RemoteKeys
from extauthz.keys.network import HandshakeFailed, JudgedNetwork, may_connect

_MAX_REDIRECTS: Final = 3
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_HANDSHAKES: Final = 3
"""Where other addresses are left, a TLS handshake may take this part of the time."""
_SHOWN_ADDRESSES: Final = 8


class FetchResult(StrEnum):
    """How a fetch ended: the metric's label, a closed set."""

    OK = "ok"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    TLS_FAILED = "tls_failed"
    ADDRESS_REFUSED = "address_refused"
    REDIRECT_REFUSED = "redirect_refused"
    BAD_STATUS = "bad_status"
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    NO_USABLE_KEY = "no_usable_key"
    ISSUER_MISMATCH = "issuer_mismatch"


class FetchFailed(Exception):
    """A fetch that brought nothing usable.

    The text is for the log; of what the provider sent it quotes key ids alone, escaped.
    """

    def __init__(self, result: FetchResult, detail: str) -> None:
        super().__init__(f"{result.value}: {detail}")
        self.result = result


class Fetched(NamedTuple):
    """A response that kept every limit."""

    body: bytes
    headers: Mapping[str, str]
    address: str
    """From where it came."""


class KeyClient:
    """Fetches documents under the limits of one plug-in's settings."""

    def __init__(self, remote: RemoteKeys, resolve: "Resolve | None" = None) -> None:
        """``resolve`` gives the addresses of a host and port, or raises OSError; tests pass their own."""
        self._remote = remote
        self._resolve = resolve or _resolve
        if remote.ca_file is not None:
            self._tls = ssl.create_default_context(cafile=remote.ca_file)
        else:
            self._tls = httpx.create_ssl_context(trust_env=False)

    async def get(self, url: str) -> Fetched:
        """The document at a URL, within ``timeout_s`` seconds in all. Raises FetchFailed."""
        way = _Way()
        try:
            async with asyncio.timeout(self._remote.timeout_s):
                return await self._follow(url, way)
        except TimeoutError:
            text = f"no {way.missing()} within {self._remote.timeout_s:g} s"
            raise FetchFailed(FetchResult.TIMEOUT, text) from None

    async def _follow(self, url: str, way: "_Way") -> Fetched:
        for _ in range(_MAX_REDIRECTS + 1):
            answer = await self._get_once(url, way)
            if isinstance(answer, Fetched):
                return answer
            url = answer
        raise FetchFailed(FetchResult.REDIRECT_REFUSED, f"more than {_MAX_REDIRECTS} redirects")

    async def _get_once(self, url: str, way: "_Way") -> Fetched | str:
        """The document, or the URL to which the provider sends us and to which we may go."""
        try:
            target = httpx.URL(url)
        except httpx.InvalidURL:
            raise FetchFailed(FetchResult.MALFORMED, "not a URL") from None
        if target.scheme != "https" and not (target.scheme == "http" and self._remote.allow_http):
            raise FetchFailed(FetchResult.ADDRESS_REFUSED, "the URL is not https")
        if not target.host or target.userinfo:
            raise FetchFailed(FetchResult.ADDRESS_REFUSED, "the URL has no host, or a password")
        way.network = None
        addresses = await self._addresses(target)
        failure: FetchFailed | None = None
        while True:
            way.network = network = JudgedNetwork(addresses, self._remote.timeout_s)
            try:
                return await self._ask(target, network)
            except (httpcore.NetworkError, httpcore.ProtocolError) as error:
                if network.connected is not None or failure is None:
                    failure = _failure(error, network)
                addresses = [address for address in network.addresses if address != network.connected]
                if network.connected is None or not addresses:
                    raise failure from None
                # Connected, but no answer: a machine in between perhaps, and another address is better.

    async def _addresses(self, target: httpx.URL) -> list[str]:
        port = target.port or (443 if target.scheme == "https" else 80)
        try:
            addresses = await self._resolve(target.raw_host.decode("ascii"), port)
        except (OSError, UnicodeError):
            raise FetchFailed(FetchResult.UNREACHABLE, "the host name does not resolve") from None
        allowed = [address for address in addresses if may_connect(address, self._remote.allow_private_addresses)]
        if addresses and not allowed:
            text = f"the host is at an address that must not be asked: {', '.join(addresses[:_SHOWN_ADDRESSES])}"
            raise FetchFailed(FetchResult.ADDRESS_REFUSED, text)
        if not allowed:
            raise FetchFailed(FetchResult.UNREACHABLE, "the host has no address")
        return allowed

    async def _ask(self, target: httpx.URL, network: JudgedNetwork) -> Fetched | str:
        headers = [
            (b"Host", target.netloc),
            (b"Accept", b"application/jwk-set+json, application/json"),  # RFC 7517, section 8.5.2
            (b"Accept-Encoding", b"identity"),  # a compressed body could unpack to any size
            (b"User-Agent", b"extauthz"),
        ]
        url = httpcore.URL(
            scheme=target.raw_scheme, host=target.raw_host, port=target.port, target=target.raw_path or b"/"
        )
        handshake_s = self._remote.timeout_s / (_HANDSHAKES if len(network.addresses) > 1 else 1)
        # No connection is kept: one that was verified for a name must not serve another name at the same address.
        async with (
            httpcore.AsyncConnectionPool(
                ssl_context=self._tls, network_backend=network, max_keepalive_connections=0
            ) as pool,
            pool.stream("GET", url, headers=headers, extensions={"timeout": {"connect": handshake_s}}) as response,
        ):
            return await self._read(response, target, network.connected or "")

    async def _read(self, response: httpcore.Response, target: httpx.URL, address: str) -> Fetched | str:
        headers = httpx.Headers(response.headers)
        if response.status in _REDIRECTS and "location" in headers:
            if not self._remote.allow_redirects:
                raise FetchFailed(FetchResult.REDIRECT_REFUSED, f"status {response.status}")
            try:
                return str(target.join(headers["location"]))
            except httpx.InvalidURL:
                raise FetchFailed(FetchResult.MALFORMED, "a redirect to what is not a URL") from None
        if response.status != 200:
            raise FetchFailed(FetchResult.BAD_STATUS, f"status {response.status} from {address}")
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise FetchFailed(FetchResult.MALFORMED, "the body is compressed though we asked for it plain")
        body = bytearray()
        async for chunk in response.aiter_stream():
            body += chunk
            if len(body) > self._remote.max_bytes:
                raise FetchFailed(FetchResult.TOO_LARGE, f"more than {self._remote.max_bytes} bytes")
        return Fetched(bytes(body), headers, address)


class _Way:
    """How far a fetch came, for the message about a time-out."""

    network: JudgedNetwork | None = None

    def missing(self) -> str:
        if self.network is None:
            return "answer of the name server"
        if self.network.connected is None:
            return f"connection to {_listed(self.network)}"
        return f"whole answer from {self.network.connected}"


Resolve = Callable[[str, int], Awaitable[list[str]]]


async def _resolve(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _failure(error: Exception, network: JudgedNetwork) -> FetchFailed:
    if network.connected is None:
        return FetchFailed(FetchResult.UNREACHABLE, f"cannot connect to {_listed(network)}")
    if isinstance(error, HandshakeFailed):
        text = f"the certificate or the handshake of {network.connected} is not acceptable"
        return FetchFailed(FetchResult.TLS_FAILED, text)
    if isinstance(error, httpcore.ConnectError):
        text = f"{network.connected} ends the TLS handshake, or leaves it hanging"
    else:
        text = f"{network.connected} breaks off, or does not speak HTTP ({type(error).__name__})"
    return FetchFailed(FetchResult.UNREACHABLE, text)


def _listed(network: JudgedNetwork) -> str:
    return ", ".join(network.addresses)
