"""A file that declares what the registry holds: apps and grants as in the configuration file, and whose they are."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from extauthz.config.names import Id, Section
from extauthz.config.problems import ConfigError
from extauthz.config.secrets import Secret
from extauthz.config.sections.apps.app import PreviousSecret
from extauthz.config.sections.grants import GrantEntry
from extauthz.config.source import Source
from extauthz.config.text import find_stray
from extauthz.config.validate import combined, shape_problems
from extauthz.domain.request import Stage


class RegistryOwner(Section):
    """An account that apps and APIs belong to."""

    id: Id
    description: str = ""


class RegistryApi(Section):
    """An API of the configuration file, as it can be granted."""

    id: Id
    owner: Id = Field(description="the account that provides it, and may grant it")
    group: str = ""
    stages: Annotated[list[Stage], Field(min_length=1)] = Field(default=[Stage.RELEASE])
    self_grant: bool = Field(False, description="consumers may grant it to their own apps")


class RegistryKey(Section):
    """An AppKey; without `app_secret` the registry keeps, or makes, the AppSecret."""

    app_key: str
    app_secret: Secret | None = None
    previous: PreviousSecret | None = Field(None, description="accepted beside `app_secret` until it ends")


class RegistryApp(Section):
    """An app and its credentials; without `keys` or `app_codes` those that it has stay as they are."""

    id: Id
    owner: Id
    name: str | None = Field(None, description="4 to 26 characters; by default the id")
    description: str = ""
    disabled: bool = False
    keys: list[RegistryKey] | None = None
    app_codes: list[Secret] | None = None


class RegistryGrant(GrantEntry):
    """As in the configuration file; `granted_by` is whoever applies the file, whatever stands here."""

    description: str = ""


class RegistryFile(Section):
    """What `extauthz registry apply` reads. A section that is left out is not touched."""

    owners: list[RegistryOwner] | None = None
    apis: list[RegistryApi] | None = None
    apps: list[RegistryApp] | None = None
    grants: list[RegistryGrant] | None = None


def read_registry_file(path: Path) -> tuple[RegistryFile, Source]:
    """Read and check the shape of a file. Raises ConfigError with every mistake that was found."""
    source = Source(path, is_included=True)  # it includes no other
    if not isinstance(source.data, dict) or not source.data:
        raise ConfigError([source.problem((), "the file must have `owners:`, `apis:`, `apps:` or `grants:`")])
    stray = [source.problem(place, message) for place, message in find_stray(source.data)]
    try:
        file = RegistryFile.model_validate(source.data)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        raise ConfigError(combined(stray, shape_problems(source, RegistryFile, details))) from None
    if stray:
        raise ConfigError(stray)
    return file, source
