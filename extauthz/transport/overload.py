"""Which checks are answered and which are refused when there are more than can be answered in time.

At most so many wait as there is room for; past that the oldest are refused at once. From then on, until nothing waits,
the newest are answered first, since Envoy surely waits for them still, and those that waited for ``PATIENCE_S`` are
refused as well. A check with less than ``LEAST_LEFT_S`` until its deadline is not begun.

Plain code: it knows no socket and no clock, so that a test can drive it.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from extauthz.wire.servicer import Metadata

PATIENCE_S: Final = 0.1
"""Under overload a check that waited for so long is refused, in seconds: half of what Envoy waits by default."""
LEAST_LEFT_S: Final = 0.005
"""A check with less time left, in seconds, is not begun: its answer would come too late, the refusal just in time."""


Check = tuple[int, bytes, float, float, Metadata]
"""Id, payload, when it came and when Envoy gives it up (seconds by the monotonic clock; infinite where it did not say),
and metadata. A tuple, as the front gives it: one is made for every check."""


class OverloadQueue:
    """The checks of one listener that wait."""

    def __init__(self) -> None:
        self.newest_first = False
        """Whether there is, or just was, too much to do."""
        self._group_was_newest_first = False
        self._waiting: OrderedDict[int, Check] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, checks: Iterable[Check]) -> None:
        """Checks have come, oldest first."""
        waiting = self._waiting
        for check in checks:
            waiting[check[0]] = check

    def give_up(self, ids: Iterable[int]) -> None:
        """Nobody waits for these any longer."""
        for call_id in ids:
            self._waiting.pop(call_id, None)

    def too_much(self, room: int, now_s: float) -> list[Check]:
        """Those to be refused so that at most ``room`` wait, and none too long; they wait no more."""
        waiting = self._waiting
        self.newest_first = self.newest_first or len(waiting) > room
        refused: list[Check] = []
        while len(waiting) > room:
            refused.append(waiting.popitem(last=False)[1])
        while self.newest_first and waiting and next(iter(waiting.values()))[2] + PATIENCE_S < now_s:
            refused.append(waiting.popitem(last=False)[1])
        return refused

    def next_group(self, size: int) -> list[Check]:
        """Those to be begun next, at most ``size``; they wait no more."""
        waiting, last = self._waiting, self.newest_first
        self._group_was_newest_first = last
        group = [waiting.popitem(last=last)[1] for _ in range(min(size, len(waiting)))]
        if not waiting:
            self.newest_first = False
        return group

    def put_back(self, group: list[Check]) -> None:
        """These were not begun after all; ``group`` is the end of the one that ``next_group`` gave last."""
        for one in reversed(group):
            self._waiting[one[0]] = one
            if not self._group_was_newest_first:
                self._waiting.move_to_end(one[0], last=False)
        self.newest_first = self._group_was_newest_first


def has_time(deadline_s: float, now_s: float) -> bool:
    """Whether an answer that is begun now can come in time."""
    return deadline_s - now_s >= LEAST_LEFT_S
