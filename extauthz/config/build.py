"""From the validated file to the snapshot: references resolved, secrets read, every mistake collected."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from heapq import nsmallest
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from extauthz.config.auth_rules import auth_policy, digest_rules
from extauthz.config.exposure import warn_of_open_apis, warn_of_secrets
from extauthz.config.files import files_of, named_outside_apps, secrets_of
from extauthz.config.listeners import check_admin, check_listeners
from extauthz.config.plain_text import warn_of_plain_text
from extauthz.config.plugin_schema import IpControlEntry
from extauthz.config.plugins import build_ip_control, build_jwt
from extauthz.config.problems import ConfigError, KeyPath, Problem, Report
from extauthz.config.records import check_records
from extauthz.config.revision import directory_revision, gateway_revision
from extauthz.config.schema import ApiEntry, ConfigFile, GrantEntry
from extauthz.config.secrets import SecretUnresolved, resolve
from extauthz.config.sections.apis import entry_faults, never_signed, policy_faults, strip_faults
from extauthz.config.sections.apps import Apps
from extauthz.config.sections.errors import check_errors, error_settings
from extauthz.config.sections.groups import BuiltGroup, SharedDomains, build_group, unreachable
from extauthz.config.sections.headers import check_identity_headers
from extauthz.config.sections.registry import check_registry
from extauthz.config.shared_store import check_shared_store
from extauthz.config.source import Source
from extauthz.config.validate import Validated, combined, validate
from extauthz.domain.api import Api, AuthMethod, AuthPolicy
from extauthz.domain.app import Grant
from extauthz.domain.directory import build_directory
from extauthz.domain.gateway import build_gateway
from extauthz.domain.ip import IpControl
from extauthz.domain.jwt import JwtPlugin
from extauthz.domain.route import RouteConflict, RouteTable
from extauthz.domain.settings import Settings
from extauthz.domain.snapshot import Snapshot

_NAMED = 8
"""How many of the known names an error lists."""


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """What a configuration file says: how the process runs, and the snapshot it serves."""

    file: ConfigFile
    snapshot: Snapshot
    path: Path
    """Where the file was read; the paths that it names are relative to its folder."""
    text: str = field(repr=False)
    """What stood in the file."""
    notes: tuple[Problem, ...] = ()
    """What is no mistake, but its author should know."""


def named_files(config: ServiceConfig) -> frozenset[Path]:
    """Which files a configuration is made of: a change in any of them can change what it means. Absolute paths."""
    return files_of(config.file, config.path)


def load(
    path: Path,
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    text: str | None = None,
    *,
    without_secrets: bool = False,
) -> ServiceConfig:
    """Read, validate and build. Raises ConfigError with every mistake that was found, not only the first.

    ``text`` stands in for the content of the file, which is then not read; its neighbours still are.
    ``without_secrets``: secrets and certificates that stand outside the file may be missing, and so are their keys and
    codes in the snapshot, which is then for looking at only.
    """
    source = Source(path, text)
    validated = validate(source)
    builder = _Builder(source, validated, now_ms())
    builder.build()
    skipped = _outside(validated) if without_secrets else frozenset[KeyPath]()
    problems = [one for one in combined(validated.problems, builder.problems) if one.path not in skipped]
    notes = tuple(sorted((one for one in builder.notes if one.path not in skipped), key=lambda note: note.line))
    if problems:
        raise ConfigError(problems, notes)
    return ServiceConfig(validated.file, builder.snapshot(), path, source.text, notes)


def _outside(validated: Validated) -> frozenset[KeyPath]:
    """The places of secrets and certificates that stand outside the file."""
    secrets = {path for path, secret in secrets_of(validated.file) if not isinstance(secret, SecretStr)}
    certificates = {("listen", index, "tls") for index in range(len(validated.file.listen))}
    return frozenset({validated.place(path) for path in secrets} | certificates)


class _Builder:
    """Builds the domain objects of one file and collects what is wrong with them."""

    def __init__(self, source: Source, validated: Validated, now_ms: int) -> None:
        self.problems: list[Problem] = []
        self.notes: list[Problem] = []
        self._now_ms = now_ms
        self._source = source
        self._base = source.file.parent
        self._file = validated.file
        self._position = validated.position
        self._place = validated.place
        self._broken = validated.broken_ids
        self._groups: dict[str, BuiltGroup] = {}
        self._jwt: dict[str, JwtPlugin] = {}
        self._ip: dict[str, IpControl] = {}
        self._apis: dict[str, Api] = {}
        self._apps = Apps(source.file.parent, now_ms)
        self._grants: dict[tuple[str, str, str], Grant] = {}

    def build(self) -> None:
        for index, plugin in self._unique("plugins", self._file.plugins):
            report = self._reporter("plugins", index)
            if isinstance(plugin, IpControlEntry):
                control = build_ip_control(plugin, report)
                if control:
                    self._ip[plugin.id] = control
                else:
                    self._broken.add(("plugins", plugin.id))
            else:
                jwt = build_jwt(plugin, self._base, report, self._noter("plugins", index))
                if jwt:
                    self._jwt[plugin.id] = jwt
                else:
                    self._broken.add(("plugins", plugin.id))
        shared = SharedDomains()
        for index, group in self._unique("groups", self._file.groups):
            report = self._reporter("groups", index)
            built = build_group(group, report)
            shared.add(built, report)
            self._groups[group.id] = BuiltGroup(built, group, *self._bind_plugins(("groups", index), group.plugins))
        for index, api in self._unique("apis", self._file.apis):
            self._add_api(index, api)
        self._check_routes()
        for index, app in self._unique("apps", self._file.apps):
            self._apps.add(app, self._reporter("apps", index), self._noter("apps", index))
        self._check_ip_control_apps()
        for position, grant in enumerate(self._file.grants):
            self._add_grant(self._position("grants", position), grant)
        check_errors(self._file.errors, self._report)
        check_shared_store(self._file, self._base, self._report, self._position)
        check_listeners(self._file, self._base, self._report)
        check_records(self._file, self._base, self._report)
        check_registry(self._file.registry, self._base, self._report)
        check_admin(self._file, self._base, self._report)
        check_identity_headers(self._file.identity_headers, self._jwt.values(), self._report)
        for position, fault in never_signed(self._file.digest.require_signed):
            self._report(("digest", "require_signed", position), fault)
        warn_of_plain_text(self._file, self._base, self._note)
        warn_of_secrets(self._file, lambda path, message: self._note(self._place(path), message))
        positions = {entry.id: self._position("apis", position) for position, entry in enumerate(self._file.apis)}
        warn_of_open_apis(((positions[api.id], api) for api in self._apis.values()), self._note)

    def snapshot(self) -> Snapshot:
        gateway = build_gateway(
            revision=gateway_revision(self._file, self._gateway_secrets()),
            built_at_ms=self._now_ms,
            settings=Settings(
                errors=error_settings(self._file.errors),
                identity_headers=tuple((name.lower(), fact) for name, fact in self._file.identity_headers.items()),
                port_networks=dict(self._file.port_networks),
                longest_window_ms=int(self._file.replay.longest_window.total_seconds() * 1000),
                trust_external_address=self._file.client_address.source != "peer",
                max_form_bytes=self._file.limits.form_mebibytes << 20,
                reads_envoy_claims=any(
                    api.jwt is not None and api.jwt.envoy_payload is not None for api in self._apis.values()
                ),
            ),
            apis=self._apis.values(),
        )
        directory = build_directory(
            revision=directory_revision(self._file, self._directory_secrets()),
            apps=self._apps.apps.values(),
            key_pairs=self._apps.keys.values(),
            app_codes=((code_hash, app.id) for code_hash, app in self._apps.codes.items()),
            grants=self._grants.values(),
        )
        return Snapshot(gateway, directory)

    def _directory_secrets(self) -> Iterator[bytes]:
        """Every credential of an app, wherever it stands."""
        for pair in self._apps.keys.values():
            yield from (pair.app_key.encode(), pair.secret, pair.previous or b"")
        yield from self._apps.codes

    def _gateway_secrets(self) -> Iterator[bytes]:
        """Every other secret and document that the file means, wherever it stands."""
        for named in named_outside_apps(self._file):
            with suppress(SecretUnresolved):  # only where secrets are not looked for
                yield resolve(named, self._base).encode()

    def _report(self, path: KeyPath, message: str) -> None:
        self.problems.append(self._source.problem(path, message))

    def _note(self, path: KeyPath, message: str) -> None:
        self.notes.append(self._source.problem(path, message))

    def _reporter(self, *prefix: str | int) -> Report:
        return lambda path, message: self._report((*prefix, *path), message)

    def _noter(self, *prefix: str | int) -> Report:
        return lambda path, message: self._note((*prefix, *path), message)

    def _unique(self, section: str, entries: list[Any]) -> Iterable[tuple[int, Any]]:
        """The entries of a section with their place in the file; a second one with the same id is a mistake."""
        first: dict[str, int] = {}
        for position, entry in enumerate(entries):
            index = self._position(section, position)
            if entry.id in first:
                line = self._source.problem((section, first[entry.id]), "").line
                self._report(
                    (section, index, "id"), f"id `{entry.id}` is taken by line {line}; give this one another id"
                )
                continue
            first[entry.id] = index
            yield index, entry

    def _missing(self, section: str, wanted: str, known: Iterable[str], path: KeyPath, what: str) -> None:
        if (section, wanted) not in self._broken:
            some = nsmallest(_NAMED + 1, known)
            names = ", ".join(some[:_NAMED]) + (", ..." if len(some) > _NAMED else "") if some else "none"
            close = get_close_matches(wanted, some, n=1)
            hint = f"did you mean `{close[0]}`? Known" if close else "known"
            self._report(path, f"{what} `{wanted}` does not exist; {hint}: {names}")

    def _add_api(self, index: int, entry: ApiEntry) -> None:
        place: KeyPath = ("apis", index)
        good = True
        group = self._groups.get(entry.group)
        if group is None:
            self._missing("groups", entry.group, self._groups, (*place, "group"), "group")
            good = False
        for where, fault in entry_faults(entry):
            self._report((*place, *where), fault)
            good = False
        for position, fault in never_signed(entry.digest.require_signed):
            self._report((*place, "digest", "require_signed", position), fault)
        jwt, ip_control = self._bind_plugins(place, entry.plugins)
        plugins, expressions, vpc_ids = entry.plugins, entry.auth, entry.vpc_ids
        if group is not None:
            jwt, ip_control = jwt or group.jwt, ip_control or group.ip_control
            plugins = [*plugins, *group.entry.plugins]
            expressions = expressions or group.entry.auth
            vpc_ids = vpc_ids or group.entry.vpc_ids
            if expressions is None:
                self._report((*place, "auth"), "is required, here or in the group; say `none` to mean an open API")
                good = False
        auth = {network: auth_policy(expression) for network, expression in (expressions or {}).items()}
        for network, policy in auth.items():
            path = (*place, "auth", network.value)
            good = self._check_policy(path, policy, entry, jwt, plugins) and good
            if group is not None and network not in group.entry.networks:
                self._report(path, f"group `{entry.group}` leaves this network out of its `networks`")
                good = False
        if group is None or not good:
            self._broken.add(("apis", entry.id))
            return
        strip = self._file.strip_credentials if entry.strip_credentials is None else entry.strip_credentials
        if strip:
            for fault in strip_faults(entry, jwt, auth.values()):
                self._report((*place, "strip_credentials"), fault)
        api = Api(
            id=entry.id,
            group=group.group,
            owner=entry.owner,
            methods=frozenset(entry.methods),
            path=entry.path,
            stages=frozenset(entry.stages),
            auth=auth,
            digest=digest_rules(self._file.digest, entry.digest),
            app_code=entry.app_code,
            jwt=jwt,
            ip_control=ip_control,
            vpc_ids=frozenset(vpc_ids or ()),
            strip_credentials=strip,
            replay_outage=entry.replay_outage,
            lenient_path_parameters=entry.lenient_path_parameters,
        )
        self._apis[entry.id] = api
        fault = unreachable(api)
        if fault:
            self._report(place, fault)

    def _bind_plugins(self, place: KeyPath, names: list[str]) -> tuple[JwtPlugin | None, IpControl | None]:
        jwt: JwtPlugin | None = None
        ip_control: IpControl | None = None
        for position, name in enumerate(names):
            path = (*place, "plugins", position)
            if name in self._jwt:
                if jwt is not None:
                    self._report(path, "a second JWT plug-in; an API takes one of each type")
                jwt = self._jwt[name]
            elif name in self._ip:
                if ip_control is not None:
                    self._report(path, "a second IP control plug-in; an API takes one of each type")
                ip_control = self._ip[name]
            else:
                self._missing("plugins", name, [*self._jwt, *self._ip], path, "plug-in")
        return jwt, ip_control

    def _check_policy(
        self, path: KeyPath, policy: AuthPolicy, entry: ApiEntry, jwt: JwtPlugin | None, plugins: list[str]
    ) -> bool:
        faults = list(policy_faults(policy, entry, jwt))
        for fault in faults:
            self._report(path, fault)
        if AuthMethod.JWT not in policy.methods or jwt is not None:
            return not faults
        if not any(("plugins", name) in self._broken for name in plugins):
            self._report(path, "asks for jwt but the API lists no JWT plug-in under `plugins`")
        return False

    def _check_routes(self) -> None:
        table = RouteTable()
        places = {entry.id: self._position("apis", position) for position, entry in enumerate(self._file.apis)}
        for api in self._apis.values():
            try:
                table.add(api)
            except RouteConflict as conflict:
                self._report(("apis", places[api.id], "path"), str(conflict))

    def _add_grant(self, index: int, entry: GrantEntry) -> None:
        place: KeyPath = ("grants", index)
        if entry.app not in self._apps.apps:
            self._missing("apps", entry.app, self._apps.apps, (*place, "app"), "app")
        until_ms = None if entry.until is None else int(entry.until.timestamp() * 1000)
        if until_ms is not None and until_ms <= self._now_ms:
            self._note((*place, "until"), "has passed, so the grant opens nothing; set a later end or take it out")
        for position, api_id in enumerate(entry.apis):
            path = (*place, "apis", position)
            api = self._apis.get(api_id)
            if api is None:
                self._missing("apis", api_id, self._apis, path, "API")
                continue
            for stage in entry.stages:
                if stage not in api.stages:
                    self._report(path, f"API `{api_id}` is not published in stage {stage}; add it to its `stages`")
                key = (entry.app, api_id, stage)
                if key in self._grants:
                    self._report(path, f"duplicate grant of `{api_id}` in {stage} to app `{entry.app}`; keep one")
                self._grants[key] = Grant(entry.app, api_id, stage, until_ms, entry.granted_by)

    def _check_ip_control_apps(self) -> None:
        """An app that is named wrongly would not be bound, and nobody would know."""
        for position, plugin in enumerate(self._file.plugins):
            if not isinstance(plugin, IpControlEntry):
                continue
            for number, item in enumerate(plugin.apps or ()):
                if item.app not in self._apps.apps:
                    path = ("plugins", self._position("plugins", position), "apps", number, "app")
                    self._missing("apps", item.app, self._apps.apps, path, "app")
