"""What the doctor examines, cut out of the user's file: whoever asks us, the listeners in front, the cluster behind.

Every platform's way to write "ask this service" is translated into Envoy's own ExtAuthz fields, so that one rule
covers Envoy, Istio and Envoy Gateway; the path in the user's file stays with each field.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Path = tuple[str | int, ...]
"""Keys and list positions from the top of the file; with several documents the first part names the document."""
Json = Mapping[str, Any]
Port = int | str
"""Where a process listens: a port, or the path of a Unix socket."""


class Platform(StrEnum):
    """In whose words the file is written."""

    ENVOY = "Envoy"
    ISTIO = "Istio"
    ENVOY_GATEWAY = "Envoy Gateway"


@dataclass(frozen=True, slots=True)
class Mark:
    """A place that should say by which network its calls come."""

    path: Path
    network: str | None


@dataclass(frozen=True, slots=True)
class Asking:
    """One client of ours: an ext_authz filter, an Istio provider, a SecurityPolicy."""

    platform: Platform
    path: Path
    settings: Json
    """In the shape of Envoy's ExtAuthz."""
    names: Mapping[str, Path] = field(default_factory=dict)
    """Where a field of ``settings`` stands below ``path``, when the platform has another word for it."""
    marks: tuple[Mark, ...] = ()
    listener_port: int = 0
    """The port on which Envoy takes the calls, 0 when unknown."""
    service_ports: tuple[Port, ...] = ()
    """The ports at which we are asked, empty when unknown."""
    clusters: tuple[str, ...] = ()

    def at(self, *fields: str) -> Path:
        """Where a field stands, or should stand, in the user's file."""
        return self.path + self.names.get(".".join(fields), fields)

    def get(self, *fields: str) -> Any:
        """A field of ``settings``, or None."""
        return dig(self.settings, *fields)


@dataclass(frozen=True, slots=True)
class HttpFilter:
    """One filter of a listener's chain."""

    path: Path
    type: str
    """The last part of its ``@type``: ``ExtAuthz``, ``Router``, ``Lua``."""
    config: Json


@dataclass(frozen=True, slots=True)
class Route:
    """One route, with what it says to ext_authz."""

    path: Path
    config: Json
    disabled: bool
    """Whether ext_authz is switched off here, by the route itself or by what is around it."""
    check: Json
    """``check_settings`` of route configuration, virtual host and route, merged as Envoy does."""
    disabled_at: Path = ()


@dataclass(frozen=True, slots=True)
class VirtualHost:
    """One virtual host."""

    path: Path
    domains: tuple[str, ...]
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class Manager:
    """One HttpConnectionManager."""

    path: Path
    config: Json
    filters: tuple[HttpFilter, ...]
    routes_path: Path
    hosts: tuple[VirtualHost, ...]

    def routes(self) -> Iterator[Route]:
        """Every route of every virtual host."""
        for host in self.hosts:
            yield from host.routes

    def position(self, type_name: str) -> int | None:
        """Where in the chain the first filter of a type stands."""
        return next((index for index, one in enumerate(self.filters) if one.type == type_name), None)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster through which we are asked."""

    path: Path
    config: Json
    endpoints: tuple[tuple[str, Port], ...]
    """Host and port of each; no host for Unix sockets."""
    dynamic: bool
    """Whether endpoints come from EDS or DNS, so that the file does not tell how many there are."""


@dataclass(frozen=True, slots=True)
class Policy:
    """An Istio AuthorizationPolicy with action CUSTOM."""

    path: Path
    provider: str
    rules: Any


@dataclass(slots=True)
class Material:
    """Everything in one file that a rule may look at."""

    askings: list[Asking] = field(default_factory=list)
    managers: list[Manager] = field(default_factory=list)
    clusters: list[Cluster] = field(default_factory=list)
    missing_clusters: list[Path] = field(default_factory=list)
    elsewhere: list[Path] = field(default_factory=list)
    """Listeners or routes that Envoy fetches from a control plane: they cannot be seen here."""
    policies: list[Policy] = field(default_factory=list)
    providers: dict[str, Asking] = field(default_factory=dict)
    """Istio's extensionProviders by name."""
    client_policies: list[tuple[Path, Json]] = field(default_factory=list)
    """Envoy Gateway's ClientTrafficPolicies."""

    def __bool__(self) -> bool:
        return bool(self.askings or self.managers or self.policies or self.elsewhere)


def dig(node: Any, *keys: str | int) -> Any:
    """Follow keys and positions; None where the way ends."""
    for key in keys:
        if isinstance(key, int):
            if not isinstance(node, list) or key >= len(node):
                return None
            node = node[key]
        else:
            if not isinstance(node, Mapping):
                return None
            node = node.get(key)
    return node


def mappings(node: Any) -> Iterator[tuple[int, Json]]:
    """The mappings of a list, each with its position; nothing where there is no list."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            if isinstance(item, Mapping):
                yield index, item


def merged(base: Json, over: Json) -> dict[str, Any]:
    """Two mappings as one, the second winning key by key, at every depth."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result
