"""Rules for routes and networks: where Envoy does not ask at all, and where it does not say by which network."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from extauthz.doctor.finding import Rule, Severity, Spot, rule
from extauthz.doctor.material import Asking, Json, Material, Platform
from extauthz.doctor.service import ServiceFacts, networks

REDACTED: Final = "[redacted]"
"""What a config dump shows instead of values in context_extensions: that there is one, not which."""


@rule(
    "route-unchecked",
    Severity.WARNING,
    why="ext_authz is switched off here: requests pass without a check.",
    instead="remove `disabled: true` and let the service open the API (auth: none), or keep the route to an exact "
    "path that shows nothing",
)
def route_unchecked(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    seen = {route.disabled_at for manager in material.managers for route in manager.routes() if route.disabled}
    for path in sorted(seen, key=str):
        yield Spot(path)


@rule(
    "route-unbuffered",
    Severity.WARNING,
    why="On this route the body is not buffered, so signed requests with a body are refused here; and where the "
    "route matches by something that clients choose, such as the content type, they choose to hide the body.",
    instead="remove disable_request_body_buffering, or keep the route to an exact path of a streaming API",
)
def route_unbuffered(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for manager in material.managers:
        for route in manager.routes():
            if service.has_digest and not route.disabled and route.check.get("disable_request_body_buffering"):
                yield Spot(route.path)


@rule(
    "no-catch-all",
    Severity.ERROR,
    why="Where no route matches, Envoy does not ask. If a later filter changes the path, the request may match after "
    "all and pass unchecked.",
    instead='a last route `match: { prefix: / }` in every virtual host, and a virtual host for domains: [ "*" ]',
)
def no_catch_all(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for manager in material.managers:
        if not manager.hosts or manager.position("ExtAuthz") is None:
            continue
        for host in manager.hosts:
            if not any(_matches_all(route.config) for route in host.routes):
                yield Spot((*host.path, "routes"))
        if not any("*" in host.domains for host in manager.hosts):
            yield Spot((*manager.routes_path, "virtual_hosts"), "no virtual host takes every domain")


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
        for mark in asking.marks:
            if mark.network is None:
                yield Spot(mark.path)
        if asking.platform is Platform.ISTIO and service.bound_ports:
            yield Spot((*asking.path, "port"), f"port {asking.service_ports[0] if asking.service_ports else '?'}")


@rule(
    "network-port-shared",
    Severity.WARNING,
    why="Istio cannot send a network marker, so the port at which the service is asked tells the network. Two "
    "providers with one port cannot be told apart: all their calls count as one network.",
    instead="one provider and one port of the service per network",
)
def network_port_shared(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    istio = [asking for asking in material.askings if asking.platform is Platform.ISTIO]
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


@rule(
    "policy-leaves-gaps",
    Severity.ERROR,
    why="Istio asks only where a rule matches. Everything else passes unchecked, and a list of paths is a list of "
    "ways around: the paths are compared before anybody refuses ambiguous spellings.",
    instead="rules: [ {} ]",
)
def policy_leaves_gaps(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for policy in material.policies:
        rules = policy.rules
        if not isinstance(rules, list) or not any(entry in ({}, None) for entry in rules):
            yield Spot((*policy.path, "rules"))


@rule(
    "provider-unknown",
    Severity.ERROR,
    why="Istio refuses every request of a workload whose provider it does not know.",
    instead="the name of one of extensionProviders",
)
def provider_unknown(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for policy in material.policies:
        if material.providers and policy.provider not in material.providers:
            yield Spot((*policy.path, "provider", "name"), policy.provider)


def _matches_all(route: Json) -> bool:
    match = route.get("match")
    return isinstance(match, Mapping) and match.get("prefix") == "/" and match.keys() <= {"prefix", "case_sensitive"}


def _is_bound(asking: Asking, service: ServiceFacts) -> bool:
    """Whether the service's configuration says the network: by the port that is asked, or by Envoy's port."""
    ports = asking.service_ports
    return (bool(ports) and set(ports) <= service.bound_ports) or asking.listener_port in service.port_networks


RULES: Final[tuple[Rule, ...]] = (
    route_unchecked,
    route_unbuffered,
    no_catch_all,
    network_unmarked,
    network_port_shared,
    network_unknown,
    not_in_this_file,
    policy_leaves_gaps,
    provider_unknown,
)
