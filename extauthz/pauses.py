"""No pauses: what would hold the interpreter, and so every check, for more than some milliseconds, and what is done.

- A collection of cyclic garbage looks at every object: 1.5 s of processor time for 100,000 apps. What is loaded makes
  no cycles and stays until the next snapshot, so it is frozen (``settle``), and no collection looks at it again.
  What is replaced is freed by its reference counts, in steps (``release``).
- While a snapshot is built, its young objects are many: they are frozen before they are many (``building``).
- A thread that computes gives way when another one asks for the interpreter, but only after an interval.
"""

import gc
import sys
from collections.abc import Iterator, MutableMapping, MutableSequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final

SWITCH_S: Final = 0.001
"""After so long a thread that computes (a reload, a scrape) gives way to the checks, in seconds. Python's 0.005 puts
5 ms before every turn of the event loop."""
THRESHOLDS: Final = (10_000, 20, 50)
"""Checks leave no cycles: what is left to collect comes from exceptions and connections. A young collection of 10,000
objects takes below a millisecond. A full one looks at what was not frozen, most of which are verified tokens: 5 ms for
the 10,000 that a JWT plug-in remembers by default, 50 ms for 100,000."""
_building: Final = Lock()


def give_way_soon() -> None:
    """Set what holds for the whole process. Called once, by a process that serves."""
    sys.setswitchinterval(SWITCH_S)
    gc.set_threshold(*THRESHOLDS)


def settle() -> None:
    """What is there now stays: no collection looks at it again."""
    gc.freeze()


@contextmanager
def building() -> Iterator[None]:
    """Around the building of a snapshot.

    Whatever a young collection leaves is frozen at once. So every collection, even one that is forced, looks at some
    thousand objects instead of the millions that the snapshot is made of.
    """
    with _building:
        gc.collect()  # of little, since the rest is frozen; so that no garbage is frozen with what is built
        gc.callbacks.append(_freeze_what_is_left)
        try:
            yield
        finally:
            gc.callbacks.remove(_freeze_what_is_left)


def _freeze_what_is_left(phase: str, _info: dict[str, int]) -> None:
    if phase == "stop":
        gc.freeze()


def release(*containers: MutableSequence[Any] | MutableMapping[Any, Any]) -> None:
    """Empty what nobody else reads, and let other threads have their turn after each entry.

    What is freed in one go holds the interpreter until all of it is.
    """
    for held in containers:
        if isinstance(held, MutableMapping):
            while held:
                held.popitem()
        else:
            while held:
                held.pop()
