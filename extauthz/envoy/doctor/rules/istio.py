"""Rules for Istio's policies: whom they select, and what their rules leave out."""

from collections.abc import Iterator
from typing import Any, Final

from extauthz.envoy.doctor.finding import Rule, Severity, Spot, rule
from extauthz.envoy.doctor.material import Material, Platform
from extauthz.envoy.doctor.service import ServiceFacts
from extauthz.envoy.doctor.tree import Json, Path, dig, items, mappings

GATEWAY_API: Final = "gateway.networking.k8s.io"
ROOT_NAMESPACE: Final = "istio-system"
_NAME_LABEL: Final = "gateway.networking.k8s.io/gateway-name"
_WORKLOADS: Final = ("Deployment", "DaemonSet", "StatefulSet", "Pod")
_ANYTHING: Final = {"paths": {"*", "/*"}, "methods": {"*"}, "hosts": {"*"}}


@rule(
    "policy-leaves-gaps",
    Severity.ERROR,
    why="Istio asks only where a rule matches. Everything else passes unchecked, and a list of paths is a list of "
    "ways around: the paths are compared before anybody refuses ambiguous spellings.",
    instead="rules: [ {} ]",
)
def policy_leaves_gaps(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    policies = material.custom_policies()
    whole = {_scope(policy) for _, policy in policies if any(map(_is_universal, _rules(policy)))}
    for path, policy in policies:
        if _scope(policy) not in whole:
            yield Spot((*path, "spec", "rules"), ", ".join(_limits(policy)), Platform.ISTIO)


def _scope(policy: Json) -> str:
    """For whom a policy speaks: several of one scope and provider are one list of rules."""
    spec = policy.get("spec")
    whom = [dig(spec, key) for key in ("selector", "targetRef", "targetRefs", "provider")]
    return repr([dig(policy, "metadata", "namespace"), *whom])


def _rules(policy: Json) -> list[Any]:
    rules = dig(policy, "spec", "rules")
    return rules if isinstance(rules, list) else []


def _is_universal(entry: Any) -> bool:
    if entry is None:
        return True
    if not isinstance(entry, dict) or entry.get("from") or entry.get("when"):
        return False
    ways = [dig(one, "operation") or {} for _, one in mappings(entry.get("to"))]
    return not ways or any(all(_is_anything(*field) for field in items(way)) for way in ways)


def _is_anything(field: str, values: Any) -> bool:
    return isinstance(values, list) and bool(_ANYTHING.get(field, set()) & set(map(str, values)))


def _limits(policy: Json) -> list[str]:
    """The words by which the rules leave something out."""
    found = set()
    for _, entry in mappings(_rules(policy)):
        found |= {key for key in ("from", "when") if entry.get(key)}
        for _, one in mappings(entry.get("to")):
            found |= {field for field, values in items(dig(one, "operation")) if not _is_anything(field, values)}
    return sorted(found)


@rule(
    "provider-unknown",
    Severity.ERROR,
    why="Istio refuses every request of a workload whose provider it does not know.",
    instead="the name of one of extensionProviders",
)
def provider_unknown(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for path, policy in material.custom_policies():
        provider = str(dig(policy, "spec", "provider", "name") or "")
        if material.providers and provider not in material.providers:
            yield Spot((*path, "spec", "provider", "name"), provider, Platform.ISTIO)


@rule(
    "selects-nothing",
    Severity.ERROR,
    why="A policy that selects no gateway asks about nothing, and nobody says so: every unsigned call passes. The "
    "pods of Gateway API gateways do not bear the `app` label of their policy's selector; targetRefs finds them.",
    instead="targetRefs: [ { group: gateway.networking.k8s.io, kind: Gateway, name: ... } ] for Gateway API gateways, "
    "or a namespace for the gateways of each network and no selector, which leaves nobody out",
)
def selects_nothing(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    seen = any(True for _ in _selectable(material))
    for path, policy in material.custom_policies():
        labels = dict(items(dig(policy, "spec", "selector", "matchLabels")))
        place = (*path, "spec", "selector", "matchLabels")
        if labels and not any(labels.items() <= of_one.items() for of_one in _selectable(material)):
            named = ", ".join(f"{key}: {value}" for key, value in labels.items())
            if seen:
                yield Spot(place, f"nothing in this file bears {named}", Platform.ISTIO)
            else:
                yield Spot(place, f"what bears {named} is not in this file", Platform.ISTIO, Severity.WARNING)
        known = {name for namespace, name in _gateways(material) if namespace == namespace_of(policy)}
        for where, kind, name in _targets(policy):
            if kind == "Gateway" and known and name not in known:
                yield Spot((*path, "spec", *where), f"no Gateway {name} in this file", Platform.ISTIO)


def _selectable(material: Material) -> Iterator[dict[str, Any]]:
    """The labels of everything in the file that a selector might select."""
    for _, resource in material.kind("Gateway"):
        if is_gateway_api(resource):
            yield {
                _NAME_LABEL: dig(resource, "metadata", "name"),
                **dict(items(dig(resource, "spec", "infrastructure", "labels"))),
            }
        else:
            yield dict(items(dig(resource, "spec", "selector")))
    for _, resource in material.kind(*_WORKLOADS):
        pod = resource if resource.get("kind") == "Pod" else dig(resource, "spec", "template")
        yield dict(items(dig(pod, "metadata", "labels")))


def covers(policy: Json, gateway: Json) -> bool:
    """Whether a CUSTOM policy is for a gateway."""
    namespace, name = namespace_of(policy), dig(gateway, "metadata", "name")
    labels = dict(items(dig(policy, "spec", "selector", "matchLabels")))
    targets = [(kind, target) for _, kind, target in _targets(policy)]
    at_home = namespace in (namespace_of(gateway), ROOT_NAMESPACE)
    if not is_gateway_api(gateway):  # the workload that serves it may be in any namespace
        return not targets and labels.items() <= dict(items(dig(gateway, "spec", "selector"))).items()
    if targets:
        return (("Gateway", name) in targets and namespace == namespace_of(gateway)) or (
            namespace == ROOT_NAMESPACE and ("GatewayClass", dig(gateway, "spec", "gatewayClassName")) in targets
        )
    own = {_NAME_LABEL: name, **dict(items(dig(gateway, "spec", "infrastructure", "labels")))}
    return at_home and labels.items() <= own.items()


def is_gateway_api(resource: Json) -> bool:
    """Whether a Gateway is the Gateway API's, and not Istio's older own."""
    return str(resource.get("apiVersion")).startswith(GATEWAY_API)


def platform_of(gateway: Json, material: Material) -> Platform:
    """Which control plane serves a Gateway: by its class, else by whose policies are in the file."""
    if not is_gateway_api(gateway):
        return Platform.ISTIO
    name = dig(gateway, "spec", "gatewayClassName")
    for _, one in material.kind("GatewayClass"):
        if dig(one, "metadata", "name") == name:
            controller = str(dig(one, "spec", "controllerName"))
            return Platform.ENVOY_GATEWAY if "gateway.envoyproxy.io" in controller else Platform.ISTIO
    if str(name).startswith("istio"):
        return Platform.ISTIO
    return Platform.ENVOY_GATEWAY if any(True for _ in material.kind("SecurityPolicy")) else Platform.ISTIO


def _gateways(material: Material) -> Iterator[tuple[str, str]]:
    for _, resource in material.kind("Gateway", group=GATEWAY_API):
        if is_gateway_api(resource):
            yield namespace_of(resource), str(dig(resource, "metadata", "name"))


def namespace_of(resource: Json) -> str:
    """Its namespace."""
    return str(dig(resource, "metadata", "namespace") or "default")


def _targets(policy: Json) -> Iterator[tuple[Path, str, str]]:
    for index, target in mappings(dig(policy, "spec", "targetRefs")):
        yield ("targetRefs", index), str(target.get("kind")), str(target.get("name"))
    target = dig(policy, "spec", "targetRef")
    if isinstance(target, dict):
        yield ("targetRef",), str(target.get("kind")), str(target.get("name"))


RULES: Final[tuple[Rule, ...]] = (policy_leaves_gaps, provider_unknown, selects_nothing)
