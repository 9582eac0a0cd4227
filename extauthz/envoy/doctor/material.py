"""What the doctor examines, cut out of the user's file: whoever asks us, the listeners in front, the cluster behind.

Every platform's way to write "ask this service" is translated into Envoy's own ExtAuthz fields, so that one rule
covers Envoy, Istio and Envoy Gateway; the path in the user's file stays with each field.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from extauthz.envoy.doctor.tree import Json, Path, dig

Port = int | str
"""Where a process listens: a port, or the path of a Unix socket."""

EXT_AUTHZ: Final = "envoy.filters.http.ext_authz"


class Platform(StrEnum):
    """In whose words the file is written, or who generated it."""

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
    in_chain: bool = False
    """Whether it is a filter of Envoy's own configuration, whose routes are examined with it."""

    def at(self, *fields: str) -> Path:
        """Where a field stands, or should stand, in the user's file."""
        return self.path + self.names.get(".".join(fields), fields)

    def get(self, *fields: str) -> Any:
        """A field of ``settings``, or None."""
        return dig(self.settings, *fields)


class Verdict(StrEnum):
    """Whether Envoy asks an ext_authz service before a request takes a leaf."""

    ASKED = "asked"
    OFF = "off"
    """ext_authz is switched off here, or not switched on."""
    SOMETIMES = "sometimes"
    """A condition of the filter decides, and may say no."""
    ABSENT = "absent"
    """There is no ext_authz filter that could ask."""
    UNSEEN = "unseen"
    """What decides comes from a control plane and is not in this file."""
    UNKNOWN = "unknown"
    """The file says something that the doctor does not understand."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Are we asked here? And which part of the file says so."""

    verdict: Verdict
    path: Path = ()
    detail: str = ""
    deliberate: bool = False
    """Whether somebody wrote at this very route that it goes unasked."""


@dataclass(frozen=True, slots=True)
class HttpFilter:
    """One filter of a listener's chain."""

    path: Path
    name: str
    type: str
    """The last part of its ``@type``: ``ExtAuthz``, ``Router``, ``Lua``."""
    config: Json
    disabled: bool = False
    """Whether it is off unless a route switches it on."""
    condition: Answer | None = None
    """What may skip it on every route, found in the chain: a matcher, an unseen configuration."""
    delegated: bool = False
    """Whether it stands inside an ExtensionWithMatcher, whose tree routes may replace."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """Where a request can end up: a route, one of its weighted clusters, an action of a matcher tree."""

    path: Path
    route: Json
    """The route that it is, or belongs to."""
    route_path: Path
    levels: tuple[tuple[Path, Json], ...]
    """What may say something to the filters, most general first: route configuration, host, route, weighted cluster."""
    answer: Answer
    check: Json
    """The ``check_settings`` that hold here, merged as Envoy does."""

    @property
    def asked(self) -> bool:
        """Whether we are asked before a request takes this way."""
        return self.answer.verdict is Verdict.ASKED

    @property
    def forwards(self) -> bool:
        """Whether a request reaches an upstream here, or may: redirects and direct answers do not."""
        return not ({"redirect", "direct_response", "non_forwarding_action"} & self.route.keys())


@dataclass(frozen=True, slots=True)
class VirtualHost:
    """One virtual host."""

    path: Path
    config: Json
    domains: tuple[str, ...]
    leaves: tuple[Leaf, ...]
    takes_all: bool
    """Whether every request of its domains finds a route."""


@dataclass(frozen=True, slots=True)
class RouteTable:
    """One route configuration, as one connection manager uses it."""

    path: Path
    config: Json
    hosts: tuple[VirtualHost, ...]


@dataclass(frozen=True, slots=True)
class Manager:
    """One HttpConnectionManager."""

    path: Path
    config: Json
    filters: tuple[HttpFilter, ...]
    tables: tuple[RouteTable, ...]
    nothing_said: Answer
    """Whether we are asked on a route that says nothing about it."""
    platform: Platform = Platform.ENVOY
    listener_path: Path = ()
    listener: Json = field(default_factory=dict)

    def leaves(self) -> Iterator[Leaf]:
        """Every leaf of every virtual host."""
        for table in self.tables:
            for host in table.hosts:
                yield from host.leaves

    def position(self, type_name: str) -> int | None:
        """Where in the chain the first filter of a type stands."""
        return next((index for index, one in enumerate(self.filters) if one.type == type_name), None)

    @property
    def asks(self) -> bool:
        """Whether an ext_authz filter stands in its chain, or may."""
        return self.position("ExtAuthz") is not None


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster through which we are asked."""

    path: Path
    config: Json
    endpoints: tuple[tuple[str, Port], ...]
    """Host and port of each; no host for Unix sockets."""
    dynamic: bool
    """Whether endpoints come from EDS or DNS, so that the file does not tell how many there are."""
    platform: Platform = Platform.ENVOY


@dataclass(slots=True)
class Material:
    """Everything in one file that a rule may look at."""

    askings: list[Asking] = field(default_factory=list)
    managers: list[Manager] = field(default_factory=list)
    clusters: list[Cluster] = field(default_factory=list)
    missing_clusters: list[Path] = field(default_factory=list)
    elsewhere: list[Path] = field(default_factory=list)
    """Listeners or routes that Envoy fetches from a control plane: they cannot be seen here."""
    bypasses: list[tuple[Path, str]] = field(default_factory=list)
    """Filter chains without HTTP beside such as ask us."""
    providers: dict[str, Asking] = field(default_factory=dict)
    """Istio's extensionProviders by name."""
    resources: list[tuple[Path, Json]] = field(default_factory=list)
    """Kubernetes resources, each with its place."""
    patched_managers: dict[Platform, dict[str, Any]] = field(default_factory=dict)
    """What patches in the file lay over every HttpConnectionManager."""
    patches: list[tuple[Path, Json]] = field(default_factory=list)
    """Every single patch of an EnvoyFilter or EnvoyPatchPolicy."""

    def __bool__(self) -> bool:
        return bool(self.askings or self.managers or self.elsewhere or self.patches or self.custom_policies())

    def kind(self, *kinds: str, group: str = "") -> Iterator[tuple[Path, Json]]:
        """The resources of some kinds; ``group`` is how their apiVersion begins."""
        for path, resource in self.resources:
            if resource.get("kind") in kinds and str(resource.get("apiVersion") or group).startswith(group):
                yield path, resource

    def custom_policies(self) -> list[tuple[Path, Json]]:
        """Istio's AuthorizationPolicies with action CUSTOM."""
        return [one for one in self.kind("AuthorizationPolicy") if dig(one[1], "spec", "action") == "CUSTOM"]
