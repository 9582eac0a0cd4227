"""The section `registry`: the database of apps and grants, and the master keys that seal its secrets."""

import base64
import binascii
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from extauthz.config.names import Section
from extauthz.config.problems import KeyPath
from extauthz.config.secrets import Secret, SecretUnresolved, resolve

MASTER_KEY_BYTES: Final = 32


class ReplicaFolder(Section):
    """What this host keeps of the registry, so that a check never waits for the database.

    ```yaml
    folder: /var/lib/extauthz/replica
    ```
    """

    folder: Path | None = Field(
        None,
        description="by default `registry-replica` under $STATE_DIRECTORY (systemd sets it), else beside this file",
    )


class Registry(Section):
    """Apps, keys and grants in a database, changed while the service runs.

    ```yaml
    database: {file: database-url}
    master_keys: {file: master-keys}
    unsealed: false
    poll: 0.25
    replica: {folder: /var/lib/extauthz/replica}
    ```
    """

    database: Secret = Field(
        description="sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME; by value, {env: NAME} or {file: PATH}"
    )
    master_keys: Secret | None = Field(
        None, description="seal the AppSecrets: one a line, newest first; `extauthz registry new-key` makes one"
    )
    unsealed: bool = Field(False, description="AppSecrets may rest in clear; without it, master_keys are required")
    poll: Annotated[timedelta, Field(ge=timedelta(milliseconds=50), le=timedelta(minutes=1))] = Field(
        timedelta(milliseconds=250), description="how often the registry is asked for changes"
    )
    replica: ReplicaFolder = Field(ReplicaFolder(), description="what this host keeps of it")


@dataclass(frozen=True, slots=True)
class RegistryAccess:
    """What opens a registry."""

    url: str = field(repr=False)
    master_keys: tuple[bytes, ...] = field(repr=False)
    """Newest first; empty: secrets rest unsealed."""
    poll_s: float
    replica: Path
    """The folder of this host's replica."""


def registry_access(section: Registry, base: Path) -> RegistryAccess:
    """The section with its secrets. ``base`` is the folder of the configuration file. Raises SecretUnresolved."""
    keys = () if section.master_keys is None else _master_keys(resolve(section.master_keys, base))
    url = resolve(section.database, base)
    if url.startswith("sqlite:///") and not url.startswith("sqlite:////"):
        url = f"sqlite:///{(base / url.removeprefix('sqlite:///')).resolve()}"
    state = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    folder = section.replica.folder or Path(state) / "registry-replica"
    return RegistryAccess(url, keys, section.poll.total_seconds(), base / folder)


def check_registry(section: Registry | None, base: Path, report: Callable[[KeyPath, str], None]) -> None:
    """Report what is wrong with the section. ``base`` is the folder of the configuration file."""
    if section is None:
        return
    if (section.master_keys is None) != section.unsealed:
        message = (
            "`master_keys` seal the secrets that `unsealed` leaves in clear; keep one of the two"
            if section.unsealed
            else "AppSecrets would rest in clear; name `master_keys` (`extauthz registry new-key` makes one), "
            "or say `unsealed: true`"
        )
        report(("registry",), message)
    for key in ("database", "master_keys"):
        secret = getattr(section, key)
        if secret is None:
            continue
        try:
            value = resolve(secret, base)
            if key == "master_keys":
                _master_keys(value)
            elif not value.startswith(("sqlite:///", "postgresql://")):
                report(("registry", key), "must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME")
        except SecretUnresolved as error:
            report(("registry", key), str(error))


def _master_keys(text: str) -> tuple[bytes, ...]:
    """Keys from text, one a line. Raises SecretUnresolved, which names the line and never what stands on it."""
    keys = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            key = base64.b64decode(line.strip(), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != MASTER_KEY_BYTES:
            raise SecretUnresolved(
                f"line {number} is not a master key, which is {MASTER_KEY_BYTES} bytes in base64; "
                "`extauthz registry new-key` makes one"
            )
        keys.append(key)
    if not keys:
        raise SecretUnresolved("no master key is given; `extauthz registry new-key` makes one")
    return tuple(keys)
