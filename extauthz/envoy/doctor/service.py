"""What the doctor may know about the service that Envoy asks, from its configuration file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from extauthz.config.place import Place
from extauthz.config.schema import ConfigFile
from extauthz.config.sections.auth import AnyOf, Auth
from extauthz.config.sections.limits import Limits
from extauthz.config.sections.plugins.claims import told_claims
from extauthz.config.sections.plugins.jwt import JwtEntry
from extauthz.domain.address import Address
from extauthz.domain.api import AuthMethod
from extauthz.domain.request import Network
from extauthz.domain.settings import IDENTITY_HEADERS, IdentityFact

_IDENTITY: Final = frozenset(IdentityFact) - {IdentityFact.REQUEST_ID}


def _of_identity(headers: Mapping[str, IdentityFact]) -> frozenset[str]:
    return frozenset(name.lower() for name, fact in headers.items() if fact in _IDENTITY)


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """Facts about the service. The defaults stand for a service whose configuration was not shown."""

    has_digest: bool = True
    """Whether any API accepts signed requests: those need the body. Unknown counts as yes."""
    identity_headers: frozenset[str] = _of_identity(IDENTITY_HEADERS)
    """Lower-case names of the headers by which upstreams know the caller."""
    bound_ports: frozenset[int | str] = frozenset()
    """Ports, or paths of Unix sockets, at which every worker is bound to a network by the configuration."""
    listeners: tuple[tuple[int | str, ...], ...] = ()
    """For each listener the port, or path, of each worker; none when unknown."""
    port_networks: frozenset[int] = frozenset()
    """Ports of Envoy's listeners that the configuration maps to a network."""
    workers: int = 1
    """Processes that answer checks: each should be an endpoint of its own."""
    max_message_bytes: int = Limits().message_mebibytes << 20
    """The largest CheckRequest that the service takes."""


def facts_from(file: ConfigFile, workers: int) -> ServiceFacts:
    """What a configuration file tells. ``workers`` is the number of processes that answer checks."""
    claims = {
        told.header.lower()
        for plugin in file.plugins
        if isinstance(plugin, JwtEntry)
        for told in told_claims(plugin.claim_headers)
    }
    stated = [group.auth for group in file.groups] + [api.auth for api in file.apis]
    policies = [auth for by_network in stated for auth in (by_network or {}).values()]
    listeners = tuple(
        tuple(_socket(Address.parse(Place(index, workers).address(listen.address))) for index in range(workers))
        for listen in file.listen
    )
    return ServiceFacts(
        has_digest=any(AuthMethod.DIGEST in _methods(auth) for auth in policies),
        identity_headers=_of_identity(file.identity_headers) | claims,
        bound_ports=frozenset(
            port
            for listen, ports in zip(file.listen, listeners, strict=True)
            if listen.network is not None
            for port in ports
        ),
        listeners=listeners,
        port_networks=frozenset(file.port_networks),
        workers=workers,
        max_message_bytes=file.limits.message_mebibytes << 20,
    )


def networks() -> frozenset[str]:
    """The words that a listener may be marked with."""
    return frozenset(network.value for network in Network)


def _methods(auth: Auth) -> Iterator[AuthMethod]:
    if isinstance(auth, AuthMethod):
        yield auth
        return
    for part in auth.any_of if isinstance(auth, AnyOf) else auth.all_of:
        yield from _methods(part)


def _socket(address: Address) -> int | str:
    return address.path or address.port
