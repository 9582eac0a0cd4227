"""The leaves of a route configuration: every place where a request can end up, with the answer whether we are asked."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from extauthz.envoy.doctor.material import Answer, HttpFilter, Leaf, RouteTable, Verdict, VirtualHost
from extauthz.envoy.doctor.reading.chain import asked_at, gravest
from extauthz.envoy.doctor.reading.matcher import outcomes
from extauthz.envoy.doctor.tree import Json, Path, dig, mappings

Levels = tuple[tuple[Path, Json], ...]

_ACTIONS: Final = frozenset({"route", "redirect", "direct_response", "filter_action", "non_forwarding_action"})
_TARGETS: Final = frozenset(
    {"cluster", "cluster_header", "weighted_clusters", "cluster_specifier_plugin", "inline_cluster_specifier_plugin"}
)


@dataclass(frozen=True, slots=True)
class Ways:
    """The chains that a request may take before it is routed, and what lies behind clusters."""

    chains: tuple[tuple[HttpFilter, ...], ...]
    """The connection manager's own, and those of its upgrades."""
    leads_inside: Callable[[str], bool]
    """Whether a cluster leads to an internal listener of the same file, which is examined itself."""


def read_table(path: Path, config: Any, ways: Ways) -> RouteTable:
    """Cut a route configuration into virtual hosts and leaves."""
    config = config if isinstance(config, Mapping) else {}
    hosts = tuple(
        _host((*path, "virtual_hosts", index), host, ((path, config),), ways)
        for index, host in mappings(config.get("virtual_hosts"))
    )
    return RouteTable(path, config, hosts)


def _host(path: Path, config: Json, around: Levels, ways: Ways) -> VirtualHost:
    levels = (*around, (path, config))
    leaves = list(_routes((*path, "routes"), config.get("routes"), levels, ways))
    takes_all = _takes_all(config.get("routes"))
    if "matcher" in config:
        found, takes_all = _tree(config["matcher"], (*path, "matcher"), levels, ways)
        leaves.extend(found)
    domains = config.get("domains")
    names = tuple(map(str, domains)) if isinstance(domains, list) else ()
    return VirtualHost(path, config, names, tuple(leaves), takes_all)


def _tree(tree: Any, path: Path, levels: Levels, ways: Ways) -> tuple[list[Leaf], bool]:
    leaves: list[Leaf] = []
    takes_all = True
    for outcome in outcomes(tree, path):
        action = outcome.action
        if not outcome.understood:
            leaves.append(_unclear(outcome.path, levels, "a matcher"))
        elif action is None:
            takes_all = False
        elif action.name.endswith("config.route.v3.Route"):
            leaves.extend(_leaves(action.path, action.config, levels, ways))
        elif action.name.endswith("config.route.v3.RouteList"):
            routes = action.config.get("routes")
            leaves.extend(_routes((*action.path, "routes"), routes, levels, ways))
            takes_all = takes_all and _takes_all(routes)
        else:
            leaves.append(_unclear(action.path, levels, action.name))
    return leaves, takes_all


def _routes(path: Path, routes: Any, levels: Levels, ways: Ways) -> Iterator[Leaf]:
    for index, route in mappings(routes):
        yield from _leaves((*path, index), route, levels, ways)


def _leaves(path: Path, route: Json, around: Levels, ways: Ways) -> Iterator[Leaf]:
    levels = (*around, (path, route))
    target = route.get("route")
    if not _ACTIONS & route.keys():
        yield _unclear(path, levels, f"a route with {', '.join(sorted(route)) or 'nothing'}")
    elif "route" in route and not (isinstance(target, Mapping) and _TARGETS & target.keys()):
        yield _unclear((*path, "route"), levels, "a route to no cluster that the doctor knows")
    elif isinstance(target, Mapping) and "weighted_clusters" in target:
        for index, cluster in mappings(dig(target, "weighted_clusters", "clusters")):
            place = (*path, "route", "weighted_clusters", "clusters", index)
            yield _leaf(place, (path, route), (*levels, (place, cluster)), ways, str(cluster.get("name") or ""))
    else:
        yield _leaf(path, (path, route), levels, ways, str(dig(target, "cluster") or ""))


def _leaf(path: Path, route: tuple[Path, Json], levels: Levels, ways: Ways, cluster: str) -> Leaf:
    answer, check = gravest([asked_at(path, levels, chain) for chain in ways.chains])
    if answer.verdict is not Verdict.ASKED and cluster and ways.leads_inside(cluster):
        answer = Answer(Verdict.ASKED, detail=f"behind {cluster}")
    return Leaf(path, route[1], route[0], levels, answer, check)


def _unclear(path: Path, levels: Sequence[tuple[Path, Json]], detail: str) -> Leaf:
    return Leaf(path, {}, path, tuple(levels), Answer(Verdict.UNKNOWN, path, detail), {})


def _takes_all(routes: Any) -> bool:
    return any(matches_all(route) for _, route in mappings(routes))


def matches_all(route: Json) -> bool:
    """Whether a route takes every request that comes to it."""
    match = route.get("match")
    return isinstance(match, Mapping) and match.get("prefix") == "/" and match.keys() <= {"prefix", "case_sensitive"}
