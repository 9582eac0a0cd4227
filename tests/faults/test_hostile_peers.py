"""A slow or hostile peer at the gRPC port does not slow down the others, and does not fill the memory."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.hostile import FLOODS, KINDS
from tests.process.running import Caller, base_config, free_ports, status_of
from tests.transports import EVERY_TRANSPORT, FRONT

WINDOW_S, STARTING_S = 0.7, 0.3
ROUNDS = dict.fromkeys(KINDS | FLOODS, 4) | {"abandoned_streams": 6}
"""So that there are 10,000 streams, most of which are never ended, at a rate that grpcio can take."""
EVERY_S = 0.0025
"""A check is due so often. It counts from when it was due, so that a stall counts for all that fell into it."""
TWICE = 2.0
NOISE_S = 0.005
"""What the neighbours on a shared machine of two cores may add to one of two p99 that are compared."""
BURST_MS = 1000.0
"""The bound for grpcio under streams: grpc.aio makes a coroutine of every stream, so a burst of a hundred costs it some
40 ms in which nobody is answered, and no option of it bounds that. At this rate its core is full where it is shared."""
ATTEMPTS = 3
"""How often the machine may be at fault. What a peer does to others, it does every time."""
MEMORY_MIB = 160
FEWEST = {"half_open": 1000, "abandoned_streams": 9000, "garbage": 200, "large_bodies": 10, "allowed_bodies": 10}
FEWEST |= dict.fromkeys(FLOODS, 2000)
"""How much the hostile peer must have got done for the comparison to mean anything."""


class Attacker:
    """A hostile peer that attacks when it is told to."""

    def __init__(self, kind: str, port: int) -> None:
        self.done = 0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.hostile", kind, str(port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._told()

    def _told(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    @contextmanager
    def attacking(self) -> Iterator[None]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{STARTING_S + WINDOW_S}\n")
        self.process.stdin.flush()
        time.sleep(STARTING_S)
        yield
        self.done += int(self._told())

    def stop(self) -> None:
        self.process.communicate(timeout=20)


def delays_s(caller: Caller) -> list[float]:
    """How long after they were due some hundred checks were answered; every one of them has to be right."""
    delays, begun = [], time.perf_counter()
    for number in range(round(WINDOW_S / EVERY_S)):
        due = begun + number * EVERY_S
        time.sleep(max(0.0, due - time.perf_counter()))
        assert status_of(caller.check("/open")) == 200
        delays.append(time.perf_counter() - due)
    return delays


def p99_ms(delays: list[float]) -> float:
    return statistics.quantiles(delays, n=100)[98] * 1000


def compare(kind: str, caller: Caller, port: int, neighbour: int) -> tuple[float, float, float]:
    """The p99 of a caller in ms: alone, while a neighbour is attacked, while the service it asks is attacked.

    In turns, so that whatever else happens on the machine happens to all three.
    """
    normal: list[float] = []
    beside: list[float] = []
    attacked: list[float] = []
    attackers = Attacker(kind, neighbour), Attacker(kind, port)
    try:
        for _ in range(ROUNDS[kind]):
            normal += delays_s(caller)
            for attacker, delays in zip(attackers, (beside, attacked), strict=True):
                with attacker.attacking():
                    delays += delays_s(caller)
    finally:
        for attacker in attackers:
            attacker.stop()
    assert attackers[1].done >= FEWEST[kind], f"{kind} got only {attackers[1].done} done"
    return p99_ms(normal), p99_ms(beside), p99_ms(attacked)


def memory_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", FLOODS)
@pytest.mark.parametrize("transport", [FRONT])
def test_a_flood_of_frames_is_hardly_noticed_by_other_callers(serve, call, transport, kind, record_property):
    test_other_callers_hardly_notice_a_hostile_peer(serve, call, transport, kind, record_property)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", KINDS)
@EVERY_TRANSPORT
def test_other_callers_hardly_notice_a_hostile_peer(serve, call, transport, kind, record_property):
    # The same attack on a neighbour shows what it takes from the machine; what it takes from the service comes on top.
    ports = free_ports(4)
    ours, neighbour = (
        serve(base_config([{"address": f"127.0.0.1:{port}"}], operations) | {"transport": transport})
        for port, operations in (ports[:2], ports[2:])
    )
    caller, pid = call(f"127.0.0.1:{ports[0]}"), ours.process.pid
    delays_s(caller)
    before = memory_mib(pid)
    bound_ms = BURST_MS if (transport, kind) == ("grpcio", "abandoned_streams") else 0.0
    for attempt in range(ATTEMPTS):
        normal, beside, attacked = compare(kind, caller, ports[0], ports[2])
        grown = memory_mib(pid) - before
        told = f"p99 {normal:.1f} ms, beside {beside:.1f}, attacked {attacked:.1f}, +{grown:.0f} MiB"
        record_property(f"attempt {attempt}", told)
        assert grown < MEMORY_MIB, told
        if attacked <= max(bound_ms, TWICE * max(normal, beside) + NOISE_S * 1000):
            break
    else:
        raise AssertionError(told)
    assert ours.process.poll() is None
    assert neighbour.process.poll() is None
