"""The places of the workers and who fills them: started, pinged, replaced with back-off, buried."""

import logging
import time
from dataclasses import dataclass
from typing import Final

from extauthz.config import ServiceConfig
from extauthz.config.place import Place
from extauthz.serve.workers.merged_metrics import MergedMetrics
from extauthz.serve.workers.process import WorkerProcess, WorkerRefused, WorkerSilent

PING_TIMEOUT_S: Final = 5.0
"""A worker that is silent for longer is killed and replaced: Envoy's health check has left it long before."""
SCRAPE_TIMEOUT_S: Final = 2.0
"""How long a scrape waits for the workers' numbers, all of them together. Prometheus waits for 10 s."""
SETTLED_S: Final = 10.0
"""A worker that dies younger than this is replaced with back-off."""
MAX_BACK_OFF_S: Final = 30.0
_log: Final = logging.getLogger("extauthz")


@dataclass(slots=True)
class Slot:
    """A place and who fills it."""

    place: Place
    worker: WorkerProcess | None = None
    failures: int = 0
    """How often in a row a worker died young or did not start."""
    not_before_s: float = 0.0
    """When the next one may be started, by the monotonic clock."""


class Slots:
    """The places of all workers of a service."""

    def __init__(self, count: int, numbers: MergedMetrics) -> None:
        self.all = [Slot(Place(index, count)) for index in range(count)]
        self.replaced: dict[str, int] = {}
        """How many workers were replaced, by why."""
        self.backs_off = False
        """Whether one that dies young delays the next; not before the service has come up."""
        self._numbers = numbers

    def workers(self) -> list[WorkerProcess]:
        """Whoever fills a place now."""
        return [slot.worker for slot in self.all if slot.worker is not None]

    def count_ready(self) -> int:
        """How many workers should be asked."""
        return sum(bool(worker.state["ready"]) for worker in self.workers())

    def refresh(self) -> None:
        """Fetch the workers' numbers. A worker that is silent now is the next ping's business: its last ones stand."""
        deadline_s = time.monotonic() + SCRAPE_TIMEOUT_S
        asked = [worker.numbers for worker in self.workers() if worker.started]
        for numbers in asked:
            numbers.ask()
        for numbers in asked:
            numbers.wait(deadline_s)

    def create(self, slot: Slot) -> None:
        """Begin a process in an empty place; it waits for ``start``."""
        slot.worker = WorkerProcess(slot.place, self._numbers)

    def start(self, slot: Slot, config: ServiceConfig) -> str:
        """Have the process in a place serve a configuration; what went wrong, or nothing."""
        worker = slot.worker
        if worker is None:
            return ""
        try:
            worker.start(config)
        except (WorkerSilent, WorkerRefused) as error:
            self.empty(slot, "unable to start")
            return f"worker {slot.place.index} cannot start: {str(error) or 'it gave no answer'}"
        _log.info("worker %d serves, process %d", slot.place.index, worker.pid)
        return ""

    def fill(self, slot: Slot, config: ServiceConfig) -> str:
        """``create`` and ``start``."""
        self.create(slot)
        return self.start(slot, config)

    def examine(self, slot: Slot, worker: WorkerProcess) -> None:
        """Ping a worker; empty its place when it is no more, or no good."""
        if worker.has_ended():
            self.empty(slot, "died")
            return
        try:
            worker.ask("ping", PING_TIMEOUT_S)
        except (WorkerSilent, WorkerRefused):
            self.empty(slot, "died" if worker.has_ended() else "silent")

    def empty(self, slot: Slot, why: str) -> None:
        """A worker is no more, or no good: count it, bury it, say when the next one may start."""
        worker, slot.worker = slot.worker, None
        if worker is None:
            return
        self.bury(worker)
        self.replaced[why] = self.replaced.get(why, 0) + 1
        if why == "restarted" or not self.backs_off:
            return
        slot.failures = slot.failures + 1 if worker.age_s < SETTLED_S else 0
        back_off_s = min(MAX_BACK_OFF_S, 0.25 * 2**slot.failures) if slot.failures > 1 else 0.0
        slot.not_before_s = time.monotonic() + back_off_s
        _log.error("worker %d (process %d) %s; the next one in %.1f s", slot.place.index, worker.pid, why, back_off_s)

    def ask_to_stop(self, worker: WorkerProcess) -> None:
        """Have a worker drain and end."""
        try:
            worker.ask("stop", PING_TIMEOUT_S)
        except (WorkerSilent, WorkerRefused):
            _log.warning("worker %d does not hear; it will be killed", worker.place.index)

    def bury(self, worker: WorkerProcess) -> None:
        """Make sure that a worker has ended, and keep its numbers."""
        if not worker.has_ended():
            worker.kill()
        worker.retire()
