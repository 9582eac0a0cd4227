"""The APIs of a file: references to groups and plug-ins resolved, what the group states inherited."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from extauthz.config.findings import Findings
from extauthz.config.problems import KeyPath, Warned
from extauthz.config.sections.apis.api import ApiEntry, entry_faults, policy_faults, strip_faults
from extauthz.config.sections.auth import auth_policy
from extauthz.config.sections.digest import Digest, digest_rules, never_signed
from extauthz.config.sections.groups.group import BuiltGroup, unreachable
from extauthz.config.sections.plugins.built import Plugins
from extauthz.domain.api import Api, AuthMethod, AuthPolicy
from extauthz.domain.request import Network
from extauthz.domain.routing.route import RouteConflict, RouteTable
from extauthz.domain.tokens.jwt import JwtPlugin


@dataclass(slots=True)
class Apis:
    """The APIs of a file, by id in ``by_id``."""

    groups: Mapping[str, BuiltGroup]
    plugins: Plugins
    digest: Digest
    """The file's defaults for every API."""
    strip_credentials: bool
    """The file's default."""
    findings: Findings
    by_id: dict[str, Api] = field(default_factory=dict)
    _routes: RouteTable = field(default_factory=RouteTable)

    def add(self, index: int, entry: ApiEntry) -> None:
        """Build an API; one with mistakes is left out after they are reported."""
        place: KeyPath = ("apis", index)
        report = self.findings.reporter(*place)
        good = True
        group = self.groups.get(entry.group)
        if group is None:
            self.findings.missing("groups", entry.group, self.groups, (*place, "group"), "group")
            good = False
        for where, fault in entry_faults(entry):
            report(where, fault)
            good = False
        for position, fault in never_signed(entry.digest.require_signed):
            report(("digest", "require_signed", position), fault)
        jwt, ip_control = self.plugins.listed(place, entry.plugins)
        plugins, expressions, vpc_ids = entry.plugins, entry.auth, entry.vpc_ids
        if group is not None:
            jwt, ip_control = jwt or group.jwt, ip_control or group.ip_control
            plugins = [*plugins, *group.entry.plugins]
            expressions = expressions or group.entry.auth
            vpc_ids = vpc_ids or group.entry.vpc_ids
            if expressions is None:
                report(("auth",), "is required, here or in the group; say `none` to mean an open API")
                good = False
        auth = {network: auth_policy(expression) for network, expression in (expressions or {}).items()}
        for network, policy in auth.items():
            path = (*place, "auth", network.value)
            good = self._check_policy(path, policy, entry, jwt, plugins) and good
            if group is not None and network not in group.entry.networks:
                self.findings.report(path, f"group `{entry.group}` leaves this network out of its `networks`")
                good = False
        if group is None or not good:
            self.findings.leave_out("apis", entry.id)
            return
        strip = self.strip_credentials if entry.strip_credentials is None else entry.strip_credentials
        if strip:
            for fault in strip_faults(entry, jwt, auth.values()):
                report(("strip_credentials",), fault)
        api = Api(
            id=entry.id,
            group=group.group,
            owner=entry.owner,
            methods=frozenset(entry.methods),
            path=entry.path,
            stages=frozenset(entry.stages),
            auth=auth,
            digest=digest_rules(self.digest, entry.digest),
            app_code=entry.app_code,
            jwt=jwt,
            ip_control=ip_control,
            vpc_ids=frozenset(vpc_ids or ()),
            strip_credentials=strip,
            replay_outage=entry.replay_outage,
            lenient_path_parameters=entry.lenient_path_parameters,
        )
        self.by_id[entry.id] = api
        fault = unreachable(api)
        if fault:
            report((), fault)
        try:
            self._routes.add(api)
        except RouteConflict as conflict:
            report(("path",), str(conflict))
        self._warn_if_open(place, api)

    def _check_policy(
        self, path: KeyPath, policy: AuthPolicy, entry: ApiEntry, jwt: JwtPlugin | None, plugins: list[str]
    ) -> bool:
        faults = list(policy_faults(policy, entry, jwt))
        for fault in faults:
            self.findings.report(path, fault)
        if AuthMethod.JWT not in policy.methods or jwt is not None:
            return not faults
        if not any(self.findings.is_left_out("plugins", name) for name in plugins):
            self.findings.report(path, "asks for jwt but the API lists no JWT plug-in under `plugins`")
        return False

    def _warn_if_open(self, place: KeyPath, api: Api) -> None:
        policy = api.auth.get(Network.INTERNET)
        if policy is not None and frozenset() in policy.alternatives:
            path = (*place, "auth", "internet")
            self.findings.note(Warned.OPEN_ON_INTERNET, path, "lets anybody on the Internet call without a credential")
