"""One-time values in the memory of this process."""

import heapq
import threading
from typing import Final

from extauthz.decide.replay import REPEAT_MS, Outcome
from extauthz.domain.decision import OneTimeKind, OneTimeUse

MAX_NAMED: Final = 100
"""So many holders that had their share are named in metrics; the others are counted together."""
NOT_NAMED: Final = "(others)"
"""Stands for those: no id of the configuration has parentheses."""
_PURGE_AT_ONCE: Final = 32
_TIME_BYTES: Final = 8
_NEVER_MS: Final = 2**63
_SHARDS: Final = 64
"""A dictionary that grows is copied: of a million values in one that takes 35 ms, in which no check is answered."""


class MemoryReplayStore:
    """One-time values in the memory of this process, bounded: when full it refuses rather than forgets.

    Nonces and jtis have a room each. In its room no holder, which is an app or a JWT plug-in, may take so much that
    the others go without.
    """

    def __init__(self, capacity: int, jti_capacity: int | None = None, share: float = 0.5) -> None:
        """``capacity`` is the number of live nonces, ``jti_capacity`` that of jtis (None: as many).

        ``share`` is the part of its room that one holder can take while nobody else needs any, see ``Room``.
        """
        self.nonces = Room(capacity, share)
        self.jtis = Room(capacity if jti_capacity is None else jti_capacity, share)

    def __len__(self) -> int:
        return len(self.nonces) + len(self.jtis)

    def record(self, use: OneTimeUse, now_ms: int) -> Outcome:
        """Record a value unless it is there already."""
        room = self.jtis if use.kind is OneTimeKind.JTI else self.nonces
        return room.record(use, now_ms)


class Room:
    """Live values of one kind, and who holds how many of them.

    A holder may take more while it holds less than a multiple of what is still free: ``share / (1 - share)``. With a
    share of a half nobody may hold more than what is left for all others: a flooding app ends at half of the room, a
    second one at half of what is left, and when values expire the larger holder has to let the smaller ones go first.
    """

    def __init__(self, capacity: int, share: float) -> None:
        """``capacity`` is the number of live values; one takes about 370 bytes. With a share of 1 there is no limit."""
        self.capacity = capacity
        self.refused: dict[str, int] = {}
        """Values refused because their holder had its share, by holder: at most MAX_NAMED of them, then NOT_NAMED."""
        self._share = share
        # Values are bytes, and not tuples: the garbage collector, which would look at each of a million tuples whenever
        # some were added, does not look at bytes.
        self._seen: tuple[dict[bytes, bytes], ...] = tuple({} for _ in range(_SHARDS))
        self._by_expiry: list[bytes] = []
        self._held: dict[str, int] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._by_expiry)

    def record(self, use: OneTimeUse, now_ms: int) -> Outcome:
        """Record a value unless it is there already."""
        with self._lock:
            self._purge(now_ms)
            seen = self._shard(use.key).get(use.key) or (use.proof and self._shard(use.proof).get(use.proof))
            if seen:
                first_ms, fingerprint, _ = _unpack(seen)
                again = use.fingerprint and fingerprint == use.fingerprint and now_ms - first_ms <= REPEAT_MS
                return Outcome.ASKED_AGAIN if again else Outcome.USED
            free = self.capacity - len(self._by_expiry)
            if free <= 0:
                return Outcome.FULL
            held = self._held.get(use.holder, 0)
            if use.holder and held * (1 - self._share) >= free * self._share:
                self._count_refused(use.holder)
                return Outcome.SHARE_FULL
            self._held[use.holder] = held + 1
            value = _pack(now_ms, use.fingerprint, use.holder.encode())
            self._shard(use.key)[use.key] = value
            if use.proof:
                self._shard(use.proof)[use.proof] = value
            heapq.heappush(self._by_expiry, _pack(min(use.expires_ms, _NEVER_MS), use.key, use.proof))
            return Outcome.FIRST

    def largest_holders(self, count: int) -> list[tuple[str, int]]:
        """Who holds most, and how many values, the largest first."""
        with self._lock:
            held = dict(self._held)
        held.pop("", None)
        return heapq.nlargest(count, held.items(), key=_held_of)

    def _purge(self, now_ms: int) -> None:
        # A few at a time, so that no single check pays for a burst that expired at once.
        for _ in range(_PURGE_AT_ONCE):
            if not self._by_expiry or int.from_bytes(self._by_expiry[0][:_TIME_BYTES], "big") >= now_ms:
                return
            _, key, proof = _unpack(heapq.heappop(self._by_expiry))
            value = self._shard(key).pop(key)
            if proof:
                del self._shard(proof)[proof]
            holder = _unpack(value)[2].decode()
            held = self._held[holder] - 1
            if held:
                self._held[holder] = held
            else:
                del self._held[holder]

    def _shard(self, key: bytes) -> dict[bytes, bytes]:
        """Keys are hashes, so their last byte divides them evenly."""
        return self._seen[key[-1] % _SHARDS]

    def _count_refused(self, holder: str) -> None:
        if holder not in self.refused and len(self.refused) >= MAX_NAMED:
            holder = NOT_NAMED
        self.refused[holder] = self.refused.get(holder, 0) + 1


def _pack(time_ms: int, first: bytes, second: bytes) -> bytes:
    """In the order of their times, as bytes compare."""
    return b"%b%c%b%b" % (time_ms.to_bytes(_TIME_BYTES, "big"), len(first), first, second)


def _unpack(packed: bytes) -> tuple[int, bytes, bytes]:
    end = _TIME_BYTES + 1 + packed[_TIME_BYTES]
    return int.from_bytes(packed[:_TIME_BYTES], "big"), packed[_TIME_BYTES + 1 : end], packed[end:]


def _held_of(entry: tuple[str, int]) -> int:
    return entry[1]
