"""Keeping denied checks while an operator wants them. Off, a check pays for one comparison."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from extauthz.domain.decision import Allow, Deny
from extauthz.domain.header_names import X_CA_KEY
from extauthz.domain.snapshot.directory import DirectoryUnavailable
from extauthz.families import Gauge, NoMetrics, OverWorkers
from extauthz.observe.capture.folder import KEPT_MS, Captured, CaptureFolder, Wanted
from extauthz.observe.capture.hiding import without_credentials
from extauthz.wire.checked import Checked
from extauthz.wire.failure import describe

LOOK_S: Final = 0.5
"""How often the folder is looked at, in seconds."""
_WAITING: Final = 32
"""Checks that wait to be written; more are left out and counted."""
_log: Final = logging.getLogger("extauthz")


class Capture(Protocol):
    """Who may be keeping checks."""

    metrics: Collector

    def record(self, checked: Checked) -> None:
        """See the record of a check. Never raises for any check, and never keeps one from being answered."""

    async def follow(self) -> None:
        """Look what is wanted, and write what is kept, until cancelled."""

    def readiness(self) -> dict[str, Any]:
        """What /readyz tells: nothing while nothing is kept."""


class NoCapture:
    """Of a configuration without `capture`."""

    def __init__(self) -> None:
        self.metrics: Collector = NoMetrics()

    def record(self, checked: Checked) -> None:
        return

    async def follow(self) -> None:
        return

    def readiness(self) -> dict[str, Any]:
        return {}


class Capturing(Collector):
    """Follows one folder."""

    def __init__(self, folder: CaptureFolder, now_ms: Callable[[], int]) -> None:
        """``now_ms`` gives the time in milliseconds since 1970."""
        self.metrics: Collector = self
        self._folder = folder
        self._now_ms = now_ms
        self._wanted: Wanted | None = None
        self._full = ""
        """The id of what was asked for, once all of it is kept."""
        self._waiting: deque[tuple[Wanted, Checked]] = deque()
        self._kept = 0
        self._left_out = 0

    def record(self, checked: Checked) -> None:
        """See ``Capture.record``."""
        wanted = self._wanted
        if wanted is None or checked.request is None:
            return
        if isinstance(checked.decision, Allow) and checked.decision.would_deny is None:
            return
        if self._now_ms() >= wanted.until_ms or not _is_of(checked, wanted):
            return
        if len(self._waiting) < _WAITING:
            self._waiting.append((wanted, checked))
        else:
            self._left_out += 1

    async def follow(self) -> None:
        """See ``Capture.follow``."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Write what waits, and see what is wanted now. Never raises: a capture that fails is told of in the log."""
        try:
            self._write()
            self._adopt(self._folder.wanted())
        except OSError as error:
            _log.error("capture: %s", describe(error))

    def readiness(self) -> dict[str, Any]:
        """See ``Capture.readiness``."""
        wanted = self._wanted
        if wanted is None:
            return {}
        until = datetime.fromtimestamp(wanted.until_ms / 1000, UTC).isoformat(timespec="seconds")
        return {"capture": {"app": wanted.app, "api": wanted.api, "checks": wanted.checks, "until": until}}

    def collect(self) -> Iterator[Metric]:
        """What a scrape sees."""
        yield Gauge(
            "extauthz_capture_on", "1 while denied checks are kept for an operator.",
            OverWorkers.HIGHEST, value=self._wanted is not None,
        )  # fmt: skip
        captured = CounterMetricFamily(
            "extauthz_capture_checks", "Denied checks, by what became of them.", labels=["kept"]
        )
        captured.add_metric(["yes"], self._kept)
        captured.add_metric(["no"], self._left_out)
        yield captured

    def _adopt(self, wanted: Wanted | None) -> None:
        """Follow what is wanted now, and say so when it is something else than before."""
        now_ms = self._now_ms()
        if wanted is not None and now_ms > wanted.until_ms + KEPT_MS:
            self._folder.clear()
            wanted = None
        if wanted is not None and (now_ms >= wanted.until_ms or wanted.id == self._full):
            wanted = None
        before, self._wanted = self._wanted, wanted
        if wanted is not None and (before is None or before.id != wanted.id):
            what = f"app {wanted.app}" if wanted.app else f"API {wanted.api}"
            _log.warning(
                "capture is on: up to %d denied checks of %s, for %d s; asked by %s: %s",
                wanted.checks, what, (wanted.until_ms - now_ms) // 1000, wanted.asked_by, wanted.why,
            )  # fmt: skip
        if before is not None and wanted is None:
            _log.warning("capture is off")

    def _write(self) -> None:
        while self._waiting:
            wanted, checked = self._waiting.popleft()
            if wanted.id == self._full:
                continue
            if self._folder.keep(wanted, _captured(checked)):
                self._kept += 1
            else:
                self._full = wanted.id


def _is_of(checked: Checked, wanted: Wanted) -> bool:
    if wanted.api and checked.api != wanted.api:
        return False
    return not wanted.app or _app_of(checked) == wanted.app


def _app_of(checked: Checked) -> str:
    """The app that a check is about, also where its signature did not prove it."""
    if checked.app or checked.request is None:
        return checked.app
    try:
        pair = checked.snapshot.directory.key_pair(checked.request.headers.get(X_CA_KEY, b"").strip())
    except DirectoryUnavailable:
        return ""
    return "" if pair is None else pair.app_id


def _captured(checked: Checked) -> Captured:
    request = checked.request
    if request is None:
        raise ValueError("a check without a request is not captured")
    decision = checked.decision
    denied = decision if isinstance(decision, Deny) else decision.would_deny
    hidden = without_credentials(request, checked.method, decision.about.api)
    return Captured(
        checked.id, int(checked.at_s * 1000), checked.network.value, checked.revision,
        checked.label if denied is None else denied.reason.label, checked.api,
        _app_of(checked), hidden.names, hidden.question,
    )  # fmt: skip
