"""A process that stood still: how a transport notices, and finds out which checks Envoy has given up meanwhile.

A check that Envoy gave up must not be started: nobody hears the answer, and its nonce would be burnt. The deadlines
that gRPC knows do not tell after a stall (a frozen container, a paused machine, no CPU), because they begin when a call
is read from its connection, which is after the stall. But Envoy has cancelled what it gave up, and the cancellation
lies behind the call on the same connection. So a transport that notices a gap gives its library time to read what lies
there, and then starts what is not cancelled.
"""

import logging
import time
from typing import Final

LOOK_S: Final = 0.025
"""How often a transport passes by in seconds, though nothing is asked."""
GAP_S: Final = 0.15
"""A longer time between two passes, in seconds, is taken for a stall: below Envoy's own default deadline of 0.2 s."""
SETTLE_S: Final = 0.05
"""How long the library gets, after a stall, to read what lies on the connections, in seconds."""
_log: Final = logging.getLogger("extauthz")


class StallWatch:
    """Notices gaps between two moments at which somebody passes by."""

    def __init__(self) -> None:
        self.passed_s = time.monotonic()
        """When somebody last passed by, by the monotonic clock."""
        self.settled_s = 0.0
        """When after a stall checks may be begun again, by the same clock."""

    def stood_still(self) -> bool:
        """Pass by: whether the last time is longer ago than it is while the process runs."""
        before_s, self.passed_s = self.passed_s, time.monotonic()
        if self.passed_s - before_s <= GAP_S:
            return False
        _log.warning("the process stood still for %.2f s", self.passed_s - before_s)
        return True

    def settle_after_a_stall(self) -> None:
        """Pass by, and after a stall let no check begin before the library has read what lies on the connections."""
        if self.stood_still():
            self.settled_s = self.passed_s + SETTLE_S
