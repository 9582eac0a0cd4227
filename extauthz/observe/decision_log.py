"""The decision log: one JSON line a decision, written off the path of the check, never with a credential in it.

The path of a check pays for one short tuple and an append to a bounded queue. A thread makes the lines and writes them
in batches. What it cannot write it keeps and tries again; meanwhile the queue fills, and then decisions are dropped
and counted, or, where an audit is required, requests are refused.
"""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from extauthz.domain import reason
from extauthz.families import Gauge, OverWorkers
from extauthz.observe.decision_line import Entry, LineMaker, entry_of
from extauthz.observe.log_output import LogOutput
from extauthz.wire.checked import Checked
from extauthz.wire.failure import describe

LINGER_S: Final = 0.02
"""How long lines are gathered before they are written."""
_BATCH: Final = 2048
_AT_A_TIME: Final = 32
"""Lines made before the other threads get their turn: they wait for about 0.1 ms, not for Python's 5 ms. More of them
once many wait: a busy thread gives the turn back only after 5 ms."""
_FIRST_BACK_OFF_S: Final = 0.05
_MAX_BACK_OFF_S: Final = 5.0
CLOSE_TIMEOUT_S: Final = 4.0
_log: Final = logging.getLogger("extauthz")


class NullDecisionLog:
    """Writes nothing."""

    dropped = 0
    written = 0
    write_failures = 0
    failing = False
    waiting = 0
    capacity = 0

    def record(self, checked: Checked) -> bool:
        """Forget the check."""
        return True

    def close(self) -> None:
        """Nothing to close."""


class DecisionLog:
    """Hands decisions to a thread that makes lines of them and writes them."""

    def __init__(
        self,
        output: LogOutput,
        capacity: int,
        shares: Mapping[str, float] | None = None,
        required: bool = False,
    ) -> None:
        """``capacity`` bounds the decisions that wait. ``shares`` tells, by reason, which share is logged; default 1.

        With ``required`` a decision that cannot be recorded must not stand: ``record`` says so.
        """
        self.dropped = 0
        """Decisions without a line: the queue was full, or the process ended before they could be written."""
        self.written = 0
        """Lines."""
        self.write_failures = 0
        self.failing = False
        """Whether the last attempt to write failed."""
        self._output = output
        self.capacity = capacity
        self._room = capacity
        """How many may wait now: 0 once closed, and while nothing can be written and an audit is required."""
        self._shares = {label: share for label, share in (shares or {}).items() if share < 1}
        self._required = required
        # Seeded by the system and told to nobody: who can foresee what is sampled can act unseen.
        self._random = random.Random()  # noqa: S311
        self._entries: deque[Entry] = deque()
        self._lines = LineMaker(lambda label: self._shares.get(label, 1.0))
        self._asleep = False
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._give_up_s = 0.0
        self._writer = threading.Thread(target=self._write, name="decision-log", daemon=True)
        self._writer.start()

    @property
    def waiting(self) -> int:
        """Decisions that are queued."""
        return len(self._entries)

    def record(self, checked: Checked) -> bool:
        """Queue one check. False where an audit is required and there is no room for it."""
        if self._shares and not self._chosen(checked.label):
            return True
        if len(self._entries) >= self._room:
            return self._no_room(checked)
        self._entries.append(entry_of(checked))
        if self._asleep:
            self._wake.set()
        return True

    def close(self) -> None:
        """Take no more, write what is queued, waiting a few seconds at most, and close the file."""
        self._room = 0
        self._give_up_s = time.monotonic() + CLOSE_TIMEOUT_S
        self._closing.set()
        self._wake.set()
        self._writer.join(timeout=CLOSE_TIMEOUT_S + 1)
        if self._writer.is_alive():  # it hangs in a write, and must not keep the process from ending
            self.dropped += len(self._entries)
        else:
            self._output.close()
        if self.dropped:
            _log.warning("the decision log lacks %d lines", self.dropped)

    def _chosen(self, label: str) -> bool:
        share = self._shares.get(label, 1.0)
        return share >= 1 or self._random.random() < share

    def _no_room(self, checked: Checked) -> bool:
        # The refusal for want of a record cannot be refused for want of a record.
        if self._required and checked.label != reason.AUDIT_UNAVAILABLE.label:
            return False
        self.dropped += 1
        return True

    # The thread of the writer.

    def _write(self) -> None:
        while self._wait():
            batch = self._make_lines()
            self._deliver(batch)

    def _wait(self) -> bool:
        """Wait for something to write; False once there will be nothing more."""
        while not self._entries:
            if self._closing.is_set():
                return False
            # In this order, so that a decision which is queued meanwhile either is seen or wakes us.
            self._asleep = True
            if not self._entries:
                self._wake.wait()
            self._asleep = False
            self._wake.clear()
        if len(self._entries) < _BATCH:
            self._closing.wait(LINGER_S)
        return True

    def _make_lines(self) -> bytes:
        lines: list[str] = []
        at_a_time = max(_AT_A_TIME, len(self._entries) // 8)
        while self._entries and len(lines) < _BATCH:
            try:
                lines.append(self._lines.line(self._entries.popleft()))
            except Exception as error:
                self.dropped += 1
                _log.error("a decision could not be told: %s", describe(error))
            if len(lines) % at_a_time == 0:
                time.sleep(0)
        return "".join(lines).encode("ascii", "replace")

    def _deliver(self, batch: bytes) -> None:
        """Write a batch, however often that takes, and give up only when the process ends."""
        rest, back_off_s = memoryview(batch), _FIRST_BACK_OFF_S
        while rest:
            try:
                done = self._output.write(rest)
            except Exception as error:
                self._failed(error)
                if self._closing.wait(back_off_s):
                    if time.monotonic() >= self._give_up_s:
                        self.dropped += bytes(rest).count(b"\n")
                        return
                    time.sleep(_FIRST_BACK_OFF_S)
                back_off_s = min(_MAX_BACK_OFF_S, 2 * back_off_s)
                continue
            self.written += bytes(rest[:done]).count(b"\n")
            rest = rest[done:]
            if self.failing:
                self._recovered()
                back_off_s = _FIRST_BACK_OFF_S

    def _failed(self, error: Exception) -> None:
        self.write_failures += 1
        if self._required:
            self._room = 0
        if not self.failing:
            why = error.strerror if isinstance(error, OSError) else describe(error)
            _log.error("the decision log cannot be written, and will be tried again: %s", why)
        self.failing = True

    def _recovered(self) -> None:
        self.failing = False
        if not self._closing.is_set():
            self._room = self.capacity
        _log.warning("the decision log can be written again")


class DecisionLogMetrics(Collector):
    """How the log is doing."""

    def __init__(self, log: DecisionLog | NullDecisionLog) -> None:
        self._decisions = log

    def collect(self) -> Iterator[Metric]:
        """What a scrape sees."""
        log = self._decisions
        yield CounterMetricFamily("extauthz_decision_log_lines", "Lines written.", value=log.written)
        yield CounterMetricFamily(
            "extauthz_decision_log_dropped",
            "Decisions without a line: the queue was full, or the process ended first.",
            value=log.dropped,
        )
        yield CounterMetricFamily(
            "extauthz_decision_log_write_failures", "Attempts to write that failed.", value=log.write_failures
        )
        yield Gauge(
            "extauthz_decision_log_failing", "1 while the log cannot be written.", OverWorkers.HIGHEST,
            value=float(log.failing),
        )  # fmt: skip
        yield Gauge(
            "extauthz_decision_log_waiting", "Decisions that wait for a line.", OverWorkers.SUM, value=log.waiting
        )
        yield Gauge("extauthz_decision_log_capacity", "How many may wait.", OverWorkers.SUM, value=log.capacity)
