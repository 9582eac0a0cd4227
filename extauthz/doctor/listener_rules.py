"""Rules for the listener in front of the filter: what it lets clients forge, hide or lose."""

from collections.abc import Iterator
from typing import Final

from extauthz.doctor.finding import Rule, Severity, Spot, rule
from extauthz.doctor.material import Manager, Material, Platform, dig, mappings
from extauthz.doctor.service import ServiceFacts

_ROUTE_CHANGERS: Final = frozenset(
    {"Lua", "Wasm", "ExternalProcessor", "DynamicModuleFilter", "GrpcJsonTranscoder", "HeaderToMetadata",
     "JsonToMetadata", "PayloadToMetadata", "ProtoMessageExtractionConfig", "Config"}
)  # fmt: skip
"""Filters that may change headers or path and have Envoy pick the route anew. ``Config`` is golang's."""
_CLEARING: Final = frozenset({"JwtAuthentication"})
"""Filters that do so only when told with ``clear_route_cache``."""


@rule(
    "no-ext-authz",
    Severity.ERROR,
    why="Requests that come in by this HttpConnectionManager are never checked.",
    instead="an envoy.filters.http.ext_authz filter before the router, as in envoy/static.yaml",
)
def no_ext_authz(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for manager in material.managers:
        if manager.position("ExtAuthz") is None:
            yield Spot((*manager.path, "http_filters"), str(manager.config.get("stat_prefix", "")))


@rule(
    "after-router",
    Severity.ERROR,
    why="The router ends the chain: a filter behind it never runs.",
    instead="ext_authz before envoy.filters.http.router",
)
def after_router(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for manager in material.managers:
        ours, router = manager.position("ExtAuthz"), manager.position("Router")
        if ours is not None and router is not None and ours > router:
            yield Spot(manager.filters[ours].path)


@rule(
    "route-changed-afterwards",
    Severity.WARNING,
    why="This filter stands behind ext_authz and may have Envoy pick another route than the one that was decided "
    "on, or a route where before there was none and ext_authz was not asked.",
    instead="filters that change headers, path or route before ext_authz",
)
def route_changed_afterwards(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for manager in material.managers:
        ours = manager.position("ExtAuthz")
        for one in manager.filters[ours + 1 :] if ours is not None else ():
            if one.type in _ROUTE_CHANGERS or (one.type in _CLEARING and one.config.get("clear_route_cache")):
                yield Spot(one.path, one.type)


@rule(
    "upgrades-on",
    Severity.ERROR,
    why="ext_authz never buffers the body of an upgraded request. With upgrades on for every route, a client hides "
    "its body from the service by adding an Upgrade header.",
    instead="upgrade_configs: [ { upgrade_type: websocket, enabled: false } ] here, and enabled: true only on the "
    "routes that need it",
)
def upgrades_on(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for manager in _asking_managers(material):
        for index, upgrade in mappings(manager.config.get("upgrade_configs")):
            if upgrade.get("enabled") not in (False, {"value": False}):
                yield Spot((*manager.path, "upgrade_configs", index), str(upgrade.get("upgrade_type", "")))


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
            yield Spot((*manager.path, "use_remote_address"))


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
            yield Spot((*manager.path, "common_http_protocol_options", "headers_with_underscores_action"))
    yield from _gateway_without(
        material, "no ClientTrafficPolicy here allows them", "headers", "withUnderscoresAction", ("Allow", "DropHeader")
    )


@rule(
    "path-normalized",
    Severity.WARNING,
    why="Envoy rewrites the path before the service sees it. Callers sign the path as they send it, and Java's URL "
    "encoder writes `~` as `%7E`: such signatures no longer match. It fails closed; the service itself refuses "
    "ambiguous paths.",
    instead="normalize_path: false and merge_slashes: false, unless other filters decide by path",
)
def path_normalized(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for manager in _asking_managers(material):
        for field in ("normalize_path", "merge_slashes"):
            if service.has_digest and manager.config.get(field) in (True, {"value": True}):
                yield Spot((*manager.path, field))


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
            yield Spot((*manager.path, "path_with_escaped_slashes_action"))
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
        if not any(route.disabled for route in manager.routes()):
            continue
        missing = sorted(name for name in service.identity_headers if not _is_stripped(name, manager))
        if missing:
            yield Spot((*manager.path, "early_header_mutation_extensions"), ", ".join(missing))


def _asking_managers(material: Material) -> Iterator[Manager]:
    return (manager for manager in material.managers if manager.position("ExtAuthz") is not None)


def _gateway_without(
    material: Material, detail: str, section: str, field: str, good: tuple[str, ...]
) -> Iterator[Spot]:
    """Envoy Gateway's listener settings stand in policies of their own; without one its defaults hold."""
    policies = [asking for asking in material.askings if asking.platform is Platform.ENVOY_GATEWAY]
    if policies and not any(dig(spec, section, field) in good for _, spec in material.client_policies):
        yield Spot(policies[0].path, detail)


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
    no_ext_authz,
    after_router,
    route_changed_afterwards,
    upgrades_on,
    client_address_forgeable,
    underscores_refused,
    path_normalized,
    escaped_slashes_pass,
    identity_headers_pass,
)
