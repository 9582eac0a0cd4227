"""What an unauthenticated caller can make a check cost: a search for the worst, not a list of what came to mind.

``python -m bench.worst`` (``make limits``) searches by processor time, for the seconds that it is given, and prints the
dearest requests that it found. ``worst_work`` searches a little by counted work, the same on every machine: CI holds
that to WORK_LIMIT. Hypothesis puts requests together (``bench.hostile``) and climbs towards what costs more.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from hypothesis import HealthCheck, Phase, example, given, seed, settings, target

from bench.hostile import HOSTILE, NOW_MS, TOKENS, Filling, Hostile, hostile_snapshot
from bench.work import work_of
from extauthz.domain.decision import Decision, Deny
from extauthz.replay.memory import MemoryReplayStore
from extauthz.wire.checked import Checked
from extauthz.wire.servicer import Servicer

LIMIT_US: Final = 20_000
"""No refusal may cost more, in microseconds: one check holds up all others of its process."""
WORK_LIMIT: Final = 100_000_000.0
"""The same in counted work. The model is coarse: what takes 20 ms counts for 30 to 100 million."""
_ROUND: Final = 300
_KEPT: Final = 20
_TOLD: Final = 6
_SURE: Final = 7


def _hostile(route: str, **parts: Any) -> Hostile:
    nothing: dict[str, Any] = {
        "path": None, "query": None, "cookie": None, "listed": None, "wide": None, "copies": 1, "authorization": None,
        "is_form": False, "body": None, "signs": True,
    }  # fmt: skip
    return Hostile(route, **{**nothing, **parts})


def _filled(
    *units: bytes, piece: int = 1 << 21, pair: bool = False, numbered: bool = False, share: float = 1.0
) -> Filling:
    return Filling(units, piece, b"&", pair, numbered, share)


PLAIN: Final = _hostile("orders")
"""A plain refusal, for comparison."""
FOUND: Final = {
    "a header listed in 580 spellings": _hostile("orders", listed="spellings", wide=_filled(b"a")),
    "form in pieces of 127 bytes, full of escapes": _hostile(
        "orders", is_form=True, body=_filled(b"%41", piece=252, pair=True, share=0.6)
    ),
    "form of escapes, the last one broken": _hostile("orders", is_form=True, body=_filled(b"%41", b"%")),
    "JWT or AppCode in a query of 60 KiB": _hostile("either", signs=False, query=_filled(b"%41", piece=12, pair=True)),
    "cookie of 60 KiB of `;`": _hostile("cookie", signs=False, cookie=_filled(b";")),
    "token without kid, 64 keys": _hostile("keys", signs=False, authorization=TOKENS[0]),
    "form and query share a key, path escaped": _hostile(
        "order",
        is_form=True,
        body=_filled(b"a", piece=430, pair=True, numbered=True),
        query=_filled(b"0", piece=6, share=0.001),
    ),
}
"""What cost more than LIMIT_US before it was bounded."""


class Target:
    """A servicer of the hostile configuration, and what it decided last."""

    def __init__(self) -> None:
        with TemporaryDirectory() as folder:
            snapshot = hostile_snapshot(Path(folder))
        self._decision: Decision | None = None
        self._servicer = Servicer(snapshot, MemoryReplayStore(100), self, lambda: NOW_MS)

    def record(self, checked: Checked) -> bool:
        """Keep the decision."""
        self._decision = checked.decision
        return True

    def reason(self, payload: bytes) -> str:
        """Why the request is refused, or that it is allowed."""
        self._servicer.check(payload)
        return self._decision.reason.label if isinstance(self._decision, Deny) else "allowed"

    def seconds(self, payload: bytes) -> float:
        """Processor time of a check."""
        begun = time.process_time()
        self._servicer.check(payload)
        return time.process_time() - begun

    def work(self, payload: bytes) -> float:
        """Counted work of a check."""
        return work_of(lambda: self._servicer.check(payload))


def worst_work(examples: int) -> list[tuple[float, Hostile]]:
    """The dearest of so many requests by counted work, dearest first; the same ones every time."""
    attacked = Target()
    return _search(attacked.work, examples, None)


def search_by_time(seconds: float, tell: Callable[[str], None]) -> list[tuple[float, Hostile]]:
    """The dearest requests by processor time that a search of so many seconds finds, dearest first, measured again."""
    attacked, until, number = Target(), time.monotonic() + seconds, 0
    best: dict[Hostile, float] = {}
    tried = 0
    while time.monotonic() < until:
        number += 1
        found = _search(attacked.seconds, _ROUND, number)[:_KEPT]
        best |= {hostile: spent for spent, hostile in found}
        tried += _ROUND
        best = {one: min(attacked.seconds(one.message()) for _ in range(_SURE)) for one in _dearest(best)}
        tell(f"{tried} requests, the dearest {max(best.values()) * 1e3:.1f} ms")
    return sorted(((spent, one) for one, spent in best.items()), key=lambda found: -found[0])


def _dearest(best: dict[Hostile, float]) -> list[Hostile]:
    return sorted(best, key=lambda one: -best[one])[:_KEPT]


def _search(cost: Callable[[bytes], float], examples: int, number: int | None) -> list[tuple[float, Hostile]]:
    """One climb. ``number`` is its seed; without one it is the same climb every time."""
    found: list[tuple[float, Hostile]] = []

    def climb(hostile: Hostile) -> None:
        spent = cost(hostile.message())
        found.append((spent, hostile))
        target(spent)

    given_hostile = given(HOSTILE)(climb)
    for hostile in FOUND.values():
        given_hostile = example(hostile)(given_hostile)
    if number is not None:
        given_hostile = seed(number)(given_hostile)
    settings(
        max_examples=examples, deadline=None, database=None, derandomize=number is None,
        phases=[Phase.explicit, Phase.generate, Phase.target], suppress_health_check=list(HealthCheck),
    )(given_hostile)()  # fmt: skip
    return sorted(found, key=lambda one: -one[0])


def main() -> None:
    """Search, and print a table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    attacked = Target()
    rows = {"a plain refusal, for comparison": PLAIN, **FOUND}
    print("| request | µs | work, millions | refused with |\n|---|---:|---:|---|")
    for name, hostile in rows.items():
        payload = hostile.message()
        least = min(attacked.seconds(payload) for _ in range(_SURE))
        print(f"| {name} | {least * 1e6:,.0f} | {attacked.work(payload) / 1e6:.1f} | `{attacked.reason(payload)}` |")
    print(f"\nsearching for {seconds:.0f} s")
    for spent, hostile in search_by_time(seconds, lambda told: print(told, file=sys.stderr))[:_TOLD]:
        mark = "  <-- above the limit" if spent * 1e6 > LIMIT_US else ""
        print(f"{spent * 1e6:9,.0f} µs  {attacked.reason(hostile.message())}{mark}\n           {hostile.told()}")


if __name__ == "__main__":
    main()
