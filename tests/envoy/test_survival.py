"""Half a minute of steady load through a real Envoy while the service has to endure one thing after the other."""

import itertools
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from demo.keys import make_keys
from demo.stack import ROOT, Stack, free_ports, load_yaml
from extauthz.client.signer import Credentials, OutgoingRequest, SigningOptions, sign
from extauthz.config.schema import ConfigFile
from extauthz.envoy.cluster import envoy_clusters
from tests.gateway import patient_bootstrap
from tests.process.running import Running, eventually
from tests.process.running import free_ports as free_ports_in_a_row
from tests.stores.redis_server import RedisServer
from tests.transports import ALL

GRANTED = Credentials("demo-app-key-0001", "demo-app-secret-0001")
WRONG_SECRET = Credentials("demo-app-key-0001", "not-its-secret")
NO_GRANT = Credentials("demo-app-key-0002", "demo-app-secret-0002")
REFUSED = {"wrong signature": {403}, "no grant": {403}, "replayed": {403}}
CLIENTS, PAUSE_S, LOAD_S = 3, 0.02, 30.0
DRAIN_S = 2.2
"""Over Envoy's health check interval of 1 s and what a check may take, so that Envoy has left before the end."""
SEEN_S = 2.0
"""Until Envoy's next health check has seen a new replica serve."""
KILLED_S = 2.0
"""After kill -9: what the worker had in flight is lost at once, then connections are refused until Envoy ejects the
endpoint; an ejection lasts 1 s and may be needed twice until a health check has failed."""
KILLED_SHARE = 0.1
"""Of the answers within KILLED_S; without ejection the dead worker, one of three endpoints, would take a third."""
HEALED_S = 1.5
"""After Redis is back: it reads its file, the store's rest of 0.2 s ends, one more connection may prove dead."""


class Seen(NamedTuple):
    begun_s: float
    ended_s: float
    kind: str
    status: int
    code: str
    """Why it was refused, for whoever reads a failure of this test; empty when Envoy itself answered."""


class Load:
    """Clients that sign with a new nonce each time, repeat what passed, and ask with what must be refused."""

    def __init__(self, url: str) -> None:
        self.seen: list[Seen] = []
        self._url = url
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(name,)) for name in range(CLIENTS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _run(self, name: int) -> None:
        with httpx.Client(base_url=self._url, timeout=10) as client:
            for number in itertools.count():
                if self._done.is_set():
                    return
                nonce = f"{name}-{number}"
                good = signed(GRANTED, nonce)
                if self._ask(client, "honest", good) == 200:
                    self._ask(client, "replayed", good)
                self._ask(client, "wrong signature", signed(WRONG_SECRET, f"{nonce}-w"))
                self._ask(client, "no grant", signed(NO_GRANT, f"{nonce}-g"))
                time.sleep(PAUSE_S)

    def _ask(self, client: httpx.Client, kind: str, headers: dict[str, str]) -> int:
        begun_s = time.monotonic()
        answer = client.get("/v1/orders", headers=headers)
        code = answer.headers.get("x-ca-error-code", "")
        self.seen.append(Seen(begun_s, time.monotonic(), kind, answer.status_code, code))
        return answer.status_code


def signed(credentials: Credentials, nonce: str) -> dict[str, str]:
    return sign(OutgoingRequest("GET", "/v1/orders"), credentials, SigningOptions(nonce=nonce))


class Window(NamedTuple):
    """When something happened that may cost answers."""

    begin_s: float
    end_s: float

    def touches(self, one: Seen) -> bool:
        return one.ended_s >= self.begin_s and one.begun_s <= self.end_s


class Replicas:
    """Two replicas behind one Envoy: the one a single process, the other a supervisor with two workers."""

    def __init__(self, folder: Path, transport: str, redis_url: str) -> None:
        self._folder = folder
        make_keys(folder)
        ports = free_ports_in_a_row(2)
        self._configs = [self._config(transport, redis_url, index, port) for index, port in enumerate(ports)]
        self._arguments: list[list[str]] = [[], ["--workers", "2"]]
        self.both = [self.started(index) for index in range(2)]
        for running in self.both:
            running.wait_ready()

    def _config(self, transport: str, redis_url: str, index: int, port: int) -> dict[str, Any]:
        config = load_yaml(ROOT / "demo" / "extauthz.yaml") | {
            "listen": [{"address": f"unix:{self._folder}/{index}.sock"}],
            "operations": f"127.0.0.1:{port}",
            "transport": transport,
            "drain": DRAIN_S,
            "decision_log": {"destination": "none"},
            "replay": {"redis": {"url": redis_url, "timeout": 0.5}},  # a busy test machine is no outage
        }
        config["plugins"][0]["jwks"] = {"file": str(self._folder / "jwt-public.jwks")}
        return config

    def started(self, index: int) -> Running:
        folder = self._folder / f"replica-{index}"
        folder.mkdir(exist_ok=True)
        return Running(folder, self._configs[index], *self._arguments[index])

    def cluster(self) -> dict[str, Any]:
        """As `extauthz envoy-cluster` prints it, with the endpoints of both."""
        alone, cluster = (
            envoy_clusters(ConfigFile.model_validate(config), workers)[0]
            for config, workers in zip(self._configs, (1, 2), strict=True)
        )
        endpoints: list[Any] = cluster["load_assignment"]["endpoints"]
        endpoints += alone["load_assignment"]["endpoints"]
        return cluster

    def stop(self) -> None:
        for running in self.both:
            running.stop()

    # What happens to them.

    def restart_one_after_the_other(self) -> None:
        for index, running in enumerate(self.both):
            assert running.stop() == 0, running.log
            self.both[index] = self.started(index).wait_ready()
            time.sleep(SEEN_S)

    def reload_by_signal(self) -> None:
        alone, supervised = self.both
        before = workers(supervised)
        for running in self.both:
            running.signal(signal.SIGHUP)
        eventually(lambda: alone.metric('extauthz_reloads_total{result="success"}') == 1)
        eventually(lambda: len(workers(supervised)) == 2 and not workers(supervised) & before, 40)
        time.sleep(SEEN_S)

    def break_and_mend_the_files(self) -> None:
        revisions = [running.ready()["revision"] for running in self.both]
        for running in self.both:
            running.write(running.config | {"groups": []})
        eventually(lambda: all("reload_failed" in running.ready() for running in self.both))
        assert [running.ready()["revision"] for running in self.both] == revisions
        time.sleep(0.5)
        for running in self.both:
            running.write(running.config | {"apps": [*running.config["apps"], {"id": "another"}]})
        eventually(lambda: not any("reload_failed" in running.ready() for running in self.both))
        assert all(running.ready()["revision"] not in revisions for running in self.both)

    def kill_a_worker(self) -> None:
        supervised = self.both[1]
        victim = min(workers(supervised))
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: len(workers(supervised)) == 2 and victim not in workers(supervised), 30)


def workers(running: Running) -> set[int]:
    """The process ids of the workers that serve."""
    return {worker["pid"] for worker in running.ready()["workers"] if worker["ready"]}


@contextmanager
def envoy_before(replicas: Replicas, folder: Path) -> Iterator[Stack]:
    bootstrap = patient_bootstrap()
    bootstrap["static_resources"]["clusters"][0] = replicas.cluster()
    stack = Stack(folder, free_ports(), bootstrap, concurrency=1)
    try:
        stack.start_backend()
        stack.start_envoy()
        time.sleep(SEEN_S)
        yield stack
    finally:
        stack.stop()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("transport", ALL)
def test_whatever_happens_to_the_service_nothing_wrong_passes_and_answers_fail_only_where_they_must(
    tmp_path, transport, record_property
):
    # Redis writes what it is told to a file before it answers: a nonce that was used stays used when it is killed.
    redis = RedisServer(tmp_path, "--appendonly", "yes")
    replicas = Replicas(tmp_path, transport, redis.url)
    try:
        with envoy_before(replicas, tmp_path) as stack, Load(stack.url("internet", "")) as load:
            begun_s = time.monotonic()
            replicas.restart_one_after_the_other()
            replicas.reload_by_signal()
            replicas.break_and_mend_the_files()

            killed_s = time.monotonic()
            replicas.kill_a_worker()
            time.sleep(max(SEEN_S, killed_s + KILLED_S + 1 - time.monotonic()))
            kill = Window(killed_s, killed_s + KILLED_S)

            used = signed(GRANTED, "before Redis was stopped")
            assert httpx.get(stack.url("internet", "/v1/orders"), headers=used).status_code == 200
            stopped_s = time.monotonic()
            redis.stop()
            time.sleep(2)
            started_s = time.monotonic()
            redis.start()
            outage = Window(stopped_s, time.monotonic() + HEALED_S)
            time.sleep(HEALED_S + max(1.0, begun_s + LOAD_S - outage.end_s))
            assert httpx.get(stack.url("internet", "/v1/orders"), headers=used).status_code == 403
    finally:
        replicas.stop()
        redis.stop()

    assert load.seen[-1].ended_s - begun_s >= LOAD_S
    allowed = Counter(one.kind for one in load.seen if one.status == 200)
    assert set(allowed) == {"honest"}, "a wrong allow"
    calm = [one for one in load.seen if not kill.touches(one) and not outage.touches(one)]
    wrong = [one for one in calm if one.status not in REFUSED.get(one.kind, {200})]
    assert not wrong, [(one.begun_s - begun_s, one) for one in wrong[:20]]
    assert {one.kind for one in calm if one.begun_s > outage.end_s} == {"honest", *REFUSED}

    killed = Counter(one.status for one in load.seen if kill.touches(one))
    assert killed[503] <= KILLED_SHARE * killed.total(), killed
    assert set(killed) <= {200, 403, 503}
    without = {one.status for one in load.seen if stopped_s + 0.5 < one.begun_s < started_s and one.kind == "honest"}
    assert without == {503}, "who cannot be checked for a replay does not pass"
    still = {one.status for one in load.seen if outage.touches(one) and one.kind in ("wrong signature", "no grant")}
    assert still == {403}, "what needs no nonce is decided as ever"

    record_property("asked", str(Counter(one.kind for one in load.seen)))
    record_property("after kill -9", str(killed))
