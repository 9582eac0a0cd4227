"""Rules for secrets: where they stand, who may read them, and how well they withstand guessing."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from extauthz.config.files import secrets_of
from extauthz.config.problems import Warned
from extauthz.config.secrets import FromFile
from extauthz.lint.finding import Level, Rule, Spot, Subject, rule, warned

secret_inline = warned(
    Warned.SECRET_INLINE,
    Level.WARNING,
    why="A secret in the file is in every copy of it: repositories, backups, tickets, and cannot be rotated alone.",
    cure="write {file: PATH} (a mounted secret)",
)
secret_in_environment = warned(
    Warned.SECRET_IN_ENVIRONMENT,
    Level.NOTE,
    why="The environment of a running process never changes: a rotated secret needs a restart.",
    cure="write {file: PATH} for a secret that rotates",
)
secret_short = warned(
    Warned.SECRET_SHORT,
    Level.WARNING,
    why="A short secret may be found by trying, above all where its signatures are known.",
    cure="make a new one at random, such as by `openssl rand -hex 32`, and rotate by `previous`",
)


@rule(
    "secret-readable",
    Level.WARNING,
    why="Every user of this machine can read the file with the secret.",
    cure="chmod 0640, or 0600, and the group of whoever serves",
)
def secret_readable(subject: Subject) -> Iterator[Spot]:
    config = subject.config
    told: set[Path] = set()
    for path, secret in secrets_of(config.file):
        if isinstance(secret, FromFile):
            file = config.path.parent / secret.file
            if file not in told and _is_readable_by_all(file):
                told.add(file)
                yield Spot(path, f"everybody on this machine may read {secret.file}")
    if any(note.warned is Warned.SECRET_INLINE for note in config.notes) and _is_readable_by_all(config.path):
        yield Spot((), "everybody on this machine may read this file, and secrets stand in it")


def _is_readable_by_all(file: Path) -> bool:
    try:
        return bool(file.stat().st_mode & stat.S_IROTH)
    except OSError:  # where secrets are not looked for
        return False


@rule(
    "registry-unsealed",
    Level.WARNING,
    why="Whoever reads the database, or a backup of it, can sign as every app.",
    cure="name `master_keys` (`extauthz registry new-key` makes one), and seal with `extauthz registry reseal`",
)
def registry_unsealed(subject: Subject) -> Iterator[Spot]:
    registry = subject.config.file.registry
    if registry is not None and registry.unsealed:
        yield Spot(("registry", "unsealed"), "AppSecrets rest in clear")


RULES: Final[tuple[Rule, ...]] = (
    secret_inline,
    secret_in_environment,
    secret_short,
    secret_readable,
    registry_unsealed,
)
