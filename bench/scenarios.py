"""What is measured: the lanes of each comparison, built from servers and requests."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench import inprocess, requests
from bench.distinct import ask_all
from bench.envoy import requests_by_endpoint, start_envoy
from bench.flood import DEADLINE_S, WARM_UP_S, flood
from bench.lanes import Lane
from bench.load import Round, h2load, wrk
from bench.servers import BOTH_CORES, Server, Servers
from bench.world import HOST, SMALL, World
from extauthz.domain.snapshot import Snapshot
from extauthz.wire.servicer import Servicer

REPEATED: Final = "one request repeated"
AT_A_RATE: Final = "at a fixed rate"
UNDER_OVERLOAD: Final = "under twice the peak"
_OVERLOAD: Final = 2
"""Times the peak."""
_OVERLOAD_S: Final = 2.0
"""Long enough for a queue to grow to where it stays."""


@dataclass(frozen=True, slots=True)
class Bench:
    """One run: its servers, its secrets, and how long a turn is."""

    servers: Servers
    world: World
    snapshot: Snapshot
    servicer: Servicer
    seconds: float

    @classmethod
    def open(cls, servers: Servers, seconds: float) -> "Bench":
        """Prepare a run. The servicer in this process says what an answer should look like."""
        snapshot = servers.world.snapshot(servers.folder)
        return cls(servers, servers.world, snapshot, inprocess.make_servicer(snapshot), seconds)

    @property
    def folder(self) -> Path:
        """Where this run keeps its files."""
        return self.servers.folder

    def expected_bytes(self, method: str) -> int:
        """How long the right answer to this method is. Answers differ only in a request id of fixed length."""
        return len(inprocess.answer_of(self.servicer, requests.check_request(self.world, method), method))

    def constant(self, transport: str) -> Server:
        """A server that gives every check the answer to the digest GET."""
        payload = requests.check_request(self.world, requests.DIGEST_GET)
        return self.servers.constant(transport, inprocess.answer_of(self.servicer, payload, requests.DIGEST_GET))

    def straight(self, server: Server, method: str, *, header_map: bool = True) -> Callable[[], Round]:
        """A turn of h2load against a server."""
        length = self.expected_bytes(method)

        def turn() -> Round:
            # Signed anew, because a long run outlives the fifteen minutes of a timestamp.
            payload = requests.check_request(self.world, method, header_map=header_map)
            ask_all(server.address, [payload], lambda given: inprocess.expect(given, method), server.cpu_s)
            return h2load(server.address, payload, length, self.seconds, server.cpu_s, self.servers.load_folder)

        return turn


def variant_lane(
    bench: Bench, name: str, server: Server, baseline: str, method: str, words: str, group: str = REPEATED, **facts: Any
) -> Lane:
    """One method against a service that is set up in another way."""
    about = {"transport": "front", "method": method, "header_map": True, "apps": SMALL, "apis": SMALL, **facts}
    about["server"] = "extauthz"
    return Lane(name, bench.straight(server, method), baseline, group, words, about, server.rss_mib)


def build_lanes(bench: Bench, builds: dict[str, Server], methods: tuple[str, ...]) -> Iterator[Lane]:
    """The same code, built in two ways: the first build is what the second is measured by."""
    first, second = builds
    for method in methods:
        for build, server in builds.items():
            name, baseline = f"{method}_{build}", f"{method}_{first}" if build == second else ""
            words = f"{requests.WORDS[method]}, {build}"
            yield variant_lane(bench, name, server, baseline, method, words, "pure and compiled", build=build)


def open_loop_lane(bench: Bench, name: str, server: Server, rate: int, words: str, method: str) -> Lane:
    """Checks at a fixed rate: the lane to read for latency."""

    def turn() -> Round:
        payloads = [requests.check_request(bench.world, method)] * round(rate * bench.seconds)
        judge = partial(inprocess.expect, method=method)
        return ask_all(server.address, payloads, judge, server.cpu_s, rate)

    facts = {"transport": "front", "load": f"own driver, open loop, {rate}/s", "rate": rate, "server": server.name}
    return Lane(name, turn, "", AT_A_RATE, words, facts, server.rss_mib)


def overload_lanes(bench: Bench, ours: Server, transport: str) -> Iterator[Lane]:
    """The peak of a closed loop, and twice as many checks a second whatever is answered, each with Envoy's deadline."""
    peak = f"overload_peak_{transport}"
    closed = bench.straight(ours, requests.DIGEST_GET)
    peaks: list[float] = []

    def ask() -> Round:
        measured = closed()
        peaks.append(measured.rate)
        return measured

    def ask_for_too_much() -> Round:
        payload = requests.check_request(bench.world, requests.DIGEST_GET)
        rate = _OVERLOAD * peaks[-1]
        seconds = max(bench.seconds, _OVERLOAD_S) + WARM_UP_S
        return flood(ours.address, payload, rate, seconds, inprocess.is_decided, ours.cpu_s)

    facts = {"transport": transport, "method": requests.DIGEST_GET, "server": "extauthz"}
    yield Lane(peak, ask, "", UNDER_OVERLOAD, f"{transport}, peak", facts, ours.rss_mib)
    load = f"own driver, open loop, {_OVERLOAD} times the peak, deadline {DEADLINE_S * 1000:.0f} ms"
    facts = {**facts, "load": load}
    yield Lane(f"overload_{transport}", ask_for_too_much, peak, UNDER_OVERLOAD, transport, facts, ours.rss_mib)


def envoy_lanes(bench: Bench, ours: Server, constant: Server) -> Iterator[Lane]:
    """A digest GET through one Envoy: asking us, asking the constant server, asking nobody."""
    asked = {"extauthz": [ours.address], "constant": [constant.address], "nobody": []}
    envoy, addresses = start_envoy(bench.servers, asked)

    def turn(name: str, server: Server) -> Callable[[], Round]:
        def run() -> Round:
            request = requests.http_request(bench.world, requests.DIGEST_GET)
            headers = {**request.headers, "Host": HOST}
            return wrk(f"http://{addresses[name]}{request.path}", headers, bench.seconds, server.cpu_s)

        return run

    def lane(name: str, words: str, server: Server, baseline: str = "") -> Lane:
        facts = {"load": "wrk through Envoy, digest GET", "server": name}
        return Lane(f"envoy_{name}", turn(name, server), baseline, "through Envoy", words, facts)

    yield lane("nobody", "Envoy asks nobody", envoy)
    yield lane("constant", "the constant answer", constant)
    digest = lane("extauthz", requests.WORDS[requests.DIGEST_GET], ours, "envoy_constant")
    yield replace(digest, name="envoy_digest")


def worker_lanes(bench: Bench, shares: dict[str, list[float]]) -> Iterator[Lane]:
    """One worker and two behind an Envoy with two threads, everything on both cores: how throughput and load divide.

    The share of each worker is what Envoy counts for each endpoint. It is added to ``shares`` under the lane's name.
    """
    for workers in (1, 2):
        server, addresses = bench.servers.workers(workers)
        name = f"workers_{workers}_digest"
        envoy, listeners = start_envoy(bench.servers, {name: addresses}, concurrency=2, core=BOTH_CORES)
        shares[name] = []
        turn = _worker_turn(bench, server, envoy, listeners[name], shares[name])
        facts = {"load": "wrk through Envoy, digest GET, both cores shared by all", "workers": workers}
        baseline = "workers_1_digest" if workers > 1 else ""
        facts["server"] = "extauthz"
        words = f"digest, GET, {workers} worker{'s' * (workers > 1)}"
        yield Lane(name, turn, baseline, "workers behind one Envoy, on both cores", words, facts, server.rss_mib)


def _worker_turn(
    bench: Bench, server: Server, envoy: Server, listener: str, shares: list[float]
) -> Callable[[], Round]:
    def turn() -> Round:
        request = requests.http_request(bench.world, requests.DIGEST_GET)
        headers = {**request.headers, "Host": HOST}
        before = requests_by_endpoint(envoy.address)
        measured = wrk(f"http://{listener}{request.path}", headers, bench.seconds, server.cpu_s, core=BOTH_CORES)
        asked = [after - before[endpoint] for endpoint, after in requests_by_endpoint(envoy.address).items()]
        shares.extend(one / sum(asked) for one in asked)
        return measured

    return turn
