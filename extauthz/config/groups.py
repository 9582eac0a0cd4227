"""API groups from their sections: domains and what they are tied to, and what the group's APIs inherit."""

from dataclasses import dataclass

from extauthz.config.plugins import Report
from extauthz.config.schema import BoundDomain, Group
from extauthz.domain.api import ApiGroup, DomainBinding
from extauthz.domain.ip import IpControl
from extauthz.domain.jwt import JwtPlugin


@dataclass(frozen=True, slots=True)
class BuiltGroup:
    """A group, its section, and the plug-ins that its APIs inherit."""

    group: ApiGroup
    entry: Group
    jwt: JwtPlugin | None
    ip_control: IpControl | None


def build_group(entry: Group, report: Report) -> ApiGroup:
    """The group; what is wrong with its section is reported."""
    bindings: dict[str, DomainBinding] = {}
    for position, domain in enumerate(entry.domains):
        bound = domain if isinstance(domain, BoundDomain) else BoundDomain(name=domain)
        if bound.name in bindings:
            report(("domains", position), f"domain `{bound.name}` stands twice; keep one")
        bindings[bound.name] = DomainBinding(bound.network, bound.stage)
        if bound.network is not None and bound.network not in entry.networks:
            report(("domains", position, "network"), "is not among the group's `networks`")
    for network in entry.auth or {}:
        if network not in entry.networks:
            report(("auth", network.value), "is not among the group's `networks`")
    tied = any(binding != DomainBinding() for binding in bindings.values())
    return ApiGroup(entry.id, frozenset(bindings), bindings if tied else {})
