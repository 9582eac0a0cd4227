"""What a rehearsal found, by API and app: counts, reasons, a few examples. Bounded, however long the log is."""

from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from extauthz.rehearse.again import Again, Change
from extauthz.rehearse.recorded import Recorded

MOST_GROUPS: Final = 5_000
"""Of changes by API and app; what comes on top is counted together."""
EXAMPLES: Final = 3
OTHERS: Final = "(others)"


Key = TypeVar("Key", bound=Hashable)


def most_common(counts: Mapping[Key, float]) -> list[tuple[Key, float]]:
    """Counts, the largest first."""
    return sorted(counts.items(), key=lambda entry: -entry[1])


@dataclass(slots=True)
class Group:
    """Checks of one app to one API that change alike."""

    change: Change
    api: str
    app: str
    checks: float = 0
    """As many as there were: a line that stands for ten counts ten."""
    reasons: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))
    """How they ended, and how they would."""
    examples: list[Recorded] = field(default_factory=list)


class Tally:
    """Counts the checks of a rehearsal."""

    def __init__(self) -> None:
        self.lines = 0
        """That were read."""
        self.unreadable = 0
        """Lines that are none of a decision log."""
        self.checks = 0.0
        """As many as the lines stand for."""
        self.counts: dict[Change, float] = dict.fromkeys(Change, 0.0)
        self.unknown: dict[str, float] = defaultdict(float)
        """What cannot be known, by why."""
        self._groups: dict[tuple[Change, str, str], Group] = {}

    def add(self, recorded: Recorded, found: Again) -> None:
        """Count one check."""
        weight = 1 / recorded.share
        self.checks += weight
        self.counts[found.change] += weight
        if found.change is Change.SAME:
            return
        if found.change is Change.UNKNOWN:
            self.unknown[found.reason] += weight
            return
        key = (found.change, recorded.api or found.api, recorded.app)
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= MOST_GROUPS:
                key = (found.change, OTHERS, OTHERS)
            group = self._groups.setdefault(key, Group(*key))
        group.checks += weight
        group.reasons[recorded.reason, found.reason] += weight
        if len(group.examples) < EXAMPLES:
            group.examples.append(recorded)

    @property
    def changed(self) -> float:
        """Checks that would end otherwise."""
        return self.counts[Change.LOSES] + self.counts[Change.GAINS]

    def groups(self) -> list[Group]:
        """What changes: who loses first, the most first."""
        order = (Change.LOSES, Change.GAINS)
        return sorted(self._groups.values(), key=lambda one: (order.index(one.change), -one.checks, one.api, one.app))
