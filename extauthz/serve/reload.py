"""Reload: a configuration is built aside, validated whole, put into force; a bad one changes nothing and says so."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from extauthz.config import ConfigError, ServiceConfig
from extauthz.config.schema import ConfigFile
from extauthz.pauses import building, release, settle
from extauthz.serve.changes import changes
from extauthz.wire.failure import describe

RESTART_ONLY: Final = (
    "listen",
    "operations",
    "transport",
    "replay",
    "limits",
    "watch",
    "drain",
    "decision_log",
    "tracing",
    "capture",
    "registry",
)
"""The keys that a running process cannot change: sockets, threads and stores that exist already."""
KEPT_BY_SUPERVISOR: Final = ("operations", "watch")
"""Those of them that even a restart of all workers leaves as they were: they are the supervisor's own."""
_SHOWN_PROBLEMS: Final = 20
_log: Final = logging.getLogger("extauthz")


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
    """Reads a configuration again and hands it to whoever puts it into force."""

    def __init__(
        self, config: ServiceConfig, read: Callable[[], ServiceConfig], apply: Callable[[ServiceConfig], None]
    ) -> None:
        """``config`` is what the process started with. ``read`` may raise ConfigError; ``apply`` gets what it read."""
        self.config = config
        """The configuration that is in force; after a bad reload still the one before it."""
        self.status = ReloadStatus()
        self._running_with = config.file
        self._read = read
        self._apply = apply
        self._one_at_a_time = threading.Lock()

    def reload(
        self, apply: Callable[[ServiceConfig], None] | None = None, restart_only: tuple[str, ...] = RESTART_ONLY
    ) -> bool:
        """Read, validate, apply; whether that went well. Blocks: call it from a thread that may wait.

        Never raises: what went wrong is logged and kept in ``status``. ``apply`` is another way to put the
        configuration into force this time, which leaves only the keys in ``restart_only`` as they were.
        """
        with self._one_at_a_time, building():  # to the end: telling what changed makes as much as the snapshot
            try:
                config = self._read()
                (apply or self._apply)(config)
                settle()
            except ConfigError as error:
                return self._failed([str(problem) for problem in error.problems])
            except Exception as error:
                return self._failed([f"unexpected: {describe(error)}"])
            self._succeeded(config, restart_only)
            return True

    def _succeeded(self, config: ServiceConfig, restart_only: Iterable[str]) -> None:
        before, self.config = self.config, config
        kept = {key: getattr(self._running_with, key) for key in restart_only}
        self._running_with = config.file.model_copy(update=kept)
        status = self.status
        status.succeeded += 1
        status.last_success_s = time.time()
        status.problems = ()
        status.restart_needed = _changed_keys(self._running_with, config.file)
        revisions = (config.snapshot.revision, before.snapshot.revision)
        _log.info("reloaded: revision %s, before %s; %s", *revisions, changes(before, config) or "no entry changed")
        for note in config.notes:
            _log.warning("%s", note)
        replaced = before.lists()
        del before
        release(*replaced)
        if status.restart_needed:
            _log.warning("changed, but only a restart applies it: %s", ", ".join(status.restart_needed))

    def _failed(self, problems: list[str]) -> bool:
        shown = problems[:_SHOWN_PROBLEMS]
        if len(problems) > len(shown):
            shown.append(f"and {len(problems) - len(shown)} more; `extauthz check-config` lists all")
        self.status.failed += 1
        self.status.last_failure_s = time.time()
        self.status.problems = tuple(shown)
        revision = self.config.snapshot.revision
        _log.error("reload refused, revision %s stays in force: %s", revision, "; ".join(shown))
        return False


def _changed_keys(running_with: ConfigFile, wanted: ConfigFile) -> tuple[str, ...]:
    return tuple(key for key in RESTART_ONLY if getattr(running_with, key) != getattr(wanted, key))
