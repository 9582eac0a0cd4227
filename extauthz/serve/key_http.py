"""One guarded HTTP GET: what a provider of keys may make us do, and nothing more.

The host is resolved once, every address is judged, and the connection goes to an address that was judged, so a name
cannot point elsewhere the second time it is asked (DNS rebinding). TLS still verifies the certificate for the name.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

import httpx

from extauthz.domain.key_source import RemoteKeys

_MAX_REDIRECTS: Final = 3
_MAX_ADDRESSES: Final = 3
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


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
    """A fetch that brought nothing usable. The text is for the log and quotes nothing that the provider sent."""

    def __init__(self, result: FetchResult, detail: str) -> None:
        super().__init__(f"{result.value}: {detail}")
        self.result = result


class Fetched(NamedTuple):
    """A response that kept every limit."""

    body: bytes
    headers: Mapping[str, str]


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
        # No connection is kept: one that was verified for a name must not serve another name at the same address.
        limits = httpx.Limits(max_keepalive_connections=0)
        try:
            async with (
                asyncio.timeout(self._remote.timeout_s),
                httpx.AsyncClient(verify=self._tls, trust_env=False, follow_redirects=False, limits=limits) as client,
            ):
                return await self._follow(client, url)
        except TimeoutError:
            raise FetchFailed(FetchResult.TIMEOUT, f"no whole answer within {self._remote.timeout_s:g} s") from None

    async def _follow(self, client: httpx.AsyncClient, url: str) -> Fetched:
        for _ in range(_MAX_REDIRECTS + 1):
            answer = await self._get_once(client, url)
            if isinstance(answer, Fetched):
                return answer
            url = answer
        raise FetchFailed(FetchResult.REDIRECT_REFUSED, f"more than {_MAX_REDIRECTS} redirects")

    async def _get_once(self, client: httpx.AsyncClient, url: str) -> Fetched | str:
        """The document, or the URL to which the provider sends us and to which we may go."""
        try:
            target = httpx.URL(url)
        except httpx.InvalidURL:
            raise FetchFailed(FetchResult.MALFORMED, "not a URL") from None
        if target.scheme != "https" and not (target.scheme == "http" and self._remote.allow_http):
            raise FetchFailed(FetchResult.ADDRESS_REFUSED, "the URL is not https")
        if not target.host or target.userinfo:
            raise FetchFailed(FetchResult.ADDRESS_REFUSED, "the URL has no host, or a password")
        last = FetchFailed(FetchResult.UNREACHABLE, "the host has no address")
        for address in await self._addresses(target):
            try:
                return await self._ask(client, target, address)
            except httpx.ConnectError as error:
                last = _connect_failure(error)
            except httpx.HTTPError as error:
                raise FetchFailed(FetchResult.UNREACHABLE, type(error).__name__) from None
        raise last

    async def _addresses(self, target: httpx.URL) -> list[str]:
        port = target.port or (443 if target.scheme == "https" else 80)
        try:
            addresses = await self._resolve(target.raw_host.decode("ascii"), port)
        except (OSError, UnicodeError):
            raise FetchFailed(FetchResult.UNREACHABLE, "the host name does not resolve") from None
        allowed = [address for address in addresses if may_connect(address, self._remote.allow_private_addresses)]
        if addresses and not allowed:
            raise FetchFailed(FetchResult.ADDRESS_REFUSED, "the host is at an address that is not public")
        return allowed[:_MAX_ADDRESSES]

    async def _ask(self, client: httpx.AsyncClient, target: httpx.URL, address: str) -> Fetched | str:
        headers = {
            "Host": target.netloc.decode("ascii"),
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # a compressed body could unpack to any size
            "User-Agent": "extauthz",
        }
        request = client.build_request(
            "GET",
            target.copy_with(host=address),
            headers=headers,
            extensions={
                "sni_hostname": target.raw_host.decode("ascii"),
                "timeout": httpx.Timeout(self._remote.timeout_s).as_dict(),
            },
        )
        response = await client.send(request, stream=True)
        try:
            if response.has_redirect_location:
                if not self._remote.allow_redirects:
                    raise FetchFailed(FetchResult.REDIRECT_REFUSED, f"status {response.status_code}")
                return str(target.join(response.headers["location"]))
            if response.status_code != 200:
                raise FetchFailed(FetchResult.BAD_STATUS, f"status {response.status_code}")
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise FetchFailed(FetchResult.MALFORMED, "the body is compressed though we asked for it plain")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > self._remote.max_bytes:
                    raise FetchFailed(FetchResult.TOO_LARGE, f"more than {self._remote.max_bytes} bytes")
            return Fetched(bytes(body), response.headers)
        finally:
            await response.aclose()


Resolve = Callable[[str, int], Awaitable[list[str]]]


async def _resolve(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _connect_failure(error: httpx.ConnectError) -> FetchFailed:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return FetchFailed(FetchResult.TLS_FAILED, "the certificate or the handshake is not acceptable")
        cause = cause.__cause__ or cause.__context__
    return FetchFailed(FetchResult.UNREACHABLE, "cannot connect")


def may_connect(address: str, allow_private: bool) -> bool:
    """Whether keys may be fetched from an address (text).

    Public addresses always; private and loopback ones only where the configuration says so; link-local ones never:
    that is where clouds keep their metadata services.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour
        if parsed in _NAT64:
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFF_FFFF)
        if inner is not None:
            parsed = inner
    if parsed.is_link_local or parsed.is_multicast or parsed.is_unspecified:
        return False
    return parsed.is_global or (allow_private and (parsed.is_loopback or not parsed.is_reserved))
