"""How long a serving process pauses while a replica arrives, beside one that does nothing, on the same machine.

Run as a program, this is the one that does nothing: it ends with standard input and prints its longest pause in ms.
"""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from extauthz.serve.registry_follower import RegistryFollower

_STEP_S: Final = 0.001


class Pauses(NamedTuple):
    """What was seen of the loop of a process; all in milliseconds."""

    longest: float
    worked: float
    """The most processor time that the process used between two turns of its loop: this much of a pause is its own."""
    idle: float
    """The longest pause of a process that does nothing: this much of one is the machine's."""

    def __str__(self) -> str:
        return f"{self.longest:.1f} ms, {self.worked:.1f} ms of it at work; an idle process paused {self.idle:.1f} ms"


def pauses_until(
    follower: RegistryFollower, there: Callable[[], bool], began: Callable[[], object] = lambda: None
) -> Pauses:
    """Follow as `extauthz serve` does until something is so. ``began`` is called once everything is watched."""
    command = [sys.executable, "-m", "bench.registry_pauses"]
    idle = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert idle.stdout is not None
    idle.stdout.readline()  # it has begun
    began()
    longest_s, worked_s = asyncio.run(_watch(follower, there))
    told, _ = idle.communicate()
    return Pauses(longest_s * 1000, worked_s * 1000, float(told))


async def _watch(follower: RegistryFollower, there: Callable[[], bool]) -> tuple[float, float]:
    longest_s = worked_s = 0.0
    starting = asyncio.create_task(follower.start(lambda: None))
    await asyncio.sleep(0)
    while not (starting.done() and there()):
        before_s, used_s = time.monotonic(), time.process_time()
        await asyncio.sleep(_STEP_S)
        longest_s = max(longest_s, time.monotonic() - before_s - _STEP_S)
        worked_s = max(worked_s, time.process_time() - used_s)
    await starting
    await follower.stop()
    return longest_s, worked_s


def main() -> None:
    ending = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        ending.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    print("watching", flush=True)
    longest_s = 0.0
    while not ending.is_set():
        before_s = time.monotonic()
        time.sleep(_STEP_S)
        longest_s = max(longest_s, time.monotonic() - before_s - _STEP_S)
    print(longest_s * 1000)


if __name__ == "__main__":
    main()
