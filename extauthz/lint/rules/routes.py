"""Rules for routes, groups and domains: what no request reaches."""

from collections.abc import Iterator
from typing import Final

from extauthz.config.sections.groups.group import BoundDomain
from extauthz.domain.api import Api, DomainBinding
from extauthz.domain.routing.path import parse_template
from extauthz.domain.routing.route import RouteTable
from extauthz.lint.finding import Level, Rule, Spot, Subject, rule

_UNHEARD: Final = "no-route-is-written-with-this"
"""A segment, or a label of a host, that no template and no domain names: what it leads to, every other leads to that is
not named either."""


@rule(
    "route-never-matches",
    Level.WARNING,
    why="Every path of this route is one of a more specific template or domain too, and that one answers.",
    cure="take the route out, or narrow the one that stands before it",
)
def route_never_matches(subject: Subject) -> Iterator[Spot]:
    gateway = subject.config.snapshot.gateway
    deepest = max((len(parse_template(api.path)) for api in gateway.apis.values() if api.path is not None), default=0)
    for index, entry in enumerate(subject.config.file.apis):
        api = gateway.apis[entry.id]
        if api.path is None:
            continue
        paths = _examples(api.path, deepest)
        hosts = [domain.replace("*", _UNHEARD, 1) for domain in sorted(api.group.domains)]
        for position, method in enumerate(entry.methods):
            taken = _taken(api, method, hosts, paths, gateway.routes)
            if taken is not None:
                but = ", but for paths that end in `/`" if api.path.endswith("*") else ""
                detail = f"{method} {api.path} is answered by API `{taken.id}`{but}"
                yield Spot(("apis", index, "methods", position), detail)


def _taken(api: Api, method: str, hosts: list[str], paths: list[str], routes: RouteTable) -> Api | None:
    """Which other API answers all that this route could; None where something is left for it."""
    other: Api | None = None
    for host in hosts:
        for path in paths:
            other = routes.find(host, method, path)
            if other is api:
                return None
    return other


def _examples(template: str, deepest: int) -> list[str]:
    """Paths that a template matches with segments that no other template names: of each length that matters."""
    shape = parse_template(template)
    start = [_UNHEARD if part == "{}" else part for part in shape if part != "*"]
    rests = range(1, max(deepest - len(start), 0) + 2) if "*" in shape else (0,)
    return ["/" + "/".join([*start, *[_UNHEARD] * length]) for length in rests]


@rule(
    "group-without-api",
    Level.WARNING,
    why="Its domains are listed, and lead to nothing: a request there is refused as if the domain were unknown.",
    cure="take the group out, or give it the API that it was written for",
)
def group_without_api(subject: Subject) -> Iterator[Spot]:
    used = {entry.group for entry in subject.config.file.apis}
    for index, group in enumerate(subject.config.file.groups):
        if group.id not in used:
            yield Spot(("groups", index), f"no API is in group `{group.id}`")


@rule(
    "domain-without-api",
    Level.WARNING,
    why="The domain is tied to a network or a stage that no API of its group serves: every request there is refused.",
    cure="take the domain out, tie it to a stage and network that an API serves, or publish an API there",
)
def domain_without_api(subject: Subject) -> Iterator[Spot]:
    by_group: dict[str, list[Api]] = {}
    for api in subject.config.snapshot.gateway.apis.values():
        by_group.setdefault(api.group.id, []).append(api)
    for index, group in enumerate(subject.config.file.groups):
        for position, domain in enumerate(group.domains):
            if not isinstance(domain, BoundDomain) or group.id not in by_group:
                continue
            binding = DomainBinding(domain.network, domain.stage)
            if not any(_serves(api, binding) for api in by_group[group.id]):
                yield Spot(("groups", index, "domains", position), f"no API of the group serves `{domain.name}`")


def _serves(api: Api, binding: DomainBinding) -> bool:
    return (binding.network is None or binding.network in api.auth) and (
        binding.stage is None or binding.stage in api.stages
    )


@rule(
    "stage-without-domain",
    Level.WARNING,
    why="Every domain of the group is tied to another stage, so no request can ask for this one.",
    cure="take the stage out, or add a domain that serves it",
)
def stage_without_domain(subject: Subject) -> Iterator[Spot]:
    for index, entry in enumerate(subject.config.file.apis):
        api = subject.config.snapshot.gateway.apis[entry.id]
        ties = [binding.stage for binding in api.group.bindings.values()]
        for position, stage in enumerate(entry.stages):
            if ties and not any(tie in (None, stage) for tie in ties):
                detail = f"no domain of group `{api.group.id}` serves stage {stage}"
                yield Spot(("apis", index, "stages", position), detail)


@rule(
    "network-without-domain",
    Level.WARNING,
    why="Every domain of the group is tied to the other network, so no request comes from this one.",
    cure="take the network out of `auth`, or add a domain that may be called from there",
)
def network_without_domain(subject: Subject) -> Iterator[Spot]:
    for index, entry in enumerate(subject.config.file.apis):
        api = subject.config.snapshot.gateway.apis[entry.id]
        ties = [binding.network for binding in api.group.bindings.values()]
        for network in api.auth:
            if ties and not any(tie in (None, network) for tie in ties):
                detail = f"no domain of group `{api.group.id}` may be called from {network}"
                yield Spot(("apis", index, "auth", network.value), detail)


RULES: Final[tuple[Rule, ...]] = (
    route_never_matches,
    group_without_api,
    domain_without_api,
    stage_without_domain,
    network_without_domain,
)
