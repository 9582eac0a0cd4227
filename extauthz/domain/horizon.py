"""For how long nonces are kept, and what that leaves open right after a window was widened.

A nonce is kept until nobody could accept its timestamp any more. That depends on the widest window in force, not only
on the window of the API that was called: the same signed request may be sent to another host, and so to another API.
When a reload widens that window, nonces recorded before are kept for the old one only. So timestamps from before the
change go on being judged by the old window, which refuses nothing that was not refused before.
"""

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

VENDORS_WINDOW_MS: Final = 900_000
"""Vendor doc: a nonce is remembered for 15 minutes, and a timestamp may be as old."""
IN_FLIGHT_MS: Final = 10_000
"""How long a check that began under one snapshot may take to read the time."""


class Narrowed(NamedTuple):
    """Timestamps up to ``until_ms`` (milliseconds since 1970) are judged by no wider window than ``window_ms``."""

    until_ms: int
    window_ms: int


@dataclass(frozen=True, slots=True)
class ReplayHorizon:
    """What the replay store can answer for, under one snapshot."""

    kept_ms: int = VENDORS_WINDOW_MS
    """The widest window in force: a nonce is kept for this long after its timestamp."""
    narrowed: tuple[Narrowed, ...] = ()
    """Oldest first; each one both later and wider than the one before it."""

    def window_ms(self, window_ms: int, timestamp_ms: int) -> int:
        """The window to judge a timestamp by where the API allows ``window_ms``."""
        for until_ms, narrow_ms in self.narrowed:
            if timestamp_ms <= until_ms and narrow_ms < window_ms:
                window_ms = narrow_ms
        return window_ms

    def following(self, before: "ReplayHorizon", now_ms: int) -> "ReplayHorizon":
        """The horizon as it takes the place of another one at ``now_ms``, whose values are still there."""
        narrowed = [one for one in before.narrowed if one.until_ms + before.kept_ms >= now_ms]
        if before.kept_ms < self.kept_ms:
            # What was accepted so far has a timestamp of at most its time of arrival plus the old window.
            narrowed = [one for one in narrowed if one.window_ms < before.kept_ms]
            narrowed.append(Narrowed(now_ms + before.kept_ms + IN_FLIGHT_MS, before.kept_ms))
        return replace(self, narrowed=tuple(narrowed)) if narrowed else self

    def starting_empty(self, now_ms: int) -> "ReplayHorizon":
        """The horizon of a store that was empty at ``now_ms``: what was signed before is refused."""
        return replace(self, narrowed=(Narrowed(now_ms, -1), *self.narrowed))
