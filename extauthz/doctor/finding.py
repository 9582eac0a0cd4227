"""What the doctor says: a rule of the catalogue, and the place in the file where it is broken."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from extauthz.doctor.material import Material, Path
from extauthz.doctor.service import ServiceFacts


class Severity(StrEnum):
    """How much it hurts."""

    ERROR = "error"
    """Requests pass unchecked, or good ones cannot pass."""
    WARNING = "warning"
    """Fine until a restart, a slow answer, an unusual client or an attacker comes."""


@dataclass(frozen=True, slots=True)
class Spot:
    """One place where a rule is broken."""

    path: Path
    detail: str = ""
    """What was found there, where the path alone does not say it."""


Examine = Callable[[Material, ServiceFacts], Iterator[Spot]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that the doctor looks for."""

    id: str
    severity: Severity
    why: str
    instead: str
    """What to write instead, in Envoy's own field names."""
    examine: Examine


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule at one place."""

    rule: Rule
    spot: Spot


def rule(id: str, severity: Severity, *, why: str, instead: str) -> Callable[[Examine], Rule]:  # noqa: A002
    """Make a rule out of the function that finds the places where it is broken."""
    return lambda examine: Rule(id, severity, why, instead, examine)
