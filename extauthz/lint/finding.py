"""What the lint says: a rule of the catalogue, and the place in the file, or in the registry, where it is broken."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from extauthz.config import ServiceConfig
from extauthz.config.problems import KeyPath, Warned
from extauthz.lint.registry_facts import RegistryFacts

DAY_MS = 86_400_000


class Level(StrEnum):
    """How much it hurts. The words are those of SARIF."""

    ERROR = "error"
    """The configuration cannot be served, or is open to whom it should not be."""
    WARNING = "warning"
    """Something does not do what it was written for, or soon will not."""
    NOTE = "note"
    """Worth knowing, and often meant."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is examined."""

    config: ServiceConfig
    now_ms: int
    """The moment at which it is judged, in milliseconds since 1970."""
    soon_ms: int
    """How far ahead an end is near, in milliseconds."""
    registry: RegistryFacts | None = None
    """None: there is none, or it was not asked."""

    def ends_soon(self, until_ms: int) -> bool:
        """Whether a moment is near, and not yet past."""
        return self.now_ms < until_ms <= self.now_ms + self.soon_ms


@dataclass(frozen=True, slots=True)
class Spot:
    """One place where a rule is broken."""

    path: KeyPath
    """In the configuration file; of what stands in the registry: ``("registry",)``."""
    detail: str
    """What was found there. Never a secret."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that the lint looks for."""

    id: str
    level: Level
    why: str
    cure: str
    examine: Callable[[Subject], Iterator[Spot]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule at one place."""

    rule: Rule
    file: str
    line: int
    """Counted from 1."""
    path: KeyPath
    detail: str


def rule(
    id: str,  # noqa: A002
    level: Level,
    *,
    why: str,
    cure: str,
) -> Callable[[Callable[[Subject], Iterator[Spot]]], Rule]:
    """Make a rule out of the function that finds the places where it is broken."""
    return lambda examine: Rule(id, level, why, cure, examine)


def warned(what: Warned, level: Level, *, why: str, cure: str) -> Rule:
    """A rule that is found while the file is read: `check-config` and `serve` tell of it too."""

    def examine(subject: Subject) -> Iterator[Spot]:
        return (Spot(note.path, note.message) for note in subject.config.notes if note.warned is what)

    return Rule(what.value, level, why, cure, examine)
