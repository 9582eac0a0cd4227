"""The life of a service in one process: start, loop, stop."""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final

from extauthz.config import ServiceConfig, load
from extauthz.domain.clock import wall_clock_ms
from extauthz.pauses import give_way_soon, settle
from extauthz.serve.metrics import ReloadMetrics
from extauthz.serve.operations import OperationsServer
from extauthz.serve.reload import Reloader
from extauthz.serve.replicator_process import open_replicator
from extauthz.serve.service import Service
from extauthz.serve.watch import watch_files

_log: Final = logging.getLogger("extauthz")


class Process:
    """One process: it answers checks, reloads on SIGHUP or when a file changes, and ends on SIGTERM or SIGINT."""

    def __init__(self, config: ServiceConfig, now_ms: Callable[[], int] = wall_clock_ms) -> None:
        """``now_ms`` gives the time in milliseconds since 1970. No configuration reaches it; tests pass their own."""
        self.service = Service(config, now_ms=now_ms)
        self._replicator = open_replicator(config)
        self.reloader = Reloader(config, lambda: load(config.path), self._apply)
        self.service.registry.register(ReloadMetrics(self.reloader.status))
        self.operations = OperationsServer(config.file.operations, self.service.registry, self._readiness)
        self._watches = config.file.watch
        self._stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[object]] = set()

    async def run(self) -> None:
        """Start, serve until told to stop, stop. Raises OSError when an address cannot be bound."""
        try:
            await self.start()
            await self._stopping.wait()
            await self.stop()
        finally:
            self._replicator.stop()

    async def start(self) -> None:
        """Listen to signals and files, then open the ports."""
        give_way_soon()
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._keep(self._reload()))
        self._replicator.start()
        await self.service.start()
        self.operations.start()
        if self._watches:
            self._keep(watch_files(lambda: self.reloader.config.named_files, self._reload, self._stopping))
        settle()
        _log.info("operations on port %d", self.operations.port)

    async def stop(self) -> None:
        """Drain, finish what is in flight, close."""
        await self.service.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.operations.stop()

    def _apply(self, config: ServiceConfig) -> None:
        self._replicator.configure(config)
        self.service.apply(config)

    def _readiness(self) -> dict[str, Any]:
        return {**self.service.readiness(), **self.reloader.status.details()}

    async def _reload(self) -> None:
        await asyncio.to_thread(self.reloader.reload)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
