"""Reload: a new snapshot is built aside, validated whole, and swapped in; a bad one changes nothing and says so."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from extauthz.config import ConfigError, ServiceConfig, load
from extauthz.config.schema import ConfigFile
from extauthz.serve.decision_log import DecisionLog, NullDecisionLog
from extauthz.wire.servicer import Current, Servicer, describe

RESTART_ONLY: Final = ("listen", "operations", "transport", "replay", "watch", "drain", "decision_log")
"""The keys that a running process cannot change: sockets, threads and stores that exist already."""
_SHOWN_PROBLEMS: Final = 20
_log: Final = logging.getLogger("extauthz")


class Result(StrEnum):
    """What a reload ended in."""

    SUCCESS = "success"
    FAILURE = "failure"


@dataclass(slots=True)
class ReloadStatus:
    """What metrics and /readyz tell about reloads. Times are in seconds since 1970, 0 for never."""

    succeeded: int = 0
    failed: int = 0
    last_success_s: float = 0.0
    last_failure_s: float = 0.0
    problems: tuple[str, ...] = ()
    """Why the last reload failed; empty once one succeeds."""
    restart_needed: tuple[str, ...] = ()
    """Keys of the file that differ from what the process runs with, and wait for a restart."""

    def details(self) -> dict[str, Any]:
        """For /readyz: nothing where there is nothing to tell."""
        told: dict[str, Any] = {}
        if self.problems:
            told["reload_failed"] = list(self.problems)
        if self.restart_needed:
            told["restart_needed"] = list(self.restart_needed)
        return told


class Reloader:
    """Loads the configuration file again and swaps the snapshot of a servicer."""

    def __init__(
        self,
        config: ServiceConfig,
        servicer: Servicer,
        decision_log: DecisionLog | NullDecisionLog,
        read: Callable[..., ServiceConfig] = load,
    ) -> None:
        """``config`` is what the process started with; settings outside the snapshot are compared with it."""
        self.config = config
        """The configuration that is being served; after a bad reload still the one before it."""
        self.status = ReloadStatus()
        self._started_with = config.file
        self._servicer = servicer
        self._decision_log = decision_log
        self._read = read
        self._one_at_a_time = asyncio.Lock()

    async def reload(self) -> Result:
        """Load, validate, swap. Never raises: what went wrong is logged and kept in ``status``."""
        async with self._one_at_a_time:
            try:
                config, current = await asyncio.to_thread(self._build)
            except ConfigError as error:
                return self._failed([str(problem) for problem in error.problems])
            except Exception as error:
                return self._failed([f"unexpected: {describe(error)}"])
            self._swap(config, current)
            return Result.SUCCESS

    def _build(self) -> tuple[ServiceConfig, Current]:
        config = self._read(self.config.path)
        return config, Current.of(config.snapshot)

    def _swap(self, config: ServiceConfig, current: Current) -> None:
        previous, self.config = self.config, config
        self._servicer.current = current
        self._decision_log.revision = config.snapshot.revision
        status = self.status
        status.succeeded += 1
        status.last_success_s = time.time()
        status.problems = ()
        status.restart_needed = changed_keys(self._started_with, config.file, RESTART_ONLY)
        _log.info("reloaded: revision %s, before %s", config.snapshot.revision, previous.snapshot.revision)
        if status.restart_needed:
            _log.warning("changed, but only a restart applies it: %s", ", ".join(status.restart_needed))

    def _failed(self, problems: list[str]) -> Result:
        shown = problems[:_SHOWN_PROBLEMS]
        if len(problems) > len(shown):
            shown.append(f"and {len(problems) - len(shown)} more; `extauthz check-config` lists all")
        self.status.failed += 1
        self.status.last_failure_s = time.time()
        self.status.problems = tuple(shown)
        revision = self.config.snapshot.revision
        _log.error("reload refused, revision %s stays in force: %s", revision, "; ".join(shown))
        return Result.FAILURE


def changed_keys(before: ConfigFile, after: ConfigFile, keys: Iterable[str]) -> tuple[str, ...]:
    """Those of ``keys`` whose values differ between two files."""
    return tuple(key for key in keys if getattr(before, key) != getattr(after, key))
