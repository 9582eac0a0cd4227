"""The supervisor: starts the workers, pings them, replaces the dead, restarts them one by one, ends them."""

import logging
import signal
import time
from collections.abc import Callable
from enum import Enum
from queue import Empty, SimpleQueue
from typing import Any, Final

from prometheus_client import CollectorRegistry

from extauthz.config import ConfigError, Problem, ServiceConfig, load
from extauthz.config.place import check_workers
from extauthz.serve.metrics import ReloadMetrics, WorkerMetrics
from extauthz.serve.operations import OperationsServer
from extauthz.serve.reload import KEPT_BY_SUPERVISOR, Reloader
from extauthz.serve.replicator_process import open_replicator
from extauthz.serve.service import GRACE_S, RECORDS_S
from extauthz.serve.watch import WatchingThread
from extauthz.serve.workers.merged_metrics import MergedMetrics
from extauthz.serve.workers.process import LOAD_TIMEOUT_S, WorkerProcess, WorkerRefused, WorkerSilent
from extauthz.serve.workers.slots import Slot, Slots

PING_EVERY_S: Final = 1.0
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


class Supervisor:
    """Runs ``count`` workers of one configuration and shows them to the outside as one service."""

    def __init__(self, config: ServiceConfig, count: int) -> None:
        """Raises ConfigError when the configuration cannot be served by so many workers."""
        check_workers(config, count)
        self._numbers = MergedMetrics(config.snapshot.gateway.apis, lambda: self._slots.refresh())
        self._slots = Slots(count, self._numbers)
        self._reloader = Reloader(config, self._read, self._reload_workers)
        self._replicator = open_replicator(config)
        self._wanted = config
        """What a worker gets that starts now."""
        self._commands: SimpleQueue[Command] = SimpleQueue()  # the one queue that a signal handler may use
        self._pending: Command | None = None
        self._started = False
        self._stopping = False
        self._watcher = WatchingThread(
            lambda: self._reloader.config.named_files, lambda: self._commands.put(Command.RELOAD)
        )
        registry = CollectorRegistry()
        registry.register(self._numbers)
        registry.register(ReloadMetrics(self._reloader.status))
        registry.register(WorkerMetrics(count, self._slots.count_ready, self._slots.replaced))
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
        self._replicator.start()
        for slot in self._slots.all:
            self._slots.create(slot)
        for slot in self._slots.all:
            fault = self._slots.start(slot, self._wanted)
            if fault:
                raise StartFailed(fault)
        self._started = self._slots.backs_off = True
        if self._reloader.config.file.watch:
            self._watcher.start()
        _log.info("%d workers, operations on port %d", len(self._slots.all), self.operations.port)

    def loop(self) -> None:
        """Tend the workers, and do what is asked."""
        while not self._stopping:
            self._tend(PING_EVERY_S)
            command, self._pending = self._pending, None
            if command is Command.RESTART:
                self._reloader.reload(self._restart_workers, KEPT_BY_SUPERVISOR)
            elif command is Command.RELOAD:
                self._reloader.reload()

    def stop(self) -> None:
        """Let every worker drain at the same time, then end what is left."""
        self._stopping = True
        self._watcher.stop()
        workers = self._slots.workers()
        for worker in workers:
            self._slots.ask_to_stop(worker)
        deadline = time.monotonic() + self._patience_s()
        for worker in workers:
            while not worker.has_ended() and time.monotonic() < deadline:
                time.sleep(0.02)
            self._slots.bury(worker)
        self._replicator.stop()
        self.operations.stop()

    # What is asked of all workers.

    def _read(self) -> ServiceConfig:
        config = load(self._reloader.config.path)
        check_workers(config, len(self._slots.all))
        return config

    def _reload_workers(self, config: ServiceConfig) -> None:
        """One after the other. A worker that cannot follow is replaced: no two revisions stay side by side."""
        self._wanted = config
        self._replicator.configure(config)
        for slot in self._slots.all:
            if slot.worker is None:
                continue
            try:
                slot.worker.ask("reload", LOAD_TIMEOUT_S, config.texts)
            except (WorkerSilent, WorkerRefused):
                self._slots.empty(slot, "unable to reload")
        self._numbers.follow(config.snapshot.gateway.apis)

    def _restart_workers(self, config: ServiceConfig) -> None:
        """One after the other, so that all but one serve at any time. Raises ConfigError when the new one cannot."""
        before, self._wanted = self._wanted, config
        self._replicator.configure(config, folder_too=True)
        for slot in self._slots.all:
            if slot.worker is not None:
                self._drain(slot, slot.worker)
            if self._stopping:
                return
            slot.failures, slot.not_before_s = 0, 0.0
            fault = self._slots.fill(slot, self._wanted)
            if fault:
                self._wanted = before
                raise ConfigError([Problem(str(config.path), 1, (), f"{fault}; the restart ends here")])
            if slot is not self._slots.all[-1]:
                # Envoy needs as long to see that this one serves as it needs to see that one drains.
                self._tend_for(config.file.drain.total_seconds(), lambda: self._stopping)
        self._numbers.follow(config.snapshot.gateway.apis)

    def _drain(self, slot: Slot, worker: WorkerProcess) -> None:
        self._slots.ask_to_stop(worker)
        self._tend_for(self._patience_s(), worker.has_ended, leave=slot)
        self._slots.empty(slot, "restarted")

    def _tend_for(self, seconds: float, until: Callable[[], bool], leave: Slot | None = None) -> None:
        deadline_s = time.monotonic() + seconds
        while not until() and time.monotonic() < deadline_s:
            self._tend(0.1, leave)

    def _tend(self, wait_s: float, leave: Slot | None = None) -> None:
        """Wait for a command for at most ``wait_s``; ping who lives, replace who does not."""
        self._hear(wait_s)
        for slot in self._slots.all:
            if slot is leave or self._stopping:
                continue
            if slot.worker is not None:
                self._slots.examine(slot, slot.worker)
            if slot.worker is None and time.monotonic() >= slot.not_before_s:
                fault = self._slots.fill(slot, self._wanted)
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

    def _patience_s(self) -> float:
        return self._reloader.config.file.drain.total_seconds() + GRACE_S + RECORDS_S + 2.0

    # What the outside sees, asked from threads of the operations port.

    def _readiness(self) -> dict[str, Any]:
        workers = [{"index": worker.place.index, "pid": worker.pid, **worker.state} for worker in self._slots.workers()]
        return {
            "ready": self._started and not self._stopping and self._slots.count_ready() > 0,
            "revision": self._reloader.config.snapshot.revision,
            **self._reloader.status.details(),
            "workers": workers,
        }
