"""The supervisor: starts the workers, pings them, replaces the dead, restarts them one by one, ends them."""

import logging
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from queue import Empty, SimpleQueue
from typing import Any, Final

from prometheus_client import CollectorRegistry

from extauthz.config import ConfigError, Problem, ServiceConfig, load, named_files
from extauthz.config.place import Place, check_workers
from extauthz.serve.merged_metrics import MergedMetrics
from extauthz.serve.metrics import ReloadMetrics, WorkerMetrics
from extauthz.serve.operations import OperationsServer
from extauthz.serve.reload import Reloader
from extauthz.serve.service import GRACE_S, RECORDS_S
from extauthz.serve.watch import WatchingThread
from extauthz.serve.worker_process import LOAD_TIMEOUT_S, WorkerProcess, WorkerRefused, WorkerSilent

PING_EVERY_S: Final = 1.0
PING_TIMEOUT_S: Final = 5.0
"""A worker that is silent for longer is killed and replaced: Envoy's health check has left it long before."""
SCRAPE_TIMEOUT_S: Final = 2.0
"""How long a scrape waits for the workers' numbers, all of them together. Prometheus waits for 10 s."""
SETTLED_S: Final = 10.0
"""A worker that dies younger than this is replaced with back-off."""
MAX_BACK_OFF_S: Final = 30.0
RESTART_ONLY: Final = ("operations", "watch")
"""The keys that even a restart of all workers leaves as they were."""
_log: Final = logging.getLogger("extauthz")


class Command(Enum):
    """What the supervisor is told, by signals and by the file watcher."""

    STOP = "stop"
    RESTART = "restart"
    RELOAD = "reload"


_SIGNALS: Final[dict[int, Command]] = {
    signal.SIGTERM: Command.STOP,
    signal.SIGINT: Command.STOP,
    signal.SIGHUP: Command.RESTART,
}


class StartFailed(Exception):
    """A worker did not come up at the start of the service; the message says why."""


@dataclass(slots=True)
class Slot:
    """A place and who fills it."""

    place: Place
    worker: WorkerProcess | None = None
    failures: int = 0
    """How often in a row a worker died young or did not start."""
    not_before_s: float = 0.0
    """When the next one may be started, by the monotonic clock."""


class Supervisor:
    """Runs ``count`` workers of one configuration and shows them to the outside as one service."""

    def __init__(self, config: ServiceConfig, count: int) -> None:
        """Raises ConfigError when the configuration cannot be served by so many workers."""
        check_workers(config, count)
        self._slots = [Slot(Place(index, count)) for index in range(count)]
        self._numbers = MergedMetrics(config.snapshot.gateway.apis, self._refresh)
        self._reloader = Reloader(config, self._read, self._reload_workers)
        self._wanted = config
        """What a worker gets that starts now."""
        self._commands: SimpleQueue[Command] = SimpleQueue()  # the one queue that a signal handler may use
        self._pending: Command | None = None
        self._started = False
        self._stopping = False
        self._replaced: dict[str, int] = {}
        self._watcher = WatchingThread(
            lambda: named_files(self._reloader.config), lambda: self._commands.put(Command.RELOAD)
        )
        registry = CollectorRegistry()
        registry.register(self._numbers)
        registry.register(ReloadMetrics(self._reloader.status))
        registry.register(WorkerMetrics(count, self._count_ready, self._replaced))
        self.operations = OperationsServer(config.file.operations, registry, self._readiness)

    def run(self) -> None:
        """Start, supervise until told to stop, stop. Raises StartFailed."""
        try:
            self.start()
            self.loop()
        finally:
            self.stop()

    def start(self) -> None:
        """Start every worker and wait until all of them serve."""
        for signum in _SIGNALS:
            signal.signal(signum, lambda number, _frame: self._commands.put(_SIGNALS[number]))
        self.operations.start()
        for slot in self._slots:
            slot.worker = WorkerProcess(slot.place, self._numbers)
        for slot in self._slots:
            fault = self._start_worker(slot)
            if fault:
                raise StartFailed(fault)
        self._started = True
        if self._reloader.config.file.watch:
            self._watcher.start()
        _log.info("%d workers, operations on port %d", len(self._slots), self.operations.port)

    def loop(self) -> None:
        """Tend the workers, and do what is asked."""
        while not self._stopping:
            self._tend(PING_EVERY_S)
            command, self._pending = self._pending, None
            if command is Command.RESTART:
                self._reloader.reload(self._restart_workers, RESTART_ONLY)
            elif command is Command.RELOAD:
                self._reloader.reload()

    def stop(self) -> None:
        """Let every worker drain at the same time, then end what is left."""
        self._stopping = True
        self._watcher.stop()
        workers = self._workers()
        for worker in workers:
            self._ask_to_stop(worker)
        deadline = time.monotonic() + self._patience_s()
        for worker in workers:
            while not worker.has_ended() and time.monotonic() < deadline:
                time.sleep(0.02)
            self._bury(worker)
        self.operations.stop()

    # What is asked of all workers.

    def _read(self) -> ServiceConfig:
        config = load(self._reloader.config.path)
        check_workers(config, len(self._slots))
        return config

    def _reload_workers(self, config: ServiceConfig) -> None:
        """One after the other. A worker that cannot follow is replaced: no two revisions stay side by side."""
        self._wanted = config
        for slot in self._slots:
            if slot.worker is None:
                continue
            try:
                slot.worker.ask("reload", LOAD_TIMEOUT_S, text=config.text)
            except (WorkerSilent, WorkerRefused):
                self._empty(slot, "unable to reload")
        self._numbers.follow(config.snapshot.gateway.apis)

    def _restart_workers(self, config: ServiceConfig) -> None:
        """One after the other, so that all but one serve at any time. Raises ConfigError when the new one cannot."""
        before, self._wanted = self._wanted, config
        for slot in self._slots:
            if slot.worker is not None:
                self._drain(slot, slot.worker)
            if self._stopping:
                return
            slot.failures, slot.not_before_s = 0, 0.0
            fault = self._fill(slot)
            if fault:
                self._wanted = before
                raise ConfigError([Problem(str(config.path), 1, (), f"{fault}; the restart ends here")])
            if slot is not self._slots[-1]:
                # Envoy needs as long to see that this one serves as it needs to see that one drains.
                self._tend_for(config.file.drain.total_seconds(), lambda: self._stopping)
        self._numbers.follow(config.snapshot.gateway.apis)

    def _drain(self, slot: Slot, worker: WorkerProcess) -> None:
        self._ask_to_stop(worker)
        self._tend_for(self._patience_s(), worker.has_ended, leave=slot)
        self._empty(slot, "restarted")

    def _tend_for(self, seconds: float, until: Callable[[], bool], leave: Slot | None = None) -> None:
        deadline_s = time.monotonic() + seconds
        while not until() and time.monotonic() < deadline_s:
            self._tend(0.1, leave)

    # One worker.

    def _tend(self, wait_s: float, leave: Slot | None = None) -> None:
        """Wait for a command for at most ``wait_s``; ping who lives, replace who does not."""
        self._hear(wait_s)
        for slot in self._slots:
            if slot is leave or self._stopping:
                continue
            if slot.worker is not None:
                self._examine(slot, slot.worker)
            if slot.worker is None and time.monotonic() >= slot.not_before_s:
                fault = self._fill(slot)
                if fault:
                    _log.error("%s", fault)

    def _hear(self, wait_s: float) -> None:
        try:
            command = self._commands.get(timeout=wait_s)
            while True:
                if command is Command.STOP:
                    self._stopping = True
                elif self._pending is not Command.RESTART:  # a restart is a reload and more
                    self._pending = command
                command = self._commands.get_nowait()
        except Empty:
            return

    def _examine(self, slot: Slot, worker: WorkerProcess) -> None:
        if worker.has_ended():
            self._empty(slot, "died")
            return
        try:
            worker.ask("ping", PING_TIMEOUT_S)
        except (WorkerSilent, WorkerRefused):
            self._empty(slot, "died" if worker.has_ended() else "silent")

    def _fill(self, slot: Slot) -> str:
        """Start a worker in a place; what went wrong, or nothing."""
        slot.worker = WorkerProcess(slot.place, self._numbers)
        return self._start_worker(slot)

    def _start_worker(self, slot: Slot) -> str:
        worker = slot.worker
        if worker is None:
            return ""
        try:
            worker.start(self._wanted)
        except (WorkerSilent, WorkerRefused) as error:
            self._empty(slot, "unable to start")
            return f"worker {slot.place.index} cannot start: {str(error) or 'it gave no answer'}"
        _log.info("worker %d serves, process %d", slot.place.index, worker.pid)
        return ""

    def _empty(self, slot: Slot, why: str) -> None:
        """A worker is no more, or no good: count it, bury it, say when the next one may start."""
        worker, slot.worker = slot.worker, None
        if worker is None:
            return
        self._bury(worker)
        self._replaced[why] = self._replaced.get(why, 0) + 1
        if why == "restarted" or not self._started:
            return
        slot.failures = slot.failures + 1 if worker.age_s < SETTLED_S else 0
        back_off_s = min(MAX_BACK_OFF_S, 0.25 * 2**slot.failures) if slot.failures > 1 else 0.0
        slot.not_before_s = time.monotonic() + back_off_s
        _log.error("worker %d (process %d) %s; the next one in %.1f s", slot.place.index, worker.pid, why, back_off_s)

    def _bury(self, worker: WorkerProcess) -> None:
        if not worker.has_ended():
            worker.kill()
        worker.retire()

    def _ask_to_stop(self, worker: WorkerProcess) -> None:
        try:
            worker.ask("stop", PING_TIMEOUT_S)
        except (WorkerSilent, WorkerRefused):
            _log.warning("worker %d does not hear; it will be killed", worker.place.index)

    def _patience_s(self) -> float:
        return self._reloader.config.file.drain.total_seconds() + GRACE_S + RECORDS_S + 2.0

    # What the outside sees, asked from threads of the operations port.

    def _workers(self) -> list[WorkerProcess]:
        return [slot.worker for slot in self._slots if slot.worker is not None]

    def _refresh(self) -> None:
        deadline_s = time.monotonic() + SCRAPE_TIMEOUT_S
        asked = [worker.numbers for worker in self._workers() if worker.started]
        for numbers in asked:
            numbers.ask()
        for numbers in asked:  # a worker that is silent now is the next ping's business: its last numbers stand
            numbers.wait(deadline_s)

    def _count_ready(self) -> int:
        return sum(bool(worker.state["ready"]) for worker in self._workers())

    def _readiness(self) -> dict[str, Any]:
        workers = [{"index": worker.place.index, "pid": worker.pid, **worker.state} for worker in self._workers()]
        return {
            "ready": self._started and not self._stopping and self._count_ready() > 0,
            "revision": self._reloader.config.snapshot.revision,
            **self._reloader.status.details(),
            "workers": workers,
        }
