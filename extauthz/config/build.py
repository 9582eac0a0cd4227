"""From the validated file to the snapshot: references resolved, secrets read, every mistake collected."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from extauthz.config.exposure import warn_of_secrets
from extauthz.config.files import files_of, named_outside_apps, secrets_of
from extauthz.config.findings import Findings
from extauthz.config.problems import ConfigError, KeyPath, Problem
from extauthz.config.revision import directory_revision, gateway_revision
from extauthz.config.schema import ConfigFile
from extauthz.config.secrets import SecretUnresolved, resolve
from extauthz.config.sections.admin import check_admin
from extauthz.config.sections.apis.built import Apis
from extauthz.config.sections.apps.app import Apps
from extauthz.config.sections.capture import check_capture
from extauthz.config.sections.decision_log import check_decision_log
from extauthz.config.sections.digest import Digest, never_signed
from extauthz.config.sections.errors import check_errors, error_settings
from extauthz.config.sections.grants import add_grants
from extauthz.config.sections.groups.group import BuiltGroup, SharedDomains, build_group
from extauthz.config.sections.identity_headers import check_identity_headers
from extauthz.config.sections.listen.listener import check_listeners
from extauthz.config.sections.plugins.built import Plugins
from extauthz.config.sections.registry import check_registry
from extauthz.config.sections.replay.redis import warn_of_plain_redis
from extauthz.config.sections.replay.store import check_replay
from extauthz.config.sections.shadow import build_shadow
from extauthz.config.sections.tracing import check_tracing, warn_of_tracing
from extauthz.config.source import Source, Text
from extauthz.config.validate import Validated, combined, validate
from extauthz.domain.clock import wall_clock_ms
from extauthz.domain.settings import Settings
from extauthz.domain.shadow import Shadow
from extauthz.domain.snapshot import Snapshot
from extauthz.domain.snapshot.directory import Directory, DirectoryBuilder
from extauthz.domain.snapshot.gateway import Gateway, build_gateway
from extauthz.pauses import release


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """What a configuration file says: how the process runs, and the snapshot it serves."""

    file: ConfigFile
    snapshot: Snapshot
    path: Path
    """Where the file was read; the paths that it names are relative to its folder."""
    texts: tuple[Text, ...] = field(repr=False)
    """What stood in the file, and in each that it includes."""
    notes: tuple[Problem, ...] = ()
    """What is no mistake, but its author should know."""
    named_files: frozenset[Path] = frozenset()
    """Which files it is made of: a change in any of them can change what it means. Absolute paths."""

    def lists(self) -> list[list[Any]]:
        """What it has a lot of: whoever replaced it, and is the last to hold it, lets go of it in steps (``release``).

        Those of the snapshot are copies, for a check may still be decided by it.
        """
        file, pieces = self.file, [piece for text in self.texts for piece in text]
        return [file.apps, file.grants, file.apis, self.snapshot.directory.parts(), pieces]


def load(
    path: Path,
    now_ms: Callable[[], int] = wall_clock_ms,
    texts: tuple[Text, ...] = (),
    *,
    without_secrets: bool = False,
) -> ServiceConfig:
    """Read, validate and build. Raises ConfigError with every mistake that was found, not only the first.

    ``texts`` stand in for the content of the file and of those that it includes, which are then not read; its other
    neighbours still are.
    ``without_secrets``: secrets and certificates that stand outside the file may be missing, and so are their keys and
    codes in the snapshot, which is then for looking at only.
    """
    source = Source(path, texts)
    try:
        return _load(source, path, now_ms(), without_secrets)
    finally:
        source.release()


def _load(source: Source, path: Path, now_ms: int, without_secrets: bool) -> ServiceConfig:
    validated = validate(source)
    findings = Findings(source, validated.position, validated.broken_ids)
    builder = _Builder(validated, path.parent, now_ms, findings)
    file = validated.file
    try:
        builder.build()
        skipped = _outside(validated) if without_secrets else frozenset[KeyPath]()
        problems = [one for one in combined(validated.problems, findings.problems) if one.path not in skipped]
        notes = tuple(
            sorted((one for one in findings.notes if one.path not in skipped), key=lambda note: (note.file, note.line))
        )
        if problems:
            raise ConfigError(problems, notes)
        return ServiceConfig(file, builder.snapshot(), path, source.texts, notes, files_of(file, path))
    except BaseException:
        release(file.apps, file.grants, file.apis)
        raise
    finally:
        builder.release()


def _outside(validated: Validated) -> frozenset[KeyPath]:
    """The places of secrets and certificates that stand outside the file."""
    secrets = {path for path, secret in secrets_of(validated.file) if not isinstance(secret, SecretStr)}
    certificates = {("listen", index, "tls") for index in range(len(validated.file.listen))}
    return frozenset({validated.place(path) for path in secrets} | certificates)


class _Builder:
    """Leads from section to section, in the order in which they refer to each other."""

    def __init__(self, validated: Validated, base: Path, now_ms: int, findings: Findings) -> None:
        """``base`` is the folder of the configuration file, ``now_ms`` the time at which it is read."""
        self._file = validated.file
        self._place = validated.place
        self._base = base
        self._now_ms = now_ms
        self._findings = findings
        self._plugins = Plugins(base, findings)
        self._groups: dict[str, BuiltGroup] = {}
        self._apis = Apis(self._groups, self._plugins, self._file.digest, self._file.strip_credentials, findings)
        self._directory = DirectoryBuilder()
        self._shadow: Shadow | None = None
        self._apps = Apps(base, now_ms, self._directory, findings)

    def build(self) -> None:
        """Build what the snapshot is made of, and check the rest."""
        file, findings = self._file, self._findings
        for index, plugin in findings.unique("plugins", file.plugins):
            self._plugins.add(index, plugin)
        self._build_groups()
        for index, api in findings.unique("apis", file.apis):
            self._apis.add(index, api)
        for index, app in findings.placed("apps", file.apps):
            self._apps.add(index, app)
        if file.registry is None:  # else the app may be one of the registry
            self._plugins.check_apps(file.plugins, self._directory.apps)
        for index, grant in findings.placed("grants", file.grants):
            add_grants(index, grant, self._apis.by_id, self._directory, self._now_ms, findings)
        known = self._directory.apps if file.registry is None else None
        self._shadow = build_shadow(file.shadow, self._apis.by_id, known, self._now_ms, findings)
        self._check()
        self._warn()

    def release(self) -> None:
        """Let go of everything in steps: it is of no use any more."""
        self._apps.release()
        release(*self._directory.parts())

    def snapshot(self) -> Snapshot:
        """The snapshot of a file without mistakes."""
        return Snapshot(self._gateway(), self._built_directory())

    def _build_groups(self) -> None:
        shared = SharedDomains()
        for index, group in self._findings.unique("groups", self._file.groups):
            report = self._findings.reporter("groups", index)
            built = build_group(group, report)
            shared.add(built, report)
            self._groups[group.id] = BuiltGroup(built, group, *self._plugins.listed(("groups", index), group.plugins))

    def _check(self) -> None:
        file, report = self._file, self._findings.report
        check_errors(file.errors, report)
        check_replay(file.replay, self._stated_windows(), self._base, report)
        takes = "`operations`" if "operations" in file.model_fields_set else "`operations` by default"
        check_listeners(file.listen, (file.operations, takes), file.transport, self._base, report)
        check_decision_log(file.decision_log, report)
        check_registry(file.registry, self._base, report)
        check_capture(file.capture, self._base, report)
        others = [(file.operations, "`operations`"), *((one.address, "a listener") for one in file.listen)]
        stated = "admin" in file.model_fields_set
        check_admin(file.admin, stated, file.registry is not None, others, self._base, report)
        if file.tracing is not None:
            check_tracing(file.tracing, self._base, report)
        check_identity_headers(file.identity_headers, self._plugins.jwt.values(), report)
        for position, fault in never_signed(file.digest.require_signed):
            report(("digest", "require_signed", position), fault)

    def _warn(self) -> None:
        file, note = self._file, self._findings.note
        if file.tracing is not None:
            warn_of_tracing(file.tracing, note)
        if file.replay.redis is not None:
            warn_of_plain_redis(file.replay.redis, self._base, note)
        warn_of_secrets(file, lambda what, path, message: note(what, self._place(path), message))

    def _stated_windows(self) -> Iterator[tuple[KeyPath, Digest]]:
        yield ("digest",), self._file.digest
        for index, api in self._findings.placed("apis", self._file.apis):
            if "window" in api.digest.model_fields_set:
                yield ("apis", index, "digest"), api.digest

    def _gateway(self) -> Gateway:
        file, apis = self._file, self._apis.by_id.values()
        return build_gateway(
            revision=gateway_revision(file, self._gateway_secrets()),
            built_at_ms=self._now_ms,
            settings=Settings(
                errors=error_settings(file.errors),
                identity_headers=tuple((name.lower(), fact) for name, fact in file.identity_headers.items()),
                port_networks=dict(file.port_networks),
                longest_window_ms=int(file.replay.longest_window.total_seconds() * 1000),
                trust_external_address=file.client_address.source != "peer",
                max_form_bytes=file.limits.form_mebibytes << 20,
                reads_envoy_claims=any(api.jwt is not None and api.jwt.envoy_payload is not None for api in apis),
            ),
            apis=apis,
            shadow=self._shadow,
        )

    def _built_directory(self) -> Directory:
        return self._directory.build(directory_revision(self._file, self._apps.credentials()))

    def _gateway_secrets(self) -> Iterator[bytes]:
        """Every other secret and document that the file means, wherever it stands."""
        for named in named_outside_apps(self._file):
            with suppress(SecretUnresolved):  # only where secrets are not looked for
                yield resolve(named, self._base).encode()
