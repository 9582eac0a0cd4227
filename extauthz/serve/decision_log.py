"""The decision log: one JSON line a decision, written off the path of the check, never with a credential in it."""

import contextlib
import json
import queue
import random
import sys
import threading
import time
from typing import IO, Any, Final, NamedTuple

from extauthz.domain.decision import Allow, Decision
from extauthz.domain.request import Request

_CLOSE: Final = None
_CLOSE_TIMEOUT_S: Final = 5


class _Entry(NamedTuple):
    time_s: float
    request_id: str
    request: Request | None
    decision: Decision
    seconds: float
    revision: str


class NullDecisionLog:
    """Writes nothing."""

    dropped = 0
    revision = ""

    def decided(self, request_id: str, request: Request | None, decision: Decision, seconds: float) -> None:
        """Forget the decision."""

    def close(self) -> None:
        """Nothing to close."""


class DecisionLog:
    """Hands decisions to a thread that formats and writes them; drops and counts lines when its queue is full."""

    def __init__(
        self, output: IO[str], capacity: int, sample_allowed: float, revision: str = "", whole_lines: bool = False
    ) -> None:
        """``whole_lines``: each is written at once, for an output that other processes write to as well."""
        self.dropped = 0
        self.revision = revision
        """Of the snapshot that decides now; a reload assigns it."""
        self._output = output
        self._whole_lines = whole_lines
        self._sample_allowed = sample_allowed
        self._entries: queue.Queue[_Entry | None] = queue.Queue(capacity)
        self._writer = threading.Thread(target=self._write, name="decision-log", daemon=True)
        self._writer.start()

    def decided(self, request_id: str, request: Request | None, decision: Decision, seconds: float) -> None:
        """Queue one decision."""
        if isinstance(decision, Allow) and self._sample_allowed < 1 and random.random() >= self._sample_allowed:  # noqa: S311
            return
        try:
            self._entries.put_nowait(_Entry(time.time(), request_id, request, decision, seconds, self.revision))
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write what is queued, wait a few seconds at most, and close the file."""
        with contextlib.suppress(queue.Full):  # a writer that hangs must not keep the process from ending
            self._entries.put(_CLOSE, timeout=_CLOSE_TIMEOUT_S)
        self._writer.join(timeout=_CLOSE_TIMEOUT_S)
        if self._output is not sys.stdout:
            with contextlib.suppress(OSError):
                self._output.close()

    def _write(self) -> None:
        while (entry := self._entries.get()) is not _CLOSE:
            try:
                line = json.dumps(describe(entry), ensure_ascii=False, separators=(",", ":"))
                self._output.write(line + "\n")
                if self._whole_lines or self._entries.empty():
                    self._output.flush()
            except (OSError, ValueError):  # a full disk: lines are lost and counted, and the next one is tried
                self.dropped += 1
        with contextlib.suppress(OSError, ValueError):
            self._output.flush()


def describe(entry: _Entry) -> dict[str, Any]:
    """The fields of one line. Paths are logged without their query, which may hold credentials."""
    decision, request, about = entry.decision, entry.request, entry.decision.about
    allowed = isinstance(decision, Allow)
    line: dict[str, Any] = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(entry.time_s)) + f".{int(entry.time_s % 1 * 1000):03d}Z",
        "request_id": entry.request_id,
        "decision": "allow" if allowed else "deny",
        "reason": decision.label if isinstance(decision, Allow) else decision.reason.label,
        "api": about.api.id if about.api else None,
        "stage": about.stage.value if about.stage else None,
        "method": about.method or None,
        "app_id": about.app.id if about.app else None,
        "duration_us": round(entry.seconds * 1e6),
        "revision": entry.revision,
    }
    if request is not None:
        line["network"] = request.network.value
        line["http"] = f"{request.method} {request.host}{request.path}"[:2048]
        line["peer"] = request.peer
    if isinstance(decision, Allow):
        if decision.reading:
            line["reading"] = decision.reading
        if decision.warning:
            line["strict_would_refuse"] = decision.warning
    else:
        line["detail"] = decision.detail or None
        line["advice"] = decision.reason.advice
    return line
