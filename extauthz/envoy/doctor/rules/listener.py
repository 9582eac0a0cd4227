"""Rules for the listener in front of the filter: what it lets clients forge, hide or lose."""

from collections.abc import Iterator
from typing import Final

from extauthz.envoy.doctor.finding import Rule, Severity, Spot, rule
from extauthz.envoy.doctor.material import Manager, Material, Platform, Verdict
from extauthz.envoy.doctor.service import ServiceFacts
from extauthz.envoy.doctor.tree import dig, mappings


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
    for manager in asking_managers(material):
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
    for manager in asking_managers(material):
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
    for manager in asking_managers(material):
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
    for manager in asking_managers(material):
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
    for manager in asking_managers(material):
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
    for manager in asking_managers(material):
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
    for manager in asking_managers(material):
        if not any(leaf.answer.verdict is Verdict.OFF and leaf.forwards for leaf in manager.leaves()):
            continue
        missing = sorted(name for name in service.identity_headers if not _is_stripped(name, manager))
        if missing:
            place = (*manager.path, "early_header_mutation_extensions")
            yield Spot(place, ", ".join(missing), manager.platform)


def asking_managers(material: Material) -> Iterator[Manager]:
    """The connection managers that ask us, or may."""
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
    client_address_forgeable,
    internal_addresses,
    underscores_refused,
    path_normalized,
    escaped_slashes_pass,
    header_letter_case,
    identity_headers_pass,
)
