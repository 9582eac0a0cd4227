"""API groups from their sections: domains and what they are tied to, and what the group's APIs inherit."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from extauthz.config.names import Id, Section
from extauthz.config.problems import Report
from extauthz.config.sections.auth import AuthByNetwork, VpcIds
from extauthz.config.sections.groups.domains import DomainFault, read_domain
from extauthz.domain.api import Api, ApiGroup, DomainBinding
from extauthz.domain.ip import IpControl
from extauthz.domain.request import Network, Stage
from extauthz.domain.tokens.jwt import JwtPlugin


class BoundDomain(Section):
    """A domain that is tied to a network, to a stage, or to both.

    ```yaml
    name: test.example.com
    network: vpc
    stage: TEST
    ```
    """

    name: str = Field(description="a host name or `*.suffix`")
    network: Network | None = Field(None, description="the only network from which it may be called")
    stage: Stage | None = Field(None, description="the only stage that it serves")


class Group(Section):
    """APIs that share domains, and what holds for each of them that does not state its own.

    ```yaml
    id: shop
    domains: [api.example.com, "*.shop.example.com", {name: test.example.com, stage: TEST}]
    networks: [internet, vpc]
    auth: {internet: digest, vpc: appcode}
    vpc_ids: [vpc-shop]
    plugins: [offices]
    ```
    """

    id: Id = Field(description="the name by which APIs say that they belong to it")
    domains: Annotated[list[str | BoundDomain], Field(min_length=1)] = Field(
        description='host names, "*.suffix", or "*"; or {name, network, stage} to tie one'
    )
    networks: Annotated[list[Network], Field(min_length=1)] = Field(
        default=[Network.INTERNET, Network.VPC], description="where from its APIs may be called at most"
    )
    auth: AuthByNetwork | None = Field(None, description="for APIs without `auth`")
    vpc_ids: VpcIds | None = Field(None, description="for APIs without `vpc_ids`")
    plugins: list[Id] = Field(
        default_factory=list, description="for APIs that do not list a plug-in of the same type themselves"
    )


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
        name = ("name",) if isinstance(domain, BoundDomain) else ()
        try:
            host = read_domain(bound.name)
        except DomainFault as fault:
            report(("domains", position, *name), str(fault))
            continue
        if host in bindings:
            report(("domains", position), f"duplicate domain `{host}`; keep one")
        bindings[host] = DomainBinding(bound.network, bound.stage)
        if bound.network is not None and bound.network not in entry.networks:
            report(("domains", position, "network"), "is not among the group's `networks`")
    for network in entry.auth or {}:
        if network not in entry.networks:
            report(("auth", network.value), "is not among the group's `networks`")
    tied = any(binding != DomainBinding() for binding in bindings.values())
    return ApiGroup(entry.id, frozenset(bindings), bindings if tied else {})


@dataclass(slots=True)
class SharedDomains:
    """What each domain is tied to, over all groups: one domain cannot be tied in one and free in another."""

    first: dict[str, tuple[str, DomainBinding]] = field(default_factory=dict)
    """By domain: the group that named it first, and the binding there."""

    def add(self, group: ApiGroup, report: Report) -> None:
        """Report where a group says otherwise than the ones before it."""
        for domain in sorted(group.domains):
            binding = group.bindings.get(domain, DomainBinding())
            other, known = self.first.setdefault(domain, (group.id, binding))
            if known != binding:
                report(
                    ("domains",),
                    f"domain `{domain}` is {_told(binding)} here and {_told(known)} in group `{other}`, so its tie "
                    "could be gone round by a path of the other group; say the same in both",
                )


def unreachable(api: Api) -> str:
    """Why no call could reach an API by any domain of its group; empty when one could."""
    if not api.group.bindings:
        return ""
    fitting = [
        binding
        for binding in api.group.bindings.values()
        if (binding.network is None or binding.network in api.auth)
        and (binding.stage is None or binding.stage in api.stages)
    ]
    if fitting:
        return ""
    return (
        f"no call can reach it: {_list(_told(binding) for binding in api.group.bindings.values())} is every domain of "
        f"group `{api.group.id}`, and the API is published in {_list(api.stages)} and opened for {_list(api.auth)}"
    )


def _told(binding: DomainBinding) -> str:
    ties = [str(tie) for tie in (binding.network, binding.stage) if tie is not None]
    return f"tied to {' and '.join(ties)}" if ties else "free"


def _list(words: Iterable[object]) -> str:
    return ", ".join(sorted({str(word) for word in words}))
