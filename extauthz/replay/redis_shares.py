"""How many values each app or JWT plug-in holds in the shared store, so that none can fill it for all others.

Redis forgets values by itself, so nobody counts them down. Instead what was recorded is counted in periods as long as
the values live, in one key a holder, length of life and period. Of the period before, the part still counts that has
not passed yet. That is right for an even flow, and at most twice too much for values that live little longer than half
of the period. Counts travel with the batches that record values anyway, so a process knows what the others recorded
by its next batch, or within SYNC_MS.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from extauthz.domain.decision import OneTimeKind, OneTimeUse
from extauthz.replay.memory import MAX_NAMED, NOT_NAMED

SYNC_MS: Final = 1000
"""How old the count of the other processes may be while values are recorded, in milliseconds."""
_SHORTEST_MS: Final = 60_000
_PENDING_PARTS: Final = 100
_MANY: Final = 10_000


class Tally:
    """Values of one holder and one length of life: what the store said last, and what it was not told yet."""

    __slots__ = ("current", "length_ms", "name", "pending", "period", "previous", "synced_ms")

    def __init__(self, name: bytes, length_ms: int, now_ms: int) -> None:
        self.name = name
        self.length_ms = length_ms
        self.period = now_ms // length_ms
        self.current = self.previous = self.pending = 0
        self.synced_ms = 0

    def live(self, now_ms: int) -> float:
        """About how many of the values are still there."""
        period = now_ms // self.length_ms
        if period > self.period:
            self.previous = self.current if period == self.period + 1 else 0
            self.current, self.period = 0, period
        passed = now_ms % self.length_ms / self.length_ms
        return self.previous * (1 - passed) + self.current + self.pending

    def key(self, prefix: bytes, period: int) -> bytes:
        """Where the store counts a period."""
        return b"%sheld:%s:%d:%d" % (prefix, self.name, self.length_ms // _SHORTEST_MS, period)


class Shares:
    """The bound on each holder. Not for threads: it belongs to the event loop."""

    def __init__(self, bounds: Mapping[OneTimeKind, float]) -> None:
        """``bounds`` says how many live values of a kind one holder may have."""
        self.refused: dict[OneTimeKind, dict[str, int]] = {kind: {} for kind in OneTimeKind}
        """Values refused because their holder had its share: as in ``Room.refused``."""
        self._bounds = bounds
        self._tallies: dict[tuple[OneTimeKind, str], dict[int, Tally]] = {}

    def admits(self, use: OneTimeUse, now_ms: int) -> bool:
        """Whether the holder may have one more value; it is counted when not."""
        tallies = self._tallies.get((use.kind, use.holder))
        bound = self._bounds.get(use.kind)
        if not tallies or bound is None or sum(tally.live(now_ms) for tally in tallies.values()) < bound:
            return True
        refused = self.refused[use.kind]
        holder = use.holder if use.holder in refused or len(refused) < MAX_NAMED else NOT_NAMED
        refused[holder] = refused.get(holder, 0) + 1
        return False

    def recorded(self, use: OneTimeUse, now_ms: int) -> None:
        """One more value is there."""
        if use.holder and use.kind in self._bounds:
            self._tally(use, now_ms).pending += 1

    def due(self, uses: Iterable[OneTimeUse], now_ms: int) -> list[Tally]:
        """Of the holders of a batch those whose counts should travel with it."""
        counted = (use for use in uses if use.holder and use.kind in self._bounds)
        tallies = {self._tally(use, now_ms): self._bounds[use.kind] for use in counted}
        return [
            tally
            for tally, bound in tallies.items()
            if now_ms - tally.synced_ms >= SYNC_MS or tally.pending * _PENDING_PARTS >= bound
        ]

    def _tally(self, use: OneTimeUse, now_ms: int) -> Tally:
        length_ms = _SHORTEST_MS
        while length_ms < use.expires_ms - now_ms:
            length_ms *= 2
        holder = (use.kind, use.holder)
        tallies = self._tallies.get(holder)
        if tallies is None:
            if len(self._tallies) >= _MANY:
                self._forget_idle(now_ms)
            tallies = self._tallies[holder] = {}
        tally = tallies.get(length_ms)
        if tally is None:
            name = hashlib.blake2b(f"{use.kind}:{use.holder}".encode(), digest_size=16).hexdigest().encode()
            tally = tallies[length_ms] = Tally(name, length_ms, now_ms)
        tally.live(now_ms)
        return tally

    def _forget_idle(self, now_ms: int) -> None:
        for holder, tallies in list(self._tallies.items()):
            if not any(tally.live(now_ms) for tally in tallies.values()):
                del self._tallies[holder]


def ask(pipe: Any, prefix: bytes, tally: Tally, now_ms: int) -> Callable[[list[Any]], None]:
    """Put the three commands of one tally into a pipeline; what takes their replies.

    They are never an error of the value that they travel with: a count that is missing is one that is too low.
    """
    told, period, tally.pending, tally.synced_ms = tally.pending, tally.period, 0, now_ms
    tally.current += told
    key = tally.key(prefix, period)
    pipe.incrby(key, told)
    pipe.pexpire(key, 2 * tally.length_ms)
    pipe.get(tally.key(prefix, period - 1))

    def take(replies: list[Any]) -> None:
        current, _, previous = replies
        if tally.period == period and isinstance(current, int):
            tally.current = current
            tally.previous = int(previous) if isinstance(previous, bytes) and previous.isdigit() else 0

    return take
