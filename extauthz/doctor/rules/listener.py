"""Rules for the listener in front of the filter: what it lets clients forge, hide or lose."""

from collections.abc import Iterator
from typing import Final

from extauthz.doctor.file import snake_case
from extauthz.doctor.finding import Rule, Severity, Spot, rule
from extauthz.doctor.material import (
    HttpFilter,
    Json,
    Leaf,
    Manager,
    Material,
    Platform,
    Verdict,
    dig,
    is_false,
    mappings,
)
from extauthz.doctor.reading.leaves import matches_all
from extauthz.doctor.rules import gateway
from extauthz.doctor.service import ServiceFacts

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
)
def route_changed_afterwards(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for manager in material.managers:
        for one in changers(manager):
            yield Spot(one.path, one.type, manager.platform)


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
    for manager in _asking_managers(material):
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
    for manager in _asking_managers(material):
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
    for manager in _asking_managers(material):
        ours, grpc_web = manager.position("ExtAuthz"), manager.position("GrpcWeb")
        if service.has_digest and ours is not None and grpc_web is not None and grpc_web < ours:
            yield Spot(manager.filters[grpc_web].path, platform=manager.platform)


@rule(
    "header-letter-case",
    Severity.NOTE,
    why="Envoy writes header names in lower case. That is what HTTP says they may be, but the vendor's clients for "
    "Java and PHP look for X-Ca-Error-Message and X-Ca-Request-Id letter by letter and find neither.",
    instead="http_protocol_options: { header_key_format: { proper_case_words: {} } }",
    cures={
        Platform.ISTIO: "an EnvoyFilter for NETWORK_FILTER that merges http_protocol_options: { header_key_format: { "
        "proper_case_words: {} } }, as in envoy/istio.yaml",
        Platform.ENVOY_GATEWAY: "an EnvoyPatchPolicy that adds /http_protocol_options to the HttpConnectionManager, as "
        "in envoy/envoy-gateway.yaml; http1.preserveHeaderCase of a ClientTrafficPolicy does not reach our answers",
    },
)
def header_letter_case(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    way = ("http_protocol_options", "header_key_format", "proper_case_words")
    for manager in _asking_managers(material):
        first = manager.config.get("codec_type") not in ("HTTP2", "HTTP3")
        if service.has_digest and first and dig(manager.config, *way) is None:
            yield Spot((*manager.path, "http_protocol_options", "header_key_format"), platform=manager.platform)
    yield from _unpatched(material, *way) if service.has_digest else ()


@rule(
    "internal-addresses",
    Severity.WARNING,
    generated=Severity.NOTE,
    why="Without ranges Envoy holds every private and loopback address to be internal, and believes the x-envoy-* "
    "headers that such a peer brings: timeouts, retries, the original path.",
    instead="internal_address_config: { unix_sockets: false, cidr_ranges: [ { address_prefix: 255.255.255.255, "
    "prefix_len: 32 } ] }: an address from which nobody calls, or those of your own proxies",
    cures={
        Platform.ISTIO: "an EnvoyFilter for NETWORK_FILTER that merges internal_address_config, as in envoy/istio.yaml",
        Platform.ENVOY_GATEWAY: "an EnvoyPatchPolicy that adds /internal_address_config to the HttpConnectionManager, "
        "as in envoy/envoy-gateway.yaml",
    },
)
def internal_addresses(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for manager in _asking_managers(material):
        if not dig(manager.config, "internal_address_config", "cidr_ranges"):
            yield Spot((*manager.path, "internal_address_config"), platform=manager.platform)
    yield from _unpatched(material, "internal_address_config", "cidr_ranges")


def _unpatched(material: Material, *way: str) -> Iterator[Spot]:
    """Istio and Envoy Gateway have no field for it: some patch in the file must say it."""
    for platform in (Platform.ISTIO, Platform.ENVOY_GATEWAY):
        asking = next((one for one in material.askings if one.platform is platform and not one.in_chain), None)
        if asking is not None and dig(material.patched_managers.get(platform), *way) is None:
            yield Spot(asking.path, "no patch here says it", platform)


@rule(
    "client-address-forgeable",
    Severity.WARNING,
    why="Without use_remote_address clients can forge x-envoy-external-address, x-forwarded-proto and more: IP "
    "control, scheme and logs believe them.",
    instead="use_remote_address: true, with xff_num_trusted_hops for the proxies in front of this one",
)
def client_address_forgeable(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for manager in _asking_managers(material):
        if manager.config.get("use_remote_address") not in (True, {"value": True}):
            yield Spot((*manager.path, "use_remote_address"), platform=manager.platform)


@rule(
    "underscores-refused",
    Severity.ERROR,
    why="The vendor's Java SDK sends the header ca_version. Envoy Gateway refuses headers with underscores unless "
    "told otherwise. The service removes every client's copy of an identity header in both spellings.",
    instead="headers_with_underscores_action: ALLOW (Envoy Gateway: a ClientTrafficPolicy with headers: "
    "{ withUnderscoresAction: Allow })",
)
def underscores_refused(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for manager in _asking_managers(material):
        action = dig(manager.config, "common_http_protocol_options", "headers_with_underscores_action")
        if action == "REJECT_REQUEST":
            yield Spot(
                (*manager.path, "common_http_protocol_options", "headers_with_underscores_action"),
                platform=manager.platform,
            )
    yield from _gateway_without(
        material, "no ClientTrafficPolicy here allows them", "headers", "withUnderscoresAction", ("Allow", "DropHeader")
    )


@rule(
    "path-normalized",
    Severity.WARNING,
    generated=Severity.NOTE,
    why="Envoy rewrites the path before the service sees it. Callers sign the path as they send it, and Java's URL "
    "encoder writes `~` as `%7E`: such signatures no longer match. It fails closed; the service itself refuses "
    "ambiguous paths.",
    instead="normalize_path: false and merge_slashes: false, unless other filters decide by path",
    cures={
        Platform.ISTIO: "meshConfig: { pathNormalization: { normalization: NONE } }, if no other policy of the mesh "
        "decides by path",
        Platform.ENVOY_GATEWAY: "nothing: Envoy Gateway always normalizes. disableMergeSlashes: true in a "
        "ClientTrafficPolicy keeps at least repeated slashes",
    },
)
def path_normalized(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for manager in _asking_managers(material):
        for field in ("normalize_path", "merge_slashes"):
            if service.has_digest and manager.config.get(field) in (True, {"value": True}):
                yield Spot((*manager.path, field), platform=manager.platform)


@rule(
    "escaped-slashes-pass",
    Severity.WARNING,
    why="%2F and %5C in a path are a slash to some upstreams and a character to others: the route that was decided "
    "on may not be what the upstream serves.",
    instead="path_with_escaped_slashes_action: REJECT_REQUEST (Envoy Gateway: a ClientTrafficPolicy with path: "
    "{ escapedSlashesAction: RejectRequest })",
)
def escaped_slashes_pass(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for manager in _asking_managers(material):
        if manager.config.get("path_with_escaped_slashes_action") != "REJECT_REQUEST":
            yield Spot((*manager.path, "path_with_escaped_slashes_action"), platform=manager.platform)
    yield from _gateway_without(
        material, "no ClientTrafficPolicy here refuses them", "path", "escapedSlashesAction", ("RejectRequest",)
    )


@rule(
    "identity-headers-pass",
    Severity.ERROR,
    why="Some routes switch ext_authz off, and there nobody removes the identity headers that a client brings: the "
    "upstream believes them.",
    instead="early_header_mutation_extensions with `remove:` for each identity header; they are taken off before "
    "routing, so the ones that the service sets stay",
)
def identity_headers_pass(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for manager in _asking_managers(material):
        if not any(leaf.answer.verdict is Verdict.OFF and leaf.forwards for leaf in manager.leaves()):
            continue
        missing = sorted(name for name in service.identity_headers if not _is_stripped(name, manager))
        if missing:
            place = (*manager.path, "early_header_mutation_extensions")
            yield Spot(place, ", ".join(missing), manager.platform)


def _asking_managers(material: Material) -> Iterator[Manager]:
    return (manager for manager in material.managers if manager.asks)


def _gateway_without(
    material: Material, detail: str, section: str, field: str, good: tuple[str, ...]
) -> Iterator[Spot]:
    """Envoy Gateway's listener settings stand in policies of their own; without one its defaults hold."""
    policies = [asking for asking in material.askings if asking.platform is Platform.ENVOY_GATEWAY]
    policies = [asking for asking in policies if not asking.in_chain]
    client_policies = [resource for _, resource in material.kind("ClientTrafficPolicy")]
    if policies and not any(dig(resource, "spec", section, field) in good for resource in client_policies):
        yield Spot(policies[0].path, detail, Platform.ENVOY_GATEWAY)


def _is_stripped(name: str, manager: Manager) -> bool:
    for _, extension in mappings(manager.config.get("early_header_mutation_extensions")):
        for _, mutation in mappings(dig(extension, "typed_config", "mutations")):
            if str(mutation.get("remove", "")).lower() == name:
                return True
            matcher = dig(mutation, "remove_on_match", "key_matcher")
            if dig(matcher, "exact") == name or name.startswith(str(dig(matcher, "prefix") or "\0")):
                return True
    return False


RULES: Final[tuple[Rule, ...]] = (
    route_changed_afterwards,
    upgrades_on,
    preflight_refused,
    grpc_web_first,
    client_address_forgeable,
    internal_addresses,
    underscores_refused,
    path_normalized,
    escaped_slashes_pass,
    header_letter_case,
    identity_headers_pass,
)
