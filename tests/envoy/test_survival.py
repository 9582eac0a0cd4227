"""Steady load through a real Envoy while everything happens to the service: no wrong allow, no avoidable 5xx."""

import copy
import itertools
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml

from demo.keys import make_keys
from demo.stack import ROOT, Stack, free_ports, load_yaml
from extauthz.client.signer import Credentials, OutgoingRequest, SigningOptions, sign
from extauthz.config.schema import ConfigFile
from extauthz.serve.envoy_cluster import envoy_clusters
from tests.gateway import patient_bootstrap
from tests.unit.serve.redis_server import RedisServer
from tests.unit.serve.running import eventually

DEMO_APP = Credentials("demo-app-key-0001", "demo-app-secret-0001")


class Seen(NamedTuple):
    at_s: float
    kind: str
    status: int


class Load:
    """A few clients that sign with a nonce each time, repeat what they sent, and ask without any proof."""

    def __init__(self, stack: Stack) -> None:
        self.seen: list[Seen] = []
        self._url = stack.url("internet", "")
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(name,)) for name in range(3)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def during(self, since_s: float, until_s: float | None = None) -> Counter[tuple[str, int]]:
        """How often which kind of request had which status."""
        until_s = time.monotonic() if until_s is None else until_s
        return Counter((one.kind, one.status) for one in self.seen if since_s <= one.at_s <= until_s)

    def _run(self, name: int) -> None:
        with httpx.Client(base_url=self._url) as client:
            for number in itertools.count():
                if self._done.is_set():
                    return
                options = SigningOptions(nonce=f"{name}-{number}-{time.time()}")
                headers = sign(OutgoingRequest("GET", "/v1/orders"), DEMO_APP, options)
                passed = self._ask(client, "signed", headers)
                if passed == 200:
                    self._ask(client, "replayed", headers)
                self._ask(client, "unsigned", {})
                time.sleep(0.01)

    def _ask(self, client: httpx.Client, kind: str, headers: dict[str, str]) -> int:
        begun_s = time.monotonic()
        status = client.get("/v1/orders", headers=headers).status_code
        self.seen.append(Seen(begun_s, kind, status))
        return status


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="module", params=["native", "grpcio"])
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis: RedisServer
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("survival")
    make_keys(folder)
    config = load_yaml(ROOT / "demo" / "extauthz.yaml") | {
        "listen": [{"address": f"unix:{folder}/x.sock"}],
        "transport": request.param,
        "drain": 2.2,
        "decision_log": {"destination": "none"},
        "replay": {"redis": {"url": redis.url}},
    }
    bootstrap = patient_bootstrap()
    clusters = bootstrap["static_resources"]["clusters"]
    clusters[0] = envoy_clusters(ConfigFile.model_validate(config), 2)[0]
    running = Stack(
        folder, free_ports(), bootstrap, config, concurrency=1, serve=("-m", "extauthz", "serve", "--workers", "2")
    )
    running.start()
    eventually(lambda: len(ready(running)) == 2, 30)
    time.sleep(2.5)  # until Envoy has seen both
    yield running
    running.stop()


def readyz(stack: Stack) -> dict[str, Any]:
    with httpx.Client() as client:
        details: dict[str, Any] = client.get(f"http://127.0.0.1:{stack.ports.operations}/readyz").json()
        return details


def ready(stack: Stack) -> list[int]:
    return [worker["pid"] for worker in readyz(stack)["workers"] if worker["ready"]]


def write(file: Path, config: dict[str, Any]) -> None:
    aside = file.with_suffix(".new")
    aside.write_text(yaml.safe_dump(config))
    aside.replace(file)


def no_wrong_allow(load: Load) -> None:
    statuses = {kind: {one.status for one in load.seen if one.kind == kind} for kind in ("replayed", "unsigned")}
    assert 200 not in statuses["replayed"]
    assert 200 not in statuses["unsigned"]
    assert load.during(0)["signed", 200] > 20


def only_the_right_answers(counted: Counter[tuple[str, int]]) -> bool:
    return {status for kind, status in counted if kind == "signed"} == {200} and not any(
        status >= 500 for _, status in counted
    )


def test_a_rolling_restart_costs_nobody_an_answer(stack: Stack) -> None:
    before = ready(stack)
    with Load(stack) as load:
        begun_s = time.monotonic()
        os.kill(stack.pid("service"), signal.SIGHUP)
        eventually(lambda: len(ready(stack)) == 2 and not set(ready(stack)) & set(before), 40)
        time.sleep(1.5)
        counted = load.during(begun_s)
    assert only_the_right_answers(counted), counted
    no_wrong_allow(load)


def test_a_reload_and_a_broken_file_cost_nobody_an_answer(stack: Stack) -> None:
    config = yaml.safe_load(stack.config_file.read_text())
    changed = copy.deepcopy(config) | {"strip_credentials": True}
    with Load(stack) as load:
        begun_s, revision = time.monotonic(), readyz(stack)["revision"]
        write(stack.config_file, changed)
        eventually(lambda: readyz(stack)["revision"] != revision)
        write(stack.config_file, changed | {"groups": []})
        eventually(lambda: readyz(stack).get("reload_failed"))
        time.sleep(0.5)
        write(stack.config_file, config)
        eventually(lambda: "reload_failed" not in readyz(stack))
        counted = load.during(begun_s)
    assert only_the_right_answers(counted), counted
    no_wrong_allow(load)


def test_a_killed_worker_costs_at_most_what_it_had_in_flight(stack: Stack) -> None:
    victim = ready(stack)[0]
    with Load(stack) as load:
        time.sleep(0.5)
        killed_s = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: len(ready(stack)) == 2 and victim not in ready(stack), 30)
        time.sleep(2.5)
        window, after = load.during(killed_s - 0.5, killed_s + 2), load.during(killed_s + 2)
    assert sum(count for (_, status), count in window.items() if status >= 500) <= 0.1 * window.total(), window
    assert only_the_right_answers(after), after
    no_wrong_allow(load)


def test_redis_stopped_and_started_denies_meanwhile_and_heals(stack: Stack, redis: RedisServer) -> None:
    with Load(stack) as load:
        time.sleep(0.5)
        stopped_s = time.monotonic()
        redis.stop()
        time.sleep(2)
        started_s = time.monotonic()
        redis.start()
        time.sleep(3)
        healed = load.during(started_s + 1.5)
        meanwhile = load.during(stopped_s + 0.5, started_s - 0.2)
    assert {status for kind, status in meanwhile if kind == "signed"} == {503}
    assert only_the_right_answers(healed), healed
    statuses = {one.status for one in load.seen if one.kind == "unsigned"}
    assert statuses == {400} or statuses == {401} or statuses == {403}, statuses
