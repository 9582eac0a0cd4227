"""Lanes: what is compared runs side by side in short turns, A B C A B C, so that the machine's moods hit all alike."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.load import Round


@dataclass(frozen=True, slots=True)
class Lane:
    """One thing to measure."""

    name: str
    run: Callable[[], Round]
    baseline: str = ""
    """The lane, in the same turns, that this one is a share of."""
    group: str = ""
    """The table of the report in which it stands."""
    words: str = ""
    """What it is, in words."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What the report says about it: transport, method, apps, and so on."""
    rss_mib: Callable[[], float] | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The turns of one lane."""

    lane: Lane
    rounds: list[Round]
    rss_mib: float | None

    def median(self, what: str) -> float:
        """The median of a number of ``Round`` over the turns."""
        numbers: list[float] = [getattr(one, what) for one in self.rounds]
        return statistics.median(numbers)

    def share_of(self, other: "Result") -> float:
        """Throughput relative to another lane's: the median of the turns' own ratios."""
        return statistics.median(
            mine.rate / theirs.rate for mine, theirs in zip(self.rounds, other.rounds, strict=True)
        )

    def times_p99(self, other: "Result") -> float:
        """Its p99 relative to another lane's: the median of the turns' own ratios."""
        return statistics.median(
            mine.p99_us / theirs.p99_us for mine, theirs in zip(self.rounds, other.rounds, strict=True)
        )

    def apart(self, what: str) -> float:
        """The median of a number that only this kind of lane has."""
        return statistics.median(one.apart[what] for one in self.rounds)

    def share_of_by_cpu(self, other: "Result") -> float:
        """The same by processor time of the server for one answer, which a slow load generator cannot flatter."""
        return other.median("cpu_us") / max(self.median("cpu_us"), 1e-9)


def run_lanes(lanes: Sequence[Lane], turns: int, say: Callable[[str], None]) -> dict[str, Result]:
    """Run every lane once a turn. Raises NoResult when a lane's answers are not what they should be."""
    rounds: dict[str, list[Round]] = {lane.name: [] for lane in lanes}
    for turn in range(turns):
        say(f"turn {turn + 1} of {turns}: {', '.join(rounds)}")
        # Every other turn backwards, so that no lane always follows the same neighbour.
        for lane in lanes if turn % 2 == 0 else reversed(lanes):
            rounds[lane.name].append(lane.run())
    return {lane.name: Result(lane, rounds[lane.name], lane.rss_mib() if lane.rss_mib else None) for lane in lanes}
