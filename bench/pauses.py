"""How long the event loop stands still while configurations are loaded: ``python -m bench.pauses [--apps 100000]``.

The service of `extauthz serve` runs in this process and reloads a file in which every app has another owner, again and
again for a minute. The loop wants a turn every two milliseconds and forces a full collection once a second. A gap is by
how much a turn is late: the processor time that the reload used meanwhile, less what the loop waited for a core, and
what the collection took. So a busy machine says about the same as an idle one. All of it runs on one core: on two, how
soon the machine wakes one that was idle would be measured as well, and a virtual one takes 10 ms now and then.
"""

import argparse
import asyncio
import gc
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, pairwise
from pathlib import Path
from typing import Final

import uvloop

from extauthz.config import load
from extauthz.serve.process import Process

EDGES_MS: Final = (1, 2, 5, 10, 20, 50)
TURN_S: Final = 0.002
COLLECT_EVERY_S: Final = 1.0
A_MINUTE_S: Final = 60.0
_KEYS_FROM: Final = 600_000_000


@dataclass(frozen=True, slots=True)
class Pauses:
    """What reloads and collections did to the loop."""

    reloads_s: tuple[float, ...]
    """Processor time of each reload, in seconds."""
    collections: int
    """How many were forced."""
    gaps_ms: tuple[float, ...]
    """By how much each turn was late, the least first."""

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
        f"    keys: [{{app_key: '{_KEYS_FROM + number}', app_secret: '{key}'}}]\n    app_codes: ['{code}']\n"
    )


def measure(folder: Path, apps: int, seconds: float = 0) -> Pauses:
    """Serve and reload, at least once and for so long."""
    file, ports = folder / "many.yaml", tuple(_free_ports())
    others = [folder / f"{owner}.yaml" for owner in ("before", "after")]
    for other in others:
        write_apps(other, apps, other.stem, (ports[0], ports[1]))
    file.touch(mode=0o600)
    shutil.copyfile(others[0], file)
    return uvloop.run(_measure(file, others[1:] + others[:1], seconds))


async def _measure(file: Path, others: list[Path], seconds: float) -> Pauses:
    process = Process(load(file))
    await process.start()
    until_s = time.monotonic() + seconds
    reloads_s: list[float] = []
    reloading = threading.Thread(target=lambda: reloads_s.extend(list(_reload_until(until_s, process, file, others))))
    reloading.start()
    clock = time.pthread_getcpuclockid(reloading.ident or 0)
    gaps_ms: list[float] = []
    used_s, waited_s, collected_s, collections = time.clock_gettime(clock), _waited_for_a_core_s(), 0.0, 0
    collect_at_s = time.monotonic()
    while not reloads_s:
        await asyncio.sleep(TURN_S)
        if not reloading.is_alive():
            break
        used_before_s, waited_before_s = used_s, waited_s
        used_s, waited_s = time.clock_gettime(clock), _waited_for_a_core_s()
        reload_s = used_s - used_before_s - (waited_s - waited_before_s)
        gaps_ms.append(1000 * max(0.0, collected_s + reload_s - TURN_S))
        collected_s = 0.0
        if time.monotonic() >= collect_at_s:
            collect_at_s += COLLECT_EVERY_S
            collected_s, collections = _collect(), collections + 1
    reloading.join()
    await process.stop()
    return Pauses(tuple(reloads_s), collections, tuple(sorted(gaps_ms)))


def _collect() -> float:
    """Force a full collection; its processor time in seconds."""
    began_s = time.thread_time()
    gc.collect()
    return time.thread_time() - began_s


def _reload_until(until_s: float, process: Process, file: Path, others: list[Path]) -> Iterator[float]:
    for other in cycle(others):
        shutil.copyfile(other, file)
        began_s = time.thread_time()
        if not process.reloader.reload():
            raise RuntimeError(f"the reload failed: {process.reloader.status.problems}")
        yield time.thread_time() - began_s
        if time.monotonic() >= until_s:
            return


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


def measured_apart(apps: int, seconds: float) -> Pauses:
    """The same in a process of its own, which then ends with all that it used."""
    command = [sys.executable, "-m", "bench.pauses", "--apps", str(apps), "--seconds", str(seconds), "--json"]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    reloads_s, collections, gaps_ms = json.loads(told)
    return Pauses(tuple(reloads_s), collections, tuple(gaps_ms))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--apps", type=int, default=100_000)
    arguments.add_argument("--seconds", type=float, default=A_MINUTE_S)
    arguments.add_argument("--json", action="store_true", help="all gaps, for another program")
    chosen = arguments.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory(prefix="bench-pauses-") as name:
        pauses = measure(Path(name), chosen.apps, chosen.seconds)
    if chosen.json:
        print(json.dumps([pauses.reloads_s, pauses.collections, pauses.gaps_ms]))
        return
    seconds = ", ".join(f"{seconds:.1f}" for seconds in pauses.reloads_s)
    print(f"{len(pauses.reloads_s)} reloads of {seconds} s of processor time, {pauses.collections} forced collections")
    print(f"{len(pauses.gaps_ms)} turns of the loop meanwhile")
    print(f"p50 {pauses.at(0.5):.2f}, p99 {pauses.at(0.99):.2f}, longest {pauses.gaps_ms[-1]:.2f} ms")
    for between, count in pauses.histogram():
        print(f"{between:>14} {count:7}")


if __name__ == "__main__":
    main()
