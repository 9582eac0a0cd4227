"""What a file declares of the registry. None stands for what it leaves open; places are key paths in the file."""

from dataclasses import dataclass, field

Place = tuple[str | int, ...]
"""Of an entry in the file, such as ``("apps", 0)``."""


@dataclass(frozen=True, slots=True)
class DeclaredOwner:
    """An account."""

    id: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class DeclaredApi:
    """An API that can be granted."""

    id: str
    owner: str
    group: str
    stages: tuple[str, ...]
    self_grant: bool


@dataclass(frozen=True, slots=True)
class DeclaredKey:
    """A key pair. A secret of None: whatever the registry has, or a fresh one that only it knows."""

    app_key: str
    secret: str | None = field(default=None, repr=False)
    previous: str | None = field(default=None, repr=False)
    previous_until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class DeclaredApp:
    """An app and its credentials."""

    id: str
    owner: str
    name: str
    description: str = ""
    disabled: bool = False
    keys: tuple[DeclaredKey, ...] | None = None
    codes: tuple[str, ...] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class DeclaredGrant:
    """The right of an app to call an API in a stage. ``place`` is where it stands in the file."""

    app: str
    api: str
    stage: str
    until_ms: int | None
    description: str
    place: Place


@dataclass(frozen=True, slots=True)
class Declared:
    """A whole file. A section that is None is not in it."""

    owners: tuple[DeclaredOwner, ...] | None = None
    apis: tuple[DeclaredApi, ...] | None = None
    apps: tuple[DeclaredApp, ...] | None = None
    grants: tuple[DeclaredGrant, ...] | None = None

    def named_owners(self) -> list[str]:
        """Whom its APIs and apps belong to."""
        return [*(api.owner for api in self.apis or ()), *(app.owner for app in self.apps or ())]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between the file and the registry."""

    action: str
    """``create``, ``change``, ``delete``; or ``keep``, which is in the registry alone and stays, and ``skip``."""
    kind: str
    name: str
    what: str = ""


class Undeclarable(Exception):
    """What a file declares cannot be made true; nothing was changed. Carries every place and why."""

    def __init__(self, faults: list[tuple[Place, str]]) -> None:
        super().__init__("; ".join(message for _, message in faults))
        self.faults = faults
