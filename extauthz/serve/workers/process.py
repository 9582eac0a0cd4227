"""A worker as its supervisor sees it: a process at the other end of two pipes, and what it last said."""

import itertools
import os
import socket
import struct
import subprocess
import sys
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from threading import Lock
from typing import Any, Final

from extauthz.config import ServiceConfig
from extauthz.config.place import Place
from extauthz.config.source import Text
from extauthz.serve.workers.merged_metrics import MergedMetrics
from extauthz.serve.workers.numbers import NumbersSink
from extauthz.serve.workers.worker import receive, send

LOAD_TIMEOUT_S: Final = 120.0
"""How long a worker may take to build a snapshot: a large one takes tens of seconds."""
_STUCK_S: Final = 5
"""How long a pipe may take nothing, or give only part of a message: a worker that was stopped must not stop us too."""
_NUMBERS: Final = itertools.count(1)


class WorkerSilent(Exception):
    """A worker that did not answer in time, or whose pipe is closed."""


class WorkerRefused(Exception):
    """A worker that could not start or do what it was asked; the message says why, without secrets."""


class WorkerProcess:
    """One process that runs ``extauthz.serve.workers.worker``."""

    def __init__(self, place: Place, metrics: MergedMetrics) -> None:
        """Start the process; it waits for ``start``."""
        self.place = place
        self.started_s = time.monotonic()
        self.state: dict[str, Any] = {"ready": False}
        self.started = False
        """Whether it has its configuration and has served."""
        self._number = next(_NUMBERS)
        self._metrics = metrics
        self._asking = Lock()
        self._messages = itertools.count(1)
        self._pipe, its_orders = Pipe()
        _never_wait_for_ever(self._pipe)
        numbers, its_numbers = Pipe()
        ends = [its_orders.fileno(), its_numbers.fileno()]
        arguments = map(str, (place.index, place.count, *ends))
        self._process = subprocess.Popen(  # noqa: S603  the command is ours
            [sys.executable, "-m", "extauthz.serve.workers.worker", *arguments], pass_fds=ends
        )
        its_orders.close()
        its_numbers.close()
        metrics.add(self._number)
        self.numbers = NumbersSink(numbers, lambda told: metrics.update(self._number, told))

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def age_s(self) -> float:
        """Since it was started, in seconds."""
        return time.monotonic() - self.started_s

    def start(self, config: ServiceConfig) -> None:
        """Hand over the configuration and wait until it serves. Raises WorkerRefused, WorkerSilent."""
        self.ask("start", LOAD_TIMEOUT_S, config.texts, path=str(config.path))
        self.started = True

    def ask(self, what: str, timeout_s: float, texts: tuple[Text, ...] = (), **more: str) -> None:
        """Ask, wait for the answer, keep its state. Raises WorkerRefused, WorkerSilent."""
        deadline = time.monotonic() + timeout_s
        if not self._asking.acquire(timeout=timeout_s):
            raise WorkerSilent
        try:
            number = next(self._messages)
            try:
                send(self._pipe, {"id": number, "ask": what, **more}, texts)
            except OSError:
                raise WorkerSilent from None
            while self._pipe.poll(max(0.0, deadline - time.monotonic())):
                answer = receive(self._pipe)
                if answer is None:
                    break
                if answer["id"] == number:  # another number: an answer that came too late for its question
                    return self._keep(answer)
            raise WorkerSilent
        finally:
            self._asking.release()

    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def retire(self) -> None:
        """Read what it left behind, and count it among the dead. The process must have ended."""
        self.numbers.close()
        with self._asking:
            self._pipe.close()
        self.state = {"ready": False}
        self._metrics.retire(self._number)

    def _keep(self, answer: dict[str, Any]) -> None:
        if "error" in answer:
            raise WorkerRefused(answer["error"])
        self.state = answer["state"]


def _never_wait_for_ever(pipe: Connection) -> None:
    """Reading and writing raise OSError after ``_STUCK_S``: a configuration is more than the system's buffers take."""
    with socket.socket(fileno=os.dup(pipe.fileno())) as same:
        for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            same.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", _STUCK_S, 0))
