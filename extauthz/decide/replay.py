"""Replay protection: a nonce or jti passes once; Envoy's own repeat of one request passes with it."""

import heapq
import threading
from collections.abc import Awaitable
from enum import Enum
from typing import Final, Protocol

from extauthz.domain import reason
from extauthz.domain.api import ReplayOutage
from extauthz.domain.decision import Decision, Deny, OneTimeUse
from extauthz.domain.reason import ASKED_AGAIN, REPLAY_UNCHECKED

REPEAT_MS: Final = 10_000
"""How long Envoy may ask again about one stream, in milliseconds."""
_PURGE_AT_ONCE: Final = 32


class Outcome(Enum):
    """What recording a one-time value ended in."""

    FIRST = "first"
    ASKED_AGAIN = "asked again"
    USED = "used"
    FULL = "full"
    UNAVAILABLE = "unavailable"


class ReplayStore(Protocol):
    """Where one-time values are recorded. ``record`` answers at once or, for a shared store, in an awaitable."""

    def record(self, use: OneTimeUse, now_ms: int) -> Outcome | Awaitable[Outcome]:
        """Record a value unless it is there already. Never raises: a fault is Outcome.UNAVAILABLE."""
        ...


class MemoryReplayStore:
    """One-time values in the memory of this process, bounded: when full it refuses rather than forgets."""

    def __init__(self, capacity: int) -> None:
        """``capacity`` is the number of live values; one takes about 300 bytes."""
        self._capacity = capacity
        self._seen: dict[bytes, tuple[int, bytes]] = {}
        self._by_expiry: list[tuple[int, bytes]] = []
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._seen)

    @property
    def capacity(self) -> int:
        """The number of live values that fit."""
        return self._capacity

    def record(self, use: OneTimeUse, now_ms: int) -> Outcome:
        """Record a value unless it is there already."""
        with self._lock:
            self._purge(now_ms)
            seen = self._seen.get(use.key)
            if seen is not None:
                first_ms, fingerprint = seen
                again = use.fingerprint and fingerprint == use.fingerprint and now_ms - first_ms <= REPEAT_MS
                return Outcome.ASKED_AGAIN if again else Outcome.USED
            if len(self._seen) >= self._capacity:
                return Outcome.FULL
            self._seen[use.key] = (now_ms, use.fingerprint)
            heapq.heappush(self._by_expiry, (use.expires_ms, use.key))
            return Outcome.FIRST

    def _purge(self, now_ms: int) -> None:
        # A few at a time, so that no single check pays for a burst that expired at once.
        for _ in range(_PURGE_AT_ONCE):
            if not self._by_expiry or self._by_expiry[0][0] >= now_ms:
                return
            _, key = heapq.heappop(self._by_expiry)
            del self._seen[key]


def settle(decision: Decision, use: OneTimeUse, outcome: Outcome) -> Decision:
    """The decision once the outcome of recording one of its values is known. A denial stays one."""
    if isinstance(decision, Deny) or outcome is Outcome.FIRST:
        return decision
    if outcome is Outcome.ASKED_AGAIN:
        return decision._replace(label=ASKED_AGAIN)
    if outcome is Outcome.USED:
        return Deny(use.used, decision.about)
    api = decision.about.api
    if outcome is Outcome.UNAVAILABLE and api is not None and api.replay_outage is ReplayOutage.ALLOW:
        return decision._replace(label=REPLAY_UNCHECKED)
    refused = reason.REPLAY_STORE_FULL if outcome is Outcome.FULL else reason.REPLAY_STORE_UNAVAILABLE
    return Deny(refused, decision.about)
