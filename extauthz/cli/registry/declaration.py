"""``extauthz registry apply`` and ``export``: the registry from and to a file that stands under version control."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer
import yaml

from extauthz.cli.reading import print_problems
from extauthz.cli.registry.access import ConfigOption, JsonOption, YesOption, at_the_database, confirm, show
from extauthz.config import ConfigError, Problem
from extauthz.config.problems import KeyPath
from extauthz.config.registry.declared import RegistryApp, RegistryFile, RegistryKey, read_registry_file
from extauthz.config.secrets import Secret, SecretUnresolved, resolve
from extauthz.config.source import Source
from extauthz.registry.declared import apply as service
from extauthz.registry.declared.export import export as write_out
from extauthz.registry.declared.values import (
    Declared,
    DeclaredApi,
    DeclaredApp,
    DeclaredGrant,
    DeclaredKey,
    DeclaredOwner,
    Undeclarable,
)
from extauthz.registry.text import NAME_LENGTH, utc_text


def apply(
    file: Path = typer.Argument(..., help="YAML with `owners`, `apis`, `apps` and `grants`; see docs/registry.md."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Show what would change, and change nothing."),
    prune: bool = typer.Option(
        False, "--prune", help="Delete what the file's sections do not name; else it is shown as `keep`."
    ),
    config: Path = ConfigOption,
    yes: bool = YesOption,
    as_json: bool = JsonOption,
) -> None:
    """Make the registry what a file says, in one transaction: all of it or nothing."""
    try:
        declared, source = _read(file)
        with at_the_database(config) as desk:
            try:
                changes = service.apply(desk.store, desk.vault, desk.actor, declared, prune=prune, dry_run=True)
                show(changes, as_json, empty="nothing to change")
                if dry_run or not any(change.action in ("create", "change", "delete") for change in changes):
                    return
                doomed = sum(change.action == "delete" for change in changes)
                if doomed:
                    confirm(f"Delete {doomed} of these?", yes)
                done = service.apply(desk.store, desk.vault, desk.actor, declared, prune=prune)
            except Undeclarable as error:
                raise ConfigError([source.problem(place, message) for place, message in error.faults]) from None
            if done != changes and not as_json:
                typer.echo("somebody changed the registry meanwhile; this was done:", err=True)
                show(done, as_json)
            typer.echo("applied", err=True)
    except ConfigError as error:
        print_problems(file, error)
        raise typer.Exit(1) from None


def export(
    output: Path | None = typer.Option(None, "--output", "-o", help="The file to write; by default standard output."),
    secrets: Path | None = typer.Option(
        None, help="A folder for AppSecrets, a file each, which the audit trail records; without it they stay inside."
    ),
    config: Path = ConfigOption,
) -> None:
    """Write owners, APIs, apps and grants as a file that `extauthz registry apply` reads.

    AppCodes are left out: only hashes of them are kept.
    """
    with at_the_database(config) as desk, desk.store.changing() as tx:
        declared, codes = write_out(tx, desk.vault, desk.actor, with_secrets=secrets is not None)
        files = _SecretFiles(secrets or Path(), Path.cwd() if output is None else output.parent)
        text = yaml.safe_dump(_document(declared, files), sort_keys=False, allow_unicode=True, width=120)
        if output is None:
            typer.echo(text, nl=False)
        else:
            output.write_text(text)
    if codes:
        typer.echo(f"{codes} AppCode{'s' if codes > 1 else ''} left out: only hashes of them are kept", err=True)


def _read(file: Path) -> tuple[Declared, Source]:
    """What a file declares, its secrets looked up. Raises ConfigError."""
    written, source = read_registry_file(file)
    reader = _Reader(source, file.parent)
    declared = reader.declared(written)
    if reader.problems:
        raise ConfigError(reader.problems)
    return declared, source


@dataclass
class _Reader:
    source: Source
    base: Path
    problems: list[Problem] = field(default_factory=list)

    def declared(self, file: RegistryFile) -> Declared:
        return Declared(
            None if file.owners is None else tuple(DeclaredOwner(one.id, one.description) for one in file.owners),
            None if file.apis is None else tuple(
                DeclaredApi(one.id, one.owner, one.group, tuple(one.stages), one.self_grant) for one in file.apis
            ),
            None if file.apps is None else tuple(self._app(app, ("apps", n)) for n, app in enumerate(file.apps)),
            None if file.grants is None else tuple(
                DeclaredGrant(
                    grant.app, api, stage, None if grant.until is None else int(grant.until.timestamp() * 1000),
                    grant.description, ("grants", number, "apis", position),
                )
                for number, grant in enumerate(file.grants)
                for position, api in enumerate(grant.apis)
                for stage in grant.stages
            ),
        )  # fmt: skip

    def _app(self, app: RegistryApp, place: KeyPath) -> DeclaredApp:
        keys = codes = None
        if app.keys is not None:
            keys = tuple(self._key(key, (*place, "keys", number)) for number, key in enumerate(app.keys))
        if app.app_codes is not None:
            codes = tuple(
                self._secret(code, (*place, "app_codes", number)) or "" for number, code in enumerate(app.app_codes)
            )
        name = app.name if app.name is not None else app.id[: NAME_LENGTH[1]].ljust(NAME_LENGTH[0], "-")
        return DeclaredApp(app.id, app.owner, name, app.description, app.disabled, keys, codes)

    def _key(self, key: RegistryKey, place: KeyPath) -> DeclaredKey:
        secret = self._secret(key.app_secret, (*place, "app_secret"))
        if key.previous is None:
            return DeclaredKey(key.app_key, secret)
        if key.app_secret is None:
            self.problems.append(self.source.problem((*place, "previous"), "needs `app_secret` beside it; add that"))
        previous = self._secret(key.previous.secret, (*place, "previous", "secret"))
        return DeclaredKey(key.app_key, secret, previous, int(key.previous.until.timestamp() * 1000))

    def _secret(self, secret: Secret | None, place: KeyPath) -> str | None:
        if secret is None:
            return None
        try:
            return resolve(secret, self.base)
        except SecretUnresolved as error:
            self.problems.append(self.source.problem(place, str(error)))
            return None


class _SecretFiles:
    """Writes secrets to files that only the user may read, and says how the document names them."""

    def __init__(self, folder: Path, base: Path) -> None:
        self._folder = folder
        self._base = base

    def named(self, name: str, secret: str) -> dict[str, str]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._folder / name
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as opened:
            opened.write(secret)
        return {"file": os.path.relpath(file, self._base)}


def _document(declared: Declared, files: _SecretFiles) -> dict[str, Any]:
    return {
        "owners": [_without_defaults({"id": one.id, "description": one.description}) for one in declared.owners or ()],
        "apis": [
            _without_defaults({
                "id": one.id, "owner": one.owner, "group": one.group, "stages": list(one.stages),
                "self_grant": one.self_grant,
            })
            for one in declared.apis or ()
        ],
        "apps": [
            _without_defaults({
                "id": one.id, "owner": one.owner, "name": one.name, "description": one.description,
                "disabled": one.disabled, "keys": [_key(key, files) for key in one.keys or ()],
            })
            for one in declared.apps or ()
        ],
        "grants": [
            _without_defaults({
                "app": one.app, "apis": [one.api], "stages": [one.stage], "until": utc_text(one.until_ms),
                "description": one.description,
            })
            for one in declared.grants or ()
        ],
    }  # fmt: skip


def _key(key: DeclaredKey, files: _SecretFiles) -> dict[str, Any]:
    told: dict[str, Any] = {"app_key": key.app_key}
    if key.secret is not None:
        told["app_secret"] = files.named(key.app_key, key.secret)
    if key.previous is not None:
        previous = files.named(f"{key.app_key}.previous", key.previous)
        told["previous"] = {"secret": previous, "until": utc_text(key.previous_until_ms)}
    return told


def _without_defaults(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if value not in ("", None, False, [])}
