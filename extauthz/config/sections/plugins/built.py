"""The plug-ins of a file by name, and which of them an API or a group lists."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field

from extauthz.config.findings import Findings
from extauthz.config.problems import KeyPath
from extauthz.config.sections.plugins.ip_control import IpControlEntry, build_ip_control
from extauthz.config.sections.plugins.jwt import JwtEntry, build_jwt
from extauthz.domain.ip import IpControl
from extauthz.domain.tokens.jwt import JwtPlugin

Plugin = Annotated[JwtEntry | IpControlEntry, Field(discriminator="type")]


class Listed(NamedTuple):
    """The plug-ins that one API or group lists: at most one of each type."""

    jwt: JwtPlugin | None
    ip_control: IpControl | None


@dataclass(slots=True)
class Plugins:
    """The plug-ins of a file."""

    base: Path
    """The folder of the configuration file."""
    findings: Findings
    jwt: dict[str, JwtPlugin] = field(default_factory=dict)
    ip_control: dict[str, IpControl] = field(default_factory=dict)

    def add(self, index: int, entry: Plugin) -> None:
        """Build a plug-in; one with mistakes is left out after they are reported."""
        report, note = self.findings.reporter("plugins", index), self.findings.noter("plugins", index)
        if isinstance(entry, IpControlEntry):
            control = build_ip_control(entry, report)
            if control is not None:
                self.ip_control[entry.id] = control
                return
        else:
            jwt = build_jwt(entry, self.base, report, note)
            if jwt is not None:
                self.jwt[entry.id] = jwt
                return
        self.findings.leave_out("plugins", entry.id)

    def listed(self, place: KeyPath, names: list[str]) -> Listed:
        """The plug-ins that stand under `plugins` of the section at ``place``."""
        jwt: JwtPlugin | None = None
        ip_control: IpControl | None = None
        for position, name in enumerate(names):
            path = (*place, "plugins", position)
            if name in self.jwt:
                if jwt is not None:
                    self.findings.report(path, "a second JWT plug-in; an API takes one of each type")
                jwt = self.jwt[name]
            elif name in self.ip_control:
                if ip_control is not None:
                    self.findings.report(path, "a second IP control plug-in; an API takes one of each type")
                ip_control = self.ip_control[name]
            else:
                self.findings.missing("plugins", name, [*self.jwt, *self.ip_control], path, "plug-in")
        return Listed(jwt, ip_control)

    def check_apps(self, entries: Iterable[Plugin], apps: Collection[str]) -> None:
        """Report apps that IP control names and nobody knows: they would not be bound, and nobody would notice."""
        for index, entry in self.findings.placed("plugins", entries):
            if not isinstance(entry, IpControlEntry):
                continue
            for number, item in enumerate(entry.apps or ()):
                if item.app not in apps:
                    path = ("plugins", index, "apps", number, "app")
                    self.findings.missing("apps", item.app, apps, path, "app")
