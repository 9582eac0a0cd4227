"""Rules for routes and networks: where Envoy does not ask at all, and where it does not say by which network."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from extauthz.domain.context_keys import STAGE_KEY
from extauthz.domain.header_names import X_CA_STAGE
from extauthz.envoy.doctor.finding import Rule, Severity, Spot, rule
from extauthz.envoy.doctor.material import Asking, Manager, Material, Platform, VirtualHost
from extauthz.envoy.doctor.rules.neighbours import changers
from extauthz.envoy.doctor.service import ServiceFacts, networks
from extauthz.envoy.doctor.tree import Json, Path, dig, mappings

REDACTED: Final = "[redacted]"
"""What a config dump shows instead of values in context_extensions: that there is one, not which."""


@rule(
    "no-catch-all",
    Severity.NOTE,
    why="Where no route matches, Envoy does not ask. If a later filter changes the path, the request may match after "
    "all and pass unchecked: as long as no such filter stands behind ext_authz, it ends with 404.",
    instead='a last route `match: { prefix: / }` in every virtual host, and a virtual host for domains: [ "*" ]',
    cures={
        Platform.ISTIO: "nothing, as long as no EnvoyFilter adds a filter behind ext_authz that changes routes",
        Platform.ENVOY_GATEWAY: "nothing, as long as no EnvoyExtensionPolicy changes paths behind ext_authz",
    },
)
def no_catch_all(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for manager in material.managers:
        if not manager.asks:
            continue
        severity = Severity.ERROR if any(changers(manager)) else None
        for table in manager.tables:
            for host in table.hosts:
                if not host.takes_all:
                    yield Spot((*host.path, "routes"), "", manager.platform, severity)
            if table.hosts and not any("*" in host.domains for host in table.hosts):
                detail = "no virtual host takes every domain"
                yield Spot((*table.path, "virtual_hosts"), detail, manager.platform, severity)


@rule(
    "stage-by-header",
    Severity.ERROR,
    why="Envoy compares x-ca-stage letter by letter, the service does not: a call with `test` is decided in stage "
    "TEST, and takes the route of RELEASE. What an app may do in one stage it does in another.",
    instead="context_extensions: { extauthz.stage: TEST } on that route and { extauthz.stage: RELEASE } on those "
    "beside it (check_settings of ExtAuthzPerRoute; Envoy Gateway: contextExtensions), or ignore_case: true",
    cures={
        Platform.ISTIO: "a domain for each stage (domains: [ { name: ..., stage: TEST } ] in the service), not routes "
        "by x-ca-stage: Istio cannot tell the service which one was taken",
    },
)
def stage_by_header(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for manager in material.managers:
        if not manager.asks:
            continue
        everywhere = X_CA_STAGE in str(dig(manager.config, "scoped_routes", "scope_key_builder")).lower()
        for table in manager.tables:
            for host in table.hosts:
                if everywhere or _routes_by_stage(host):
                    yield from _unpinned(host, manager)
    for path, resource in material.kind("VirtualService", "HTTPRoute", "GRPCRoute"):
        yield from _resource_by_stage(path, resource, material)


def _routes_by_stage(host: VirtualHost) -> bool:
    """Whether a host tells routes apart by the header, in a way that the service does not."""
    if X_CA_STAGE in str(dig(host.config, "matcher")).lower():
        return True
    for leaf in host.leaves:
        if str(dig(leaf.route, "route", "cluster_header")).lower() == X_CA_STAGE:
            return True
        for _, header in mappings(dig(leaf.route, "match", "headers")):
            exact = dig(header, "string_match", "exact")
            alike = exact is not None and dig(header, "string_match", "ignore_case") is True
            if str(header.get("name")).lower() == X_CA_STAGE and not alike:
                return True
    return False


def _unpinned(host: VirtualHost, manager: Manager) -> Iterator[Spot]:
    for leaf in host.leaves:
        if leaf.asked and leaf.forwards and dig(leaf.check, "context_extensions", STAGE_KEY) is None:
            yield Spot(leaf.path, f"no {STAGE_KEY}", manager.platform)


def _resource_by_stage(path: Path, resource: Json, material: Material) -> Iterator[Spot]:
    istio = resource.get("kind") == "VirtualService"
    for index, rule_ in mappings(dig(resource, "spec", "http" if istio else "rules")):
        field = "match" if istio else "matches"
        for number, match in mappings(rule_.get(field)):
            headers = match.get("headers")
            names = list(headers) if isinstance(headers, Mapping) else [one.get("name") for _, one in mappings(headers)]
            if any(str(name).lower() == X_CA_STAGE for name in names) and not _stage_is_pinned(resource, material):
                place = (*path, "spec", "http" if istio else "rules", index, field, number, "headers")
                asked_by_istio = any(asking.platform is Platform.ISTIO for asking in material.askings)
                yield Spot(place, "", Platform.ISTIO if istio or asked_by_istio else Platform.ENVOY_GATEWAY)


def _stage_is_pinned(resource: Json, material: Material) -> bool:
    """Whether a SecurityPolicy of this very route names the stage."""
    name = dig(resource, "metadata", "name")
    for _, policy in material.kind("SecurityPolicy"):
        targets = [target.get("name") for _, target in mappings(dig(policy, "spec", "targetRefs"))]
        said = [one.get("name") for _, one in mappings(dig(policy, "spec", "extAuth", "contextExtensions"))]
        if name in targets and STAGE_KEY in said:
            return True
    return False


@rule(
    "network-unmarked",
    Severity.WARNING,
    why="Nothing says by which network these calls come, so they count as internet, the stricter view: APIs that "
    "only the VPC may call are refused.",
    instead="context_extensions: { extauthz.network: internet } or vpc, on the virtual host; or one port of the "
    "service per network (listen: [{ address: ..., network: vpc }], shown with `--config`), as Istio needs it",
)
def network_unmarked(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for asking in material.askings:
        if _is_bound(asking, service):
            continue
        if asking.platform is Platform.ISTIO:  # it has no context_extensions: the port of the service tells
            if service.bound_ports:
                port = f"port {asking.service_ports[0] if asking.service_ports else '?'}"
                yield Spot((*asking.path, "port"), port, Platform.ISTIO)
            continue
        for mark in asking.marks:
            if mark.network is None:
                yield Spot(mark.path, platform=asking.platform)


@rule(
    "network-port-shared",
    Severity.WARNING,
    why="Istio cannot send a network marker, so the port at which the service is asked tells the network. Two "
    "providers with one port cannot be told apart: all their calls count as one network.",
    instead="one provider and one port of the service per network",
)
def network_port_shared(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    istio = [asking for asking in material.askings if asking.platform is Platform.ISTIO and not asking.in_chain]
    uses = Counter((asking.clusters, asking.service_ports) for asking in istio)
    for asking in istio:
        if uses[(asking.clusters, asking.service_ports)] > 1:
            yield Spot((*asking.path, "port"))


@rule(
    "network-unknown",
    Severity.ERROR,
    why="The service knows two networks, internet and vpc. Another word counts as internet.",
    instead="extauthz.network: internet, or vpc",
)
def network_unknown(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for asking in material.askings:
        for mark in asking.marks:
            if mark.network is not None and mark.network not in networks() | {REDACTED}:
                yield Spot(mark.path, str(mark.network))


@rule(
    "not-in-this-file",
    Severity.WARNING,
    why="Envoy fetches these from a control plane: the doctor cannot see them, and says nothing about them.",
    instead="run the doctor on the file from which the control plane makes them, too",
)
def not_in_this_file(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for path in (*material.elsewhere, *material.missing_clusters):
        yield Spot(path)
    for path, _ in () if material.providers else material.custom_policies():
        yield Spot((*path, "spec", "provider", "name"), "no extensionProviders here", Platform.ISTIO)


def _is_bound(asking: Asking, service: ServiceFacts) -> bool:
    """Whether the service's configuration says the network: by the port that is asked, or by Envoy's port."""
    ports = asking.service_ports
    return (bool(ports) and set(ports) <= service.bound_ports) or asking.listener_port in service.port_networks


RULES: Final[tuple[Rule, ...]] = (
    no_catch_all,
    stage_by_header,
    network_unmarked,
    network_port_shared,
    network_unknown,
    not_in_this_file,
)
