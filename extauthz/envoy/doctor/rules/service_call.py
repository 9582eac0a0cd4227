"""Rules for the ext_authz filter itself, whichever platform writes it: what fails open, what is not sent to us."""

import re
from collections.abc import Iterator
from typing import Any, Final

from extauthz.envoy.doctor.finding import Rule, Severity, Spot, rule
from extauthz.envoy.doctor.material import Material, Platform
from extauthz.envoy.doctor.service import ServiceFacts
from extauthz.envoy.doctor.tree import dig


@rule(
    "fails-open",
    Severity.ERROR,
    why="When the service does not answer in time, or answers with an error, Envoy lets the request through: an "
    "outage, or whoever can cause one, opens every API.",
    instead="failure_mode_allow: false (Istio and Envoy Gateway: failOpen: false)",
)
def fails_open(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for asking in material.askings:
        if asking.get("failure_mode_allow") is True:
            yield Spot(asking.at("failure_mode_allow"))


@rule(
    "shadow-mode",
    Severity.ERROR,
    why="In shadow mode Envoy asks and then lets every request through, whatever the answer. Right for a trial, "
    "wrong for production.",
    instead="remove shadow_mode, or run the doctor with `--ignore shadow-mode` while the trial lasts",
)
def shadow_mode(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for asking in material.askings:
        if asking.get("shadow_mode") is True:
            yield Spot(asking.at("shadow_mode"))


@rule(
    "headers-withheld",
    Severity.ERROR,
    why="With allowed_headers or disallowed_headers the service does not see all headers. Signatures cover headers "
    "that callers choose, so good requests are refused; pseudo headers are withheld too.",
    instead="remove allowed_headers and disallowed_headers (Envoy Gateway: headersToExtAuth): over gRPC everything "
    "is sent then",
)
def headers_withheld(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for asking in material.askings:
        for field in ("allowed_headers", "disallowed_headers"):
            if asking.get(field):
                yield Spot(asking.at(field))


@rule(
    "headers-joined",
    Severity.WARNING,
    why="Without raw headers, repeated headers reach the service joined by commas and bytes that are not UTF-8 "
    "arrive as `!`, in the path of an HTTP/2 request, too: a repeated credential cannot be told from a single one, "
    "signatures over such values fail, and what was signed as `!` may have been another byte.",
    instead="encode_raw_headers: true (Istio: by EnvoyFilter; Envoy Gateway: by EnvoyPatchPolicy)",
)
def headers_joined(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for asking in material.askings:
        if asking.get("encode_raw_headers") is not True:
            yield Spot(asking.at("encode_raw_headers"))


@rule(
    "outage-looks-like-denial",
    Severity.WARNING,
    why="When the service cannot be reached Envoy answers 403 by default, so clients and dashboards take an outage "
    "for a denial and do not retry.",
    instead='status_on_error: { code: ServiceUnavailable } (Istio: statusOnError: "503"; Envoy Gateway: 503)',
)
def outage_looks_like_denial(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for asking in material.askings:
        code = str(asking.get("status_on_error", "code") or "Forbidden")
        if not (code.startswith("5") or code in _SERVER_ERRORS):
            yield Spot(asking.at("status_on_error"), code if asking.get("status_on_error") else "403 by default")


@rule(
    "mutations-unchecked",
    Severity.WARNING,
    why="Envoy does not check the headers that it is told to set: line breaks in them would split the response. The "
    "service strips them too; this is the second lock.",
    instead="validate_mutations: true",
)
def mutations_unchecked(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for asking in material.askings:
        if asking.get("validate_mutations") is not True:
            yield Spot(asking.at("validate_mutations"))


@rule(
    "mutations-unlimited",
    Severity.WARNING,
    why="Whoever answers as the service could rewrite :path after the decision, or hang requests by setting "
    "content-length. Empty rules ({}) still let :path through.",
    instead="decoder_header_mutation_rules: { disallow_is_error: true, disallow_expression: { regex: "
    '"^(:path|content-length|transfer-encoding|connection|upgrade|te)$" } }',
)
def mutations_unlimited(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for asking in material.askings:
        rules = asking.get("decoder_header_mutation_rules")
        if dig(rules, "disallow_all") in (True, {"value": True}):
            continue
        if not _matches_path(dig(rules, "disallow_expression", "regex")):
            yield Spot(asking.at("decoder_header_mutation_rules"))


@rule(
    "route-recomputed",
    Severity.WARNING,
    why="After the answer Envoy picks the route anew: the request may take another route than the one that was "
    "decided on.",
    instead="clear_route_cache: false, and no clear_route_cache_headers (Envoy Gateway: recomputeRoute: false)",
)
def route_recomputed(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for asking in material.askings:
        for field in ("clear_route_cache", "clear_route_cache_headers"):
            if asking.get(field):
                yield Spot(asking.at(field))


@rule(
    "denials-charged-to-backend",
    Severity.WARNING,
    why="By default each denial counts as a 4xx of the backend: its dashboards and outlier rules see errors that it "
    "never made.",
    instead="charge_cluster_response_stats: false",
)
def denials_charged_to_backend(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for asking in material.askings:
        if asking.platform is Platform.ENVOY and asking.get("charge_cluster_response_stats") is not False:
            yield Spot(asking.at("charge_cluster_response_stats"))


_SERVER_ERRORS: Final = frozenset(
    {"InternalServerError", "NotImplemented", "BadGateway", "ServiceUnavailable", "GatewayTimeout",
     "HTTPVersionNotSupported", "VariantAlsoNegotiates", "InsufficientStorage", "LoopDetected", "NotExtended",
     "NetworkAuthenticationRequired"}
)  # fmt: skip


def _matches_path(regex: Any) -> bool:
    try:
        return isinstance(regex, str) and re.fullmatch(regex, ":path") is not None
    except re.error:
        return True  # RE2 knows spellings that Python does not: no ground for a finding


RULES: Final[tuple[Rule, ...]] = (
    fails_open,
    shadow_mode,
    headers_withheld,
    headers_joined,
    outage_looks_like_denial,
    mutations_unchecked,
    mutations_unlimited,
    route_recomputed,
    denials_charged_to_backend,
)
