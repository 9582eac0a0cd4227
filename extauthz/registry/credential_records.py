"""What is told of credentials: a record never holds a secret, and what is new is shown once."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key pair as the registry tells of it: never with its secrets."""

    app_key: str
    app: str
    is_default: bool
    created: str
    rotated: str | None
    previous_until: str | None
    """Until when the secret before the last rotation is valid too; None: there is none."""
    last_used: str | None = None
    previous_last_used: str | None = None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key pair with its secret, shown once."""

    key: KeyRecord
    app_secret: str

    def __repr__(self) -> str:
        return f"NewKey(key={self.key!r})"


@dataclass(frozen=True, slots=True)
class CodeRecord:
    """An AppCode as the registry tells of it: by an id and its last four characters."""

    id: str
    app: str
    hint: str
    created: str
    last_used: str | None = None


@dataclass(frozen=True, slots=True)
class NewCode:
    """An AppCode in clear, shown once."""

    code: CodeRecord
    app_code: str

    def __repr__(self) -> str:
        return f"NewCode(code={self.code!r})"
