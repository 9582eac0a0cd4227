"""The numbers of a worker on their way to its supervisor: asked for by a scrape, sent in pieces, on their own pipe.

They have a pipe and threads of their own so that neither a ping nor a check ever waits for them, however many they are.
The supervisor sends the number of its question; the worker answers with pieces, and then says which question that
answers and whether it was all. What a worker sends unasked when it ends is read as well: it never waits for a reader.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any, Final

from prometheus_client import CollectorRegistry

from extauthz.families import AT_A_TIME, Unhurried
from extauthz.wire.failure import describe

Numbers = list[dict[str, Any]]
"""Families of metrics as plain data: name, help, type, over_workers, samples."""
_FAREWELL: Final = 0
_READ_TO_THE_END_S: Final = 5.0
_log: Final = logging.getLogger("extauthz")


class NumbersSource:
    """The worker's end."""

    def __init__(self, pipe: Connection, registry: CollectorRegistry) -> None:
        self._pipe = pipe
        self._registry = registry
        self._sending = threading.Lock()

    def start(self) -> None:
        """Begin to answer, in a thread of its own, until the supervisor is gone."""
        threading.Thread(target=self._answer, name="numbers", daemon=True).start()

    def farewell(self) -> None:
        """Leave the last numbers behind. Raises OSError when the supervisor is gone."""
        self._send(_FAREWELL)

    def _answer(self) -> None:
        try:
            while True:
                self._send(int(self._pipe.recv_bytes()))
        except (EOFError, OSError):
            return

    def _send(self, question: int) -> None:
        with self._sending:
            whole = True
            told = pieces(self._registry)
            while True:
                try:
                    piece = next(told)
                except StopIteration:
                    break
                except Exception as error:  # a scrape that fails must not be the last one
                    _log.error("the numbers cannot be read: %s", describe(error))
                    whole = False
                    break
                self._tell(piece)
            self._tell({"answers": question, "whole": whole})

    def _tell(self, message: dict[str, Any]) -> None:
        self._pipe.send_bytes(json.dumps(message).encode())


def pieces(registry: CollectorRegistry) -> Iterator[dict[str, Any]]:
    """Everything that a registry shows, a few samples at a time, with a pause after each few."""
    for family in Unhurried(registry).collect():
        head = {
            "name": family.name,
            "help": family.documentation,
            "type": family.type,
            "over_workers": getattr(family, "over_workers", None),
        }
        samples: list[Any] = []
        told = False
        for sample in family.samples:
            samples.append([sample.name, sample.labels, sample.value])
            if len(samples) == AT_A_TIME:
                yield {**head, "samples": samples}
                samples, told = [], True
        if samples or not told:
            yield {**head, "samples": samples}


class NumbersSink:
    """The supervisor's end."""

    def __init__(self, pipe: Connection, keep: Callable[[Numbers], None]) -> None:
        """``keep`` gets the numbers whenever they have come whole, in a thread of this object."""
        self._pipe = pipe
        self._keep = keep
        self._arrived = threading.Condition()
        self._asked = 0
        self._answered = 0
        self._ended = False
        self._thread = threading.Thread(target=self._read, name="numbers", daemon=True)
        self._thread.start()

    def ask(self) -> None:
        """Ask for numbers, unless an earlier question is open still: a worker that hangs is asked once."""
        with self._arrived:
            if self._ended or self._asked != self._answered:
                return
            self._asked += 1
            try:
                self._pipe.send_bytes(str(self._asked).encode())
            except OSError:
                self._ended = True

    def wait(self, deadline_s: float) -> None:
        """Wait until what was asked has come, the worker is gone, or the monotonic clock shows ``deadline_s``."""
        with self._arrived:
            self._arrived.wait_for(
                lambda: self._ended or self._answered == self._asked, max(0.0, deadline_s - time.monotonic())
            )

    def close(self) -> None:
        """Read what is left and close the pipe. The worker must have ended."""
        self._thread.join(_READ_TO_THE_END_S)
        self._pipe.close()

    def _read(self) -> None:
        families: dict[str, dict[str, Any]] = {}
        try:
            while True:
                message = json.loads(self._pipe.recv_bytes())
                if "name" in message:
                    family = families.setdefault(message["name"], message)
                    if family is not message:
                        family["samples"] += message["samples"]
                    continue
                if message["whole"]:
                    self._keep(list(families.values()))
                families = {}
                if message["answers"] != _FAREWELL:
                    self._answer_is(message["answers"])
        except (EOFError, OSError):
            with self._arrived:
                self._ended = True
                self._arrived.notify_all()

    def _answer_is(self, question: int) -> None:
        with self._arrived:
            self._answered = question
            self._arrived.notify_all()
