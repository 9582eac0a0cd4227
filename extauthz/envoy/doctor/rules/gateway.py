"""Rules for Envoy Gateway's policies: which of them replaces which, and what is then no longer asked."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from extauthz.envoy.doctor.finding import Rule, Severity, Spot, rule
from extauthz.envoy.doctor.material import Material, Platform
from extauthz.envoy.doctor.rules.istio import covers, namespace_of, platform_of
from extauthz.envoy.doctor.service import ServiceFacts
from extauthz.envoy.doctor.tree import Json, Path, dig, items, mappings

_ROUTES: Final = ("HTTPRoute", "GRPCRoute")


@dataclass(frozen=True, slots=True)
class Target:
    """What a policy is attached to: by name, or by labels."""

    kind: str
    name: str = ""
    section: str = ""
    labels: tuple[tuple[str, Any], ...] = ()

    def is_one(self, resource: Json) -> bool:
        """Whether a resource is meant."""
        if resource.get("kind") != self.kind:
            return False
        if self.name:
            return str(dig(resource, "metadata", "name")) == self.name
        return set(self.labels) <= set(items(dig(resource, "metadata", "labels")))

    @property
    def is_specific(self) -> bool:
        """Whether it is less than a whole Gateway: there a policy replaces the Gateway's."""
        return self.kind != "Gateway" or bool(self.section)


def targets(policy: Json) -> Iterator[Target]:
    """What a policy is attached to."""
    spec = policy.get("spec")
    references = [one for _, one in mappings(dig(spec, "targetRefs"))]
    if isinstance(dig(spec, "targetRef"), dict):
        references.append(dig(spec, "targetRef"))
    for one in references:
        yield Target(str(one.get("kind")), str(one.get("name")), str(one.get("sectionName") or ""))
    for _, one in mappings(dig(spec, "targetSelectors")):
        yield Target(str(one.get("kind")), labels=tuple(items(one.get("matchLabels"))))


@rule(
    "policy-replaces",
    Severity.ERROR,
    why="In Envoy Gateway the most specific SecurityPolicy replaces the others: with this one on a route or listener, "
    "if it is only for CORS, the Gateway's extAuth no longer holds there and requests pass without a check.",
    instead="mergeType: StrategicMerge in this policy, which keeps what the Gateway's says; or the same extAuth here",
)
def policy_replaces(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    policies = list(material.kind("SecurityPolicy"))
    asked = {target.name for _, policy in policies if asks(policy) for target in targets(policy)}
    if not any(asks(policy) for _, policy in policies):
        return
    for path, policy in policies:
        spec = policy.get("spec")
        if asks(policy) or (dig(spec, "mergeType") and dig(spec, "extAuth") is None):
            continue
        named = [target for target in targets(policy) if target.is_specific and _is_behind(target, asked, material)]
        rival = [target for target in targets(policy) if not target.is_specific and target.name in asked]
        if named:
            on = ", ".join(f"{one.kind} {one.name}".strip() for one in named)
            yield Spot((*path, "spec"), f"{dig(policy, 'metadata', 'name')} on {on}", Platform.ENVOY_GATEWAY)
        elif rival:
            yield Spot((*path, "spec"), f"a second policy of Gateway {rival[0].name}: only the older one holds")


def asks(policy: Json) -> bool:
    """Whether a SecurityPolicy has a gRPC service asked."""
    return isinstance(dig(policy, "spec", "extAuth", "grpc"), dict)


def _is_behind(target: Target, asked: set[str], material: Material) -> bool:
    """Whether a route hangs on a Gateway that asks us; what the file does not show, does."""
    for _, route in material.kind(*_ROUTES):
        if target.is_one(route):
            parents = {str(one.get("name")) for _, one in mappings(dig(route, "spec", "parentRefs"))}
            if parents and not parents & asked:
                return False
    return True


def unasked(material: Material) -> Iterator[Spot]:
    """Gateways of Envoy Gateway, or routes on them, that no policy of the file has ask us."""
    asking = [policy for _, policy in material.kind("SecurityPolicy") if asks(policy)]
    wanted = [(namespace_of(policy), target) for policy in asking for target in targets(policy)]
    for path, gateway in material.kind("Gateway") if asking else ():
        if platform_of(gateway, material) is not Platform.ENVOY_GATEWAY:
            continue
        # A policy reaches nothing outside its own namespace.
        mine = [target for home, target in wanted if target.is_one(gateway) and home == namespace_of(gateway)]
        listeners = {str(one.get("name")) for _, one in mappings(dig(gateway, "spec", "listeners"))}
        if any(not target.section for target in mine) or listeners <= {target.section for target in mine}:
            continue
        routes = list(_routes_of(gateway, material))
        bare = [place for place, route in routes if not any(target.is_one(route) for _, target in wanted)]
        for place in bare if routes else [path]:
            yield Spot((*place, "metadata", "name"), str(dig(gateway, "metadata", "name")), Platform.ENVOY_GATEWAY)


def _routes_of(gateway: Json, material: Material) -> Iterator[tuple[Path, Json]]:
    name = dig(gateway, "metadata", "name")
    for path, route in material.kind(*_ROUTES):
        if any(one.get("name") == name for _, one in mappings(dig(route, "spec", "parentRefs"))):
            yield path, route


def upgrades(material: Material) -> Iterator[Spot]:
    """Gateways whose requests may be upgraded: Envoy Gateway has websockets on unless requests are buffered."""
    buffered = [policy for _, policy in material.kind("BackendTrafficPolicy") if dig(policy, "spec", "requestBuffer")]
    off = {target.name for policy in buffered for target in targets(policy)}
    for path, policy in material.kind("SecurityPolicy"):
        names = {target.name for target in targets(policy)}
        routes = {
            str(dig(route, "metadata", "name"))
            for _, route in material.kind(*_ROUTES)
            if any(str(one.get("name")) in names for _, one in mappings(dig(route, "spec", "parentRefs")))
        }
        if asks(policy) and not (names & off if names - {""} else off) and not (routes and routes <= off):
            detail = "Envoy Gateway has websockets on by default"
            yield Spot((*path, "spec"), detail, Platform.ENVOY_GATEWAY, Severity.WARNING)
    for path, policy in material.kind("BackendTrafficPolicy") if off else ():
        replaces = any(target.kind in _ROUTES for target in targets(policy))
        if replaces and not dig(policy, "spec", "requestBuffer") and not dig(policy, "spec", "mergeType"):
            detail = "replaces the Gateway's requestBuffer"
            yield Spot((*path, "spec"), detail, Platform.ENVOY_GATEWAY, Severity.WARNING)


@rule(
    "gateway-unasked",
    Severity.ERROR,
    why="No policy in this file has this gateway, or this route, ask the service: whatever comes in here passes "
    "without a check.",
    instead="an AuthorizationPolicy with action CUSTOM and targetRefs to it (Istio), a SecurityPolicy with "
    "extAuth.grpc (Envoy Gateway)",
)
def gateway_unasked(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    policies = material.custom_policies()
    for path, gateway in material.kind("Gateway") if policies else ():
        if platform_of(gateway, material) is Platform.ISTIO and not any(
            covers(policy, gateway) for _, policy in policies
        ):
            yield Spot((*path, "metadata", "name"), str(dig(gateway, "metadata", "name")), Platform.ISTIO)
    yield from unasked(material)


RULES: Final[tuple[Rule, ...]] = (policy_replaces, gateway_unasked)
