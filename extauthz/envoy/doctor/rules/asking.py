"""Rules for the one question: are we asked about every request, wherever it ends up?"""

from collections.abc import Iterator
from typing import Final

from extauthz.envoy.doctor.finding import Rule, Severity, Spot, rule
from extauthz.envoy.doctor.material import Answer, Leaf, Manager, Material, Platform, Verdict
from extauthz.envoy.doctor.reading.chain import first_terminal
from extauthz.envoy.doctor.reading.typed import mentions
from extauthz.envoy.doctor.service import ServiceFacts
from extauthz.envoy.doctor.tree import Path, dig, items, mappings

_ANSWERING: Final = frozenset({"CacheConfig", "CacheV2Config", "FileServerConfig", "FileServer"})
"""Filters that answer from a store of their own, whoever asks."""
_OF_THE_MESH: Final = frozenset({"prometheus_stats", "agent"})
"""Clusters behind the ports at which a control plane's own metrics and health are read."""


@rule(
    "no-ext-authz",
    Severity.ERROR,
    why="Requests that come in by this HttpConnectionManager, or upgrades with a chain of filters of their own, are "
    "never checked.",
    instead="an envoy.filters.http.ext_authz filter with a grpc_service before the router, as in envoy/static.yaml",
    cures={
        Platform.ISTIO: "an AuthorizationPolicy with action CUSTOM for this gateway, as in envoy/istio.yaml",
        Platform.ENVOY_GATEWAY: "a SecurityPolicy with extAuth.grpc for this Gateway, as in envoy/envoy-gateway.yaml, "
        "and none on a route that replaces it",
    },
)
def no_ext_authz(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for manager in material.managers:
        if not manager.asks and not _needs_none(manager):
            yield Spot(
                (*manager.path, "http_filters"),
                str(manager.config.get("stat_prefix", "")),
                manager.platform,
                Severity.NOTE if _is_of_the_mesh(manager) else None,
            )
        for index, upgrade in mappings(manager.config.get("upgrade_configs")):
            own = upgrade.get("filters")
            if manager.asks and own and not mentions(own, "ext_authz"):
                yield Spot((*manager.path, "upgrade_configs", index, "filters"), str(upgrade.get("upgrade_type", "")))


def _needs_none(manager: Manager) -> bool:
    """Whether nothing is reached from here, or only listeners that are examined themselves."""
    leaves = list(manager.leaves())
    return bool(leaves) and all(leaf.asked or _says_nothing(leaf) for leaf in leaves)


def _is_of_the_mesh(manager: Manager) -> bool:
    clusters = {str(dig(leaf.route, "route", "cluster")) for leaf in manager.leaves() if leaf.forwards}
    return manager.platform is not Platform.ENVOY and bool(clusters) and clusters <= _OF_THE_MESH


def _says_nothing(leaf: Leaf) -> bool:
    """A redirect, or an answer that says no more than that there is nothing."""
    status = dig(leaf.route, "direct_response", "status")
    return not leaf.forwards and not (isinstance(status, int) and 200 <= status < 300)


@rule(
    "after-router",
    Severity.ERROR,
    why="The router ends the chain: a filter behind it never runs.",
    instead="ext_authz before envoy.filters.http.router",
)
def after_router(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for manager in material.managers:
        ours = manager.position("ExtAuthz")
        if ours is not None and ours > first_terminal(manager.filters):
            yield Spot(manager.filters[ours].path, platform=manager.platform)


@rule(
    "route-unchecked",
    Severity.ERROR,
    why="ext_authz is switched off here, or not switched on: requests pass without a check. The most specific of "
    "route configuration, virtual host, route and weighted cluster decides.",
    instead="remove `disabled: true` and let the service open the API (auth: none), or keep the route to an exact "
    "path that shows nothing",
    cures={
        Platform.ENVOY_GATEWAY: "a SecurityPolicy with extAuth.grpc that covers this route, too: the Gateway's, where "
        "no policy on the route or listener replaces it (mergeType: StrategicMerge keeps it)",
        Platform.ISTIO: "no EnvoyFilter that disables ext_authz on routes",
    },
)
def route_unchecked(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    open_leaves: dict[Path, list[Leaf]] = {}
    platforms: dict[Path, Platform] = {}
    for manager in material.managers:
        for leaf in manager.leaves() if manager.asks else ():
            if leaf.answer.verdict is Verdict.OFF and not _says_nothing(leaf):
                open_leaves.setdefault(leaf.answer.path, []).append(leaf)
                platforms[leaf.answer.path] = manager.platform
    for path, leaves in open_leaves.items():
        severity = Severity.WARNING if all(map(_is_kept_small, leaves)) else Severity.ERROR
        yield Spot(path, _ways(leaves), platforms[path], severity)


def _is_kept_small(leaf: Leaf) -> bool:
    """An exact path that goes unasked on purpose, or an answer without any upstream."""
    return not leaf.forwards or (leaf.answer.deliberate and dig(leaf.route, "match", "path") is not None)


def _ways(leaves: list[Leaf]) -> str:
    """What is open, in a few words."""
    first = leaves[0]
    match = next(((key, value) for key, value in items(dig(first.route, "match")) if isinstance(value, str)), None)
    to = dig(first.route, "route", "cluster")
    words = [f"{match[0]} {match[1]}" if match else "", f"to {to}" if isinstance(to, str) else ""]
    more = f"and {len(leaves) - 1} more" if len(leaves) > 1 else ""
    way = " ".join(filter(None, [*words, more]))
    return f"{way}: {first.answer.detail}" if first.answer.detail and way else way or first.answer.detail


@rule(
    "sampled",
    Severity.ERROR,
    why="Where filter_enabled, filter_enabled_metadata or a matcher around the filter says no, Envoy does not ask and "
    "lets the request through.",
    instead="remove it; for a gradual rollout use shadow_mode. If it must stay, deny_at_disable: "
    "{ default_value: { value: true } }",
    cures={Platform.ISTIO: "rules: [ {} ] in the AuthorizationPolicy, so that its shadow rules match every request"},
)
def sampled(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    yield from _answers(material, Verdict.SOMETIMES)
    for asking in material.askings:
        if asking.in_chain or dig(asking.get("deny_at_disable"), "default_value") in (True, {"value": True}):
            continue
        for field in ("filter_enabled", "filter_enabled_metadata"):
            if asking.get(field) is not None:
                yield Spot(asking.at(field))


@rule(
    "not-understood",
    Severity.ERROR,
    why="The doctor does not know what this means, and so not whether the service is asked here.",
    instead="plain routes and a plain ext_authz filter; or convince yourself with unsigned calls, and leave this "
    "finding out with `--ignore not-understood`",
)
def not_understood(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    yield from _answers(material, Verdict.UNKNOWN)


def _answers(material: Material, verdict: Verdict) -> Iterator[Spot]:
    """What leads to an answer, each place once."""
    found: dict[Path, tuple[Answer, Manager]] = {}
    for manager in material.managers:
        answers = [leaf.answer for leaf in manager.leaves()] or [manager.nothing_said]
        for answer in answers:
            if answer.verdict is verdict:
                found.setdefault(answer.path, (answer, manager))
    for path, (answer, manager) in found.items():
        yield Spot(path, answer.detail, manager.platform)


@rule(
    "answered-before-asked",
    Severity.ERROR,
    why="This filter answers out of a store of its own and stands before ext_authz: what one caller was allowed to "
    "see, or what lies in its folder, is shown to everybody without a check.",
    instead="caches and file servers behind ext_authz",
)
def answered_before_asked(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for manager in material.managers:
        for one in manager.filters[: manager.position("ExtAuthz")] if manager.asks else ():
            if one.type in _ANSWERING:
                yield Spot(one.path, one.type, manager.platform)


@rule(
    "passed-as-tcp",
    Severity.ERROR,
    why="This filter chain passes connections on without reading HTTP, beside one that asks or to what is behind it: "
    "whoever gets here is not checked.",
    instead="an HttpConnectionManager with ext_authz in every filter chain that leads to the APIs",
)
def passed_as_tcp(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for path, detail in material.bypasses:
        yield Spot(path, detail)


RULES: Final[tuple[Rule, ...]] = (
    no_ext_authz,
    after_router,
    route_unchecked,
    sampled,
    not_understood,
    answered_before_asked,
    passed_as_tcp,
)
