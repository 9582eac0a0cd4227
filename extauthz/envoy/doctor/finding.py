"""What the doctor says: a rule of the catalogue, and the place in the file where it is broken."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from extauthz.envoy.doctor.material import Material, Platform
from extauthz.envoy.doctor.service import ServiceFacts
from extauthz.envoy.doctor.tree import Path


class Severity(StrEnum):
    """How much it hurts."""

    ERROR = "error"
    """Requests pass unchecked, or good ones cannot pass."""
    WARNING = "warning"
    """Fine until a restart, a slow answer, an unusual client or an attacker comes."""
    NOTE = "note"
    """Worth knowing; nothing is open and nobody who is asked for help has to change it."""


@dataclass(frozen=True, slots=True)
class Spot:
    """One place where a rule is broken."""

    path: Path
    detail: str = ""
    """What was found there, where the path alone does not say it."""
    platform: Platform = Platform.ENVOY
    """Who wrote this part: a control plane has cures, and habits, of its own."""
    severity: Severity | None = None
    """How much it hurts here, where that is not what the rule says."""


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
    cures: Mapping[Platform, str] = field(default_factory=dict, hash=False)
    """What to write instead where a control plane writes Envoy's configuration."""
    generated: Severity | None = None
    """How much it hurts in configuration that a control plane wrote, where that is less."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule at one place."""

    rule: Rule
    spot: Spot

    @property
    def severity(self) -> Severity:
        """How much it hurts at this place."""
        if self.spot.severity is not None:
            return self.spot.severity
        if self.rule.generated is not None and self.spot.platform is not Platform.ENVOY:
            return self.rule.generated
        return self.rule.severity

    @property
    def instead(self) -> str:
        """The cure, in the words of whoever wrote this part."""
        return self.rule.cures.get(self.spot.platform, self.rule.instead)


def rule(
    id: str,  # noqa: A002
    severity: Severity,
    *,
    why: str,
    instead: str,
    cures: Mapping[Platform, str] | None = None,
    generated: Severity | None = None,
) -> Callable[[Examine], Rule]:
    """Make a rule out of the function that finds the places where it is broken."""
    return lambda examine: Rule(id, severity, why, instead, examine, cures or {}, generated)
