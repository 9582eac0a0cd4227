"""Tokens that were verified before, so that a token which comes again costs no public-key operation."""

from collections import deque
from dataclasses import dataclass
from typing import Final

from extauthz.domain.decision import Proof
from extauthz.domain.tokens.jwk import KeySet

_SWEPT_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True, eq=False)
class VerifiedToken:
    """What a token proved, and when that holds.

    Every claim rule of a plug-in is either fixed (issuer, audience, ...: the plug-in never changes, so the outcome
    never does) or a bound on the time. ``from_s <= now < until_s`` is all of those bounds together.
    """

    key_set: KeySet
    """The set it was verified with: the entry is worth nothing beside any other."""
    from_s: float
    until_s: float
    """Seconds since 1970."""
    proof: Proof
    jti: str = ""
    """Only where the plug-in lets each token pass once."""


class TokenMemory:
    """A bounded memory of verified tokens by their SHA-256. It belongs to one plug-in of one gateway half.

    Any thread may use it: it takes no lock, and each step is one atomic operation of a dict or a deque. Whatever two
    threads do at once, an entry is either whole or absent.
    """

    __slots__ = ("_by_hash", "_capacity", "_order")

    def __init__(self, capacity: int) -> None:
        """``capacity`` is the number of tokens; 0 remembers none."""
        self._capacity = capacity
        self._by_hash: dict[bytes, VerifiedToken] = {}
        self._order: deque[bytes] = deque()

    def __len__(self) -> int:
        return len(self._by_hash)

    def recall(self, token_hash: bytes, key_set: KeySet, now_s: float) -> VerifiedToken | None:
        """What is known about a token, if that still holds."""
        known = self._by_hash.get(token_hash)
        if known is None:
            return None
        if known.key_set is key_set and known.from_s <= now_s < known.until_s:
            return known
        self._by_hash.pop(token_hash, None)
        return None

    def remember(self, token_hash: bytes, verified: VerifiedToken, now_s: float) -> None:
        """Keep what was verified; the oldest entry makes room."""
        if not self._capacity:
            return
        self._sweep(verified.key_set, now_s)
        self._by_hash[token_hash] = verified
        self._order.append(token_hash)
        while len(self._order) > self._capacity:
            self._drop_oldest()

    def _sweep(self, key_set: KeySet, now_s: float) -> None:
        """Drop what is of no use at the old end, a few at a time, so that no single check pays for many."""
        for _ in range(_SWEPT_AT_ONCE):
            try:
                known = self._by_hash.get(self._order[0])
            except IndexError:
                return
            if known is not None and known.key_set is key_set and now_s < known.until_s:
                return
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        try:
            self._by_hash.pop(self._order.popleft(), None)
        except IndexError:  # another thread was first
            return
