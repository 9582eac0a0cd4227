"""From the validated file to the snapshot: references resolved, secrets read, every mistake collected."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from extauthz.config.auth_rules import auth_policy, digest_rules
from extauthz.config.groups import BuiltGroup, build_group
from extauthz.config.listeners import check_listeners
from extauthz.config.names import NEVER_OVERWRITTEN
from extauthz.config.plugin_schema import IpControlEntry
from extauthz.config.plugins import build_ip_control, build_jwt
from extauthz.config.problems import ConfigError, KeyPath, Problem
from extauthz.config.records import check_records
from extauthz.config.revision import revision_of
from extauthz.config.schema import ApiEntry, ConfigFile, Errors, GrantEntry
from extauthz.config.secrets import SecretUnresolved, resolve
from extauthz.config.shared_store import check_shared_store
from extauthz.config.source import Source
from extauthz.config.validate import Validated, validate
from extauthz.domain.api import Api, AuthMethod, AuthPolicy
from extauthz.domain.app import App, Grant, KeyPair, hash_app_code
from extauthz.domain.ip import IpControl
from extauthz.domain.jwt import JwtPlugin
from extauthz.domain.reason import CATALOGUE, Answer
from extauthz.domain.route import RouteConflict, RouteTable, TemplateError, parse_template
from extauthz.domain.settings import ErrorSettings, Settings
from extauthz.domain.snapshot import Snapshot, build_snapshot

Entry = TypeVar("Entry")
_MIN_APP_CODE = 8
_MAX_APP_CODE = 128


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


def load(
    path: Path, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000, text: str | None = None
) -> ServiceConfig:
    """Read, validate and build. Raises ConfigError with every mistake that was found, not only the first.

    ``text`` stands in for the content of the file, which is then not read; its neighbours still are.
    """
    source = Source(path, text)
    validated = validate(source)
    builder = _Builder(source, validated)
    builder.build()
    problems = validated.problems + builder.problems
    if problems:
        raise ConfigError(sorted(problems, key=lambda problem: problem.line))
    return ServiceConfig(validated.file, builder.snapshot(now_ms()), path, source.text, tuple(builder.notes))


class _Builder:
    """Builds the domain objects of one file and collects what is wrong with them."""

    def __init__(self, source: Source, validated: Validated) -> None:
        self.problems: list[Problem] = []
        self.notes: list[Problem] = []
        self._source = source
        self._base = source.file.parent
        self._file = validated.file
        self._position = validated.position
        self._broken = validated.broken_ids
        self._groups: dict[str, BuiltGroup] = {}
        self._jwt: dict[str, JwtPlugin] = {}
        self._ip: dict[str, IpControl] = {}
        self._apis: dict[str, Api] = {}
        self._apps: dict[str, App] = {}
        self._keys: dict[str, KeyPair] = {}
        self._codes: dict[bytes, App] = {}
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
        for index, group in self._unique("groups", self._file.groups):
            built = build_group(group, self._reporter("groups", index))
            self._groups[group.id] = BuiltGroup(built, group, *self._bind_plugins(("groups", index), group.plugins))
        for index, api in self._unique("apis", self._file.apis):
            self._add_api(index, api)
        self._check_routes()
        for index, app in self._unique("apps", self._file.apps):
            self._add_app(index, App(app.id, app.owner, app.disabled), app.keys, app.app_codes)
        for position, grant in enumerate(self._file.grants):
            self._add_grant(self._position("grants", position), grant)
        self._check_errors(self._file.errors)
        check_shared_store(self._file, self._base, self._report, self._position)
        check_listeners(self._file, self._base, self._report)
        check_records(self._file, self._base, self._report)
        self._check_identity_headers()

    def snapshot(self, now_ms: int) -> Snapshot:
        return build_snapshot(
            revision=revision_of(self._file),
            built_at_ms=now_ms,
            settings=Settings(
                errors=_error_settings(self._file.errors),
                identity_headers=tuple((name.lower(), fact) for name, fact in self._file.identity_headers.items()),
                port_networks=dict(self._file.port_networks),
                longest_window_ms=int(self._file.replay.longest_window.total_seconds() * 1000),
                trust_external_address=self._file.client_address.source != "peer",
                reads_envoy_claims=any(
                    api.jwt is not None and api.jwt.envoy_payload is not None for api in self._apis.values()
                ),
            ),
            apis=self._apis.values(),
            key_pairs=self._keys.values(),
            app_codes=self._codes.items(),
            grants=self._grants.values(),
        )

    def _report(self, path: KeyPath, message: str) -> None:
        self.problems.append(self._source.problem(path, message))

    def _noter(self, *prefix: str | int) -> Callable[[KeyPath, str], None]:
        return lambda path, message: self.notes.append(self._source.problem((*prefix, *path), message))

    def _reporter(self, *prefix: str | int) -> Callable[[KeyPath, str], None]:
        return lambda path, message: self._report((*prefix, *path), message)

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
            names = ", ".join(sorted(known)[:8]) or "none"
            self._report(path, f"{what} `{wanted}` does not exist; known: {names}")

    def _add_api(self, index: int, entry: ApiEntry) -> None:
        place: KeyPath = ("apis", index)
        good = True
        group = self._groups.get(entry.group)
        if group is None:
            self._missing("groups", entry.group, self._groups, (*place, "group"), "group")
            good = False
        if entry.path is not None:
            try:
                parse_template(entry.path)
            except TemplateError as error:
                self._report((*place, "path"), str(error))
                good = False
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
        strip = entry.strip_credentials
        self._apis[entry.id] = Api(
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
            strip_credentials=self._file.strip_credentials if strip is None else strip,
            replay_outage=entry.replay_outage,
        )

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
        good = True
        for alternative in policy.alternatives:
            if {AuthMethod.DIGEST, AuthMethod.APP_CODE} <= alternative:
                self._report(path, "digest and appcode cannot both be asked for; both prove the same thing, an app")
                good = False
        if AuthMethod.JWT in policy.methods and jwt is None:
            if not any(("plugins", name) in self._broken for name in plugins):
                self._report(path, "asks for jwt but the API lists no JWT plug-in under `plugins`")
            good = False
        if jwt is not None and jwt.bypass_empty_token and policy.methods > {AuthMethod.JWT}:
            self._report(path, f"plug-in `{jwt.id}` has `bypass_empty_token`, which goes with plain `jwt` only; "
                               "write `any_of` to say what opens the API without a token")  # fmt: skip
            good = False
        if AuthMethod.APP_CODE in policy.methods and entry.app_code == "off":
            self._report(path, "asks for appcode but `app_code` is off")
            good = False
        return good

    def _check_routes(self) -> None:
        table = RouteTable()
        places = {entry.id: self._position("apis", position) for position, entry in enumerate(self._file.apis)}
        for api in self._apis.values():
            try:
                table.add(api)
            except RouteConflict as conflict:
                self._report(("apis", places[api.id], "path"), str(conflict))

    def _add_app(self, index: int, app: App, keys: list[Any], codes: list[Any]) -> None:
        self._apps[app.id] = app
        for position, entry in enumerate(keys):
            path: KeyPath = ("apps", index, "keys", position)
            taken = self._keys.get(entry.app_key)
            if taken is not None:
                self._report((*path, "app_key"), f"AppKey `{entry.app_key}` already belongs to app `{taken.app.id}`")
            secret = self._resolve(entry.app_secret, (*path, "app_secret"))
            if secret is not None and taken is None:
                self._keys[entry.app_key] = KeyPair(app, entry.app_key, secret.encode())
        for position, entry in enumerate(codes):
            path = ("apps", index, "app_codes", position)
            code = self._resolve(entry, path)
            if code is None:
                continue
            if not _MIN_APP_CODE <= len(code) <= _MAX_APP_CODE or not code.isascii():
                self._report(path, f"an AppCode has {_MIN_APP_CODE} to {_MAX_APP_CODE} ASCII characters")
                continue
            hashed = hash_app_code(code.encode())
            if hashed in self._codes:
                self._report(path, f"this AppCode already belongs to app `{self._codes[hashed].id}`")
            self._codes.setdefault(hashed, app)

    def _resolve(self, secret: Any, path: KeyPath) -> str | None:
        try:
            return resolve(secret, self._base)
        except SecretUnresolved as error:
            self._report(path, str(error))
            return None

    def _add_grant(self, index: int, entry: GrantEntry) -> None:
        place: KeyPath = ("grants", index)
        if entry.app not in self._apps:
            self._missing("apps", entry.app, self._apps, (*place, "app"), "app")
        until_ms = None if entry.until is None else int(entry.until.timestamp() * 1000)
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
                    self._report(path, f"app `{entry.app}` is granted `{api_id}` in {stage} twice; keep one grant")
                self._grants[key] = Grant(entry.app, api_id, stage, until_ms, entry.granted_by)

    def _check_errors(self, errors: Errors) -> None:
        for label in errors.overrides:
            path: KeyPath = ("errors", "overrides", label)
            known = CATALOGUE.get(label)
            if known is None:
                self._report(path, "is no reason; `extauthz reasons` lists them")
            elif not known.provisional:
                self._report(path, "has an answer that the vendor documents; only provisional ones can be changed")

    def _check_identity_headers(self) -> None:
        names = [name.lower() for name in self._file.identity_headers]
        for name in sorted({name for name in names if names.count(name) > 1}):
            self._report(("identity_headers",), f"header `{name}` stands twice in different letter case")
        for name in self._file.identity_headers:
            if name.lower() in NEVER_OVERWRITTEN:
                self._report(("identity_headers", name), "is a header that must not be overwritten")
            for plugin in self._jwt.values():
                if name.lower() in (entry.header for entry in plugin.claim_headers):
                    self._report(("identity_headers", name), f"is also a claim header of plug-in `{plugin.id}`")


def _error_settings(errors: Errors) -> ErrorSettings:
    base = ErrorSettings(errors.generation, errors.reveal)
    overrides = {}
    for label, override in errors.overrides.items():
        answer = base.answer(CATALOGUE[label])
        overrides[label] = Answer(
            answer.code if override.code is None else override.code,
            answer.status if override.status is None else override.status,
            answer.message if override.message is None else override.message,
        )
    return ErrorSettings(errors.generation, errors.reveal, overrides)
