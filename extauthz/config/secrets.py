"""Secrets by value, from an environment variable, or from a file; and documents that may stand in a file."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from extauthz.config.names import written

MAX_FILE_BYTES = 1_048_576


class SecretUnresolved(Exception):
    """A secret that cannot be obtained. The message names where it was looked for, never a value."""


class FromEnvironment(BaseModel):
    """A secret in an environment variable, as it was when the process started: for one that rotates take a file.

    ```yaml
    env: WEB_SHOP_SECRET
    ```
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    env: Annotated[str, *written(r"[A-Za-z_][A-Za-z0-9_.-]*", "the name of an environment variable, without `$`")] = (
        Field(description="name of the environment variable")
    )


class FromFile(BaseModel):
    """A secret or document in a file, relative to the configuration file; one trailing line feed is dropped.

    ```yaml
    file: secrets/web-shop
    ```
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    file: Path = Field(description="path of the file, relative to the configuration file")


Secret = SecretStr | FromEnvironment | FromFile


def resolve(secret: Secret, base: Path) -> str:
    """The value of a secret. ``base`` is the folder of the configuration file. Raises SecretUnresolved."""
    if isinstance(secret, SecretStr):
        value, place = secret.get_secret_value(), "the value"
    elif isinstance(secret, FromEnvironment):
        value, place = os.environ.get(secret.env, ""), f"environment variable {secret.env}"
        if secret.env not in os.environ:
            raise SecretUnresolved(f"{place} is not set; export it before the start or name another one")
    else:
        value, place = read_file(secret.file, base), f"file {secret.file}"
    if not value:
        raise SecretUnresolved(f"{place} is empty; a secret needs at least one character")
    return value


def read_file(file: Path, base: Path) -> str:
    """A small text file. Raises SecretUnresolved."""
    try:
        with (base / file).open("rb") as opened:
            content = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SecretUnresolved(f"file {file} cannot be read: {error.strerror}{_cure(error, base / file)}") from None
    if len(content) > MAX_FILE_BYTES:
        raise SecretUnresolved(f"file {file} is larger than {MAX_FILE_BYTES} bytes")
    try:
        return content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise SecretUnresolved(f"file {file} is not UTF-8 text") from None


def _cure(error: OSError, file: Path) -> str:
    if isinstance(error, FileNotFoundError):
        if any(part.startswith(("~", "$", "%", "{")) for part in file.parts):
            return "; write the path itself: `~` and variables are not replaced"
        return f"; create {file}, or correct the path"
    if isinstance(error, IsADirectoryError):
        return "; write the path of a file in it"
    if isinstance(error, PermissionError):
        return f"; let the user who runs this (id {os.geteuid()}) read it and enter its folders"
    return ""
