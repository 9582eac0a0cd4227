"""Rules for what stands beside the filter: other filters, before it and behind it, and upgrades."""

from collections.abc import Iterator
from typing import Final

from extauthz.envoy.doctor.file import snake_case
from extauthz.envoy.doctor.finding import Rule, Severity, Spot, rule
from extauthz.envoy.doctor.material import HttpFilter, Leaf, Manager, Material, Platform
from extauthz.envoy.doctor.reading.leaves import matches_all
from extauthz.envoy.doctor.rules import gateway
from extauthz.envoy.doctor.rules.listener import asking_managers
from extauthz.envoy.doctor.service import ServiceFacts
from extauthz.envoy.doctor.tree import Json, dig, is_false, items, mappings

_ROUTE_CHANGERS: Final = frozenset(
    {"Lua", "Wasm", "ExternalProcessor", "DynamicModuleFilter", "GrpcJsonTranscoder", "HeaderToMetadata",
     "JsonToMetadata", "PayloadToMetadata", "ProtoMessageExtractionConfig", "Config"}
)  # fmt: skip
"""Filters that may change headers or path and have Envoy pick the route anew. ``Config`` is golang's."""
_CLEARING: Final = frozenset({"JwtAuthentication", "HeaderMutation", "SetMetadata"})
"""Filters that do so only when told with ``clear_route_cache``."""


@rule(
    "route-changed-afterwards",
    Severity.WARNING,
    why="This filter stands behind ext_authz and may have Envoy pick another route than the one that was decided "
    "on, or a route where before there was none and ext_authz was not asked.",
    instead="filters that change headers, path or route before ext_authz",
    cures={
        Platform.ISTIO: "INSERT_BEFORE envoy.filters.http.ext_authz, or INSERT_FIRST",
        Platform.ENVOY_GATEWAY: "filterOrder in the EnvoyProxy: this filter before envoy.filters.http.ext_authz",
    },
)
def route_changed_afterwards(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for manager in material.managers:
        for one in changers(manager):
            yield Spot(one.path, one.type, manager.platform)
    if any(asking.platform is Platform.ENVOY_GATEWAY for asking in material.askings):
        for path, resource in material.kind("EnvoyExtensionPolicy"):
            kinds = sorted({"lua", "wasm", "extProc", "dynamicModule"} & dict(items(resource.get("spec"))).keys())
            if kinds:
                yield Spot((*path, "spec", kinds[0]), ", ".join(kinds), Platform.ENVOY_GATEWAY)
    for path, patch in material.patches:
        kind = str(dig(snake_case(dig(patch, "patch", "value")), "typed_config", "@type")).rpartition(".")[2]
        if patch.get("applyTo") == "HTTP_FILTER" and kind in _ROUTE_CHANGERS and _is_put_behind(patch):
            yield Spot((*path, "patch", "value"), kind, Platform.ISTIO)


def _is_put_behind(patch: Json) -> bool:
    """Whether an EnvoyFilter puts its filter behind ext_authz, as before the router is, too."""
    operation = dig(patch, "patch", "operation")
    beside = str(dig(patch, "match", "listener", "filterChain", "filter", "subFilter", "name"))
    return (operation == "INSERT_AFTER" and "ext_authz" in beside) or (
        operation == "INSERT_BEFORE" and "router" in beside
    )


def changers(manager: Manager) -> Iterator[HttpFilter]:
    """Filters behind ext_authz that may have Envoy pick the route anew."""
    ours = manager.position("ExtAuthz")
    for one in manager.filters[ours + 1 :] if ours is not None else ():
        if one.type in _ROUTE_CHANGERS or (one.type in _CLEARING and one.config.get("clear_route_cache")):
            yield one


@rule(
    "upgrades-on",
    Severity.WARNING,
    generated=Severity.NOTE,
    why="ext_authz never buffers the body of an upgraded request. With upgrades on for every route, a client hides "
    "its body from the service by adding an Upgrade header.",
    instead="upgrade_configs: [ { upgrade_type: websocket, enabled: false } ] here, and enabled: true only on the "
    "routes that need it",
    cures={
        Platform.ISTIO: "an EnvoyFilter for HTTP_ROUTE that merges route: { upgrade_configs: [ { upgrade_type: "
        "websocket, enabled: false } ] }, as in envoy/istio.yaml",
        Platform.ENVOY_GATEWAY: "a BackendTrafficPolicy for the Gateway with requestBuffer, as in "
        "envoy/envoy-gateway.yaml",
    },
)
def upgrades_on(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for manager in asking_managers(material):
        leaves = [leaf for leaf in manager.leaves() if leaf.forwards and "route" in leaf.route]
        for index, upgrade in mappings(manager.config.get("upgrade_configs")):
            name = str(upgrade.get("upgrade_type", ""))
            everywhere = not is_false(upgrade.get("enabled"))
            if everywhere and (not leaves or any(_upgrade(leaf, name) is not False for leaf in leaves)):
                yield Spot((*manager.path, "upgrade_configs", index), name, manager.platform)
        for leaf in leaves:
            for index, upgrade in mappings(dig(leaf.route, "route", "upgrade_configs")):
                if not is_false(upgrade.get("enabled")) and matches_all(leaf.route):
                    place = (*leaf.route_path, "route", "upgrade_configs", index)
                    yield Spot(place, str(upgrade.get("upgrade_type", "")), manager.platform)
    yield from gateway.upgrades(material)
    asking = next((one for one in material.askings if one.platform is Platform.ISTIO and not one.in_chain), None)
    if asking is not None and not any(_is_off_on_routes(patch) for _, patch in material.patches):
        yield Spot(asking.path, "Istio has websockets on by default", Platform.ISTIO, Severity.WARNING)


def _is_off_on_routes(patch: Json) -> bool:
    """Whether an EnvoyFilter switches websockets off on every route."""
    route = snake_case(dig(patch, "patch", "value", "route"))
    return patch.get("applyTo") == "HTTP_ROUTE" and any(
        str(one.get("upgrade_type")).lower() == "websocket" and is_false(one.get("enabled"))
        for _, one in mappings(dig(route, "upgrade_configs"))
    )


def _upgrade(leaf: Leaf, name: str) -> bool | None:
    """Whether a route switches an upgrade on or off; None where it says nothing."""
    for _, upgrade in mappings(dig(leaf.route, "route", "upgrade_configs")):
        if str(upgrade.get("upgrade_type", "")).lower() == name.lower():
            return not is_false(upgrade.get("enabled"))
    return None


@rule(
    "preflight-refused",
    Severity.WARNING,
    generated=Severity.NOTE,
    why="The cors filter stands behind ext_authz: preflights, which browsers send without credentials, are refused, "
    "and pages cannot read why a call was.",
    instead="envoy.filters.http.cors before ext_authz",
    cures={
        Platform.ISTIO: "Istio's order is fixed: open OPTIONS of these APIs in the service (auth: none), or answer "
        "preflights before the gateway",
    },
)
def preflight_refused(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for manager in asking_managers(material):
        ours, cors = manager.position("ExtAuthz"), manager.position("Cors")
        if ours is None or cors is None or cors < ours:
            continue
        name = manager.filters[cors].name
        if manager.platform is not Platform.ISTIO or any(
            dig(level, "typed_per_filter_config", name) for leaf in manager.leaves() for _, level in leaf.levels
        ):
            yield Spot(manager.filters[cors].path, platform=manager.platform)


@rule(
    "grpc-web-first",
    Severity.WARNING,
    why="The grpc_web filter stands before ext_authz and rewrites Content-Type, which is part of every signature: no "
    "signed call of a gRPC-Web client passes.",
    instead="envoy.filters.http.grpc_web behind ext_authz",
)
def grpc_web_first(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for manager in asking_managers(material):
        ours, grpc_web = manager.position("ExtAuthz"), manager.position("GrpcWeb")
        if service.has_digest and ours is not None and grpc_web is not None and grpc_web < ours:
            yield Spot(manager.filters[grpc_web].path, platform=manager.platform)


RULES: Final[tuple[Rule, ...]] = (route_changed_afterwards, upgrades_on, preflight_refused, grpc_web_first)
