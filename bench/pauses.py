"""How long the event loop stands still while a configuration is loaded: ``python -m bench.pauses [--apps 100000]``.

The service of `extauthz serve` runs in this process and reloads a file in which every app has another owner. The loop
turns every two milliseconds. What counts is how much processor time the reload used between two turns, less what the
loop waited for a core: so a busy machine says about the same as an idle one.
"""

import argparse
import asyncio
import json
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import uvloop

from extauthz.config import load
from extauthz.serve.process import Process

EDGES_MS: Final = (1, 2, 5, 10, 20, 50)
TURN_S: Final = 0.002
_KEYS_FROM: Final = 600_000_000


@dataclass(frozen=True, slots=True)
class Pauses:
    """What one reload did to the loop."""

    reload_s: float
    """Processor time of the reload, in seconds."""
    gaps_ms: tuple[float, ...]
    """Between two turns, the shortest first."""

    def at(self, share: float) -> float:
        """The gap that this share of all is below, in milliseconds."""
        return self.gaps_ms[min(len(self.gaps_ms) - 1, int(share * len(self.gaps_ms)))]

    def histogram(self) -> list[tuple[str, int]]:
        """How many gaps there are in each range of milliseconds."""
        edges = (0, *EDGES_MS, float("inf"))
        return [
            (f"{low} to {high} ms", sum(low <= gap < high for gap in self.gaps_ms)) for low, high in pairwise(edges)
        ]


def first_key() -> str:
    """The AppKey of the first app."""
    return str(_KEYS_FROM)


def write_apps(file: Path, count: int, owner: str, ports: tuple[int, int], secret: str = "") -> None:
    """A configuration of so many apps, each with a key, a code and a grant. ``secret`` is that of the first."""
    with file.open("w") as out:
        out.write(f"listen: [{{address: '127.0.0.1:{ports[0]}'}}]\noperations: 127.0.0.1:{ports[1]}\n")
        out.write("watch: false\ndrain: 0\ndecision_log: {destination: none}\ngroups: [{id: g, domains: ['*']}]\n")
        out.write("apis: [{id: orders, group: g, methods: [GET], path: /v1/orders, auth: {internet: digest}}]\n")
        out.writelines(("apps:\n", *(_app(number, owner, "" if number else secret) for number in range(count))))
        out.writelines(("grants:\n", *(f"  - {{app: app-{number}, apis: [orders]}}\n" for number in range(count))))


def _app(number: int, owner: str, secret: str) -> str:
    key, code = secret or secrets.token_hex(16), secrets.token_hex(16)
    return (
        f"  - id: app-{number}\n    owner: {owner}\n"
        f"    keys: [{{app_key: '{_KEYS_FROM + number}', app_secret: {key}}}]\n    app_codes: [{code}]\n"
    )


def measure(folder: Path, apps: int) -> Pauses:
    """Serve, change the file, reload."""
    file = folder / "many.yaml"
    file.touch(mode=0o600)
    ports = tuple(_free_ports())
    write_apps(file, apps, "before", (ports[0], ports[1]))
    return uvloop.run(_measure(file, lambda: write_apps(file, apps, "after", (ports[0], ports[1]))))


async def _measure(file: Path, change: Callable[[], None]) -> Pauses:
    process = Process(load(file))
    await process.start()
    change()
    seconds: list[float] = []
    reloading = threading.Thread(target=lambda: seconds.append(_reload(process)))
    reloading.start()
    clock = time.pthread_getcpuclockid(reloading.ident or 0)
    gaps_ms: list[float] = []
    used_s, waited_s = time.clock_gettime(clock), _waited_for_a_core_s()
    while not seconds:
        await asyncio.sleep(TURN_S)
        if not reloading.is_alive():
            break
        used_before_s, waited_before_s = used_s, waited_s
        used_s, waited_s = time.clock_gettime(clock), _waited_for_a_core_s()
        gaps_ms.append(1000 * max(0.0, used_s - used_before_s - (waited_s - waited_before_s)))
    reloading.join()
    await process.stop()
    return Pauses(seconds[0], tuple(sorted(gaps_ms)))


def _reload(process: Process) -> float:
    began_s = time.thread_time()
    if not process.reloader.reload():
        raise RuntimeError(f"the reload failed: {process.reloader.status.problems}")
    return time.thread_time() - began_s


def _waited_for_a_core_s() -> float:
    """For how long this thread could have run and had no core, in seconds; 0 where the kernel does not say."""
    try:
        return int(Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


def _free_ports() -> Iterator[int]:
    with socket.socket() as one, socket.socket() as other:
        for bound in (one, other):
            bound.bind(("127.0.0.1", 0))
            yield bound.getsockname()[1]


def measured_apart(apps: int) -> Pauses:
    """The same in a process of its own, which then ends with all that it used."""
    command = [sys.executable, "-m", "bench.pauses", "--apps", str(apps), "--json"]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    seconds, gaps_ms = json.loads(told)
    return Pauses(seconds, tuple(gaps_ms))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--apps", type=int, default=100_000)
    arguments.add_argument("--json", action="store_true", help="all gaps, for another program")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-pauses-") as name:
        pauses = measure(Path(name), chosen.apps)
    if chosen.json:
        print(json.dumps([pauses.reload_s, pauses.gaps_ms]))
        return
    print(f"{pauses.reload_s:.1f} s of processor time, {len(pauses.gaps_ms)} turns of the loop meanwhile")
    print(f"p50 {pauses.at(0.5):.2f}, p99 {pauses.at(0.99):.2f}, longest {pauses.gaps_ms[-1]:.2f} ms")
    for between, count in pauses.histogram():
        print(f"{between:>14} {count:7}")


if __name__ == "__main__":
    main()
