"""Budgets of structure: the pure decision, and the servicer from bytes to bytes, without any transport.

`make bench-micro`. Nothing here fails because a machine is slow; a check that is answered wrongly does.
"""

from itertools import count

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench import inprocess, requests
from bench.world import World
from extauthz.domain.snapshot import Snapshot
from extauthz.observe.decision_line import LineMaker, entry_of

TOKENS = 500


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def snapshot(world: World, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return world.snapshot(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("method", requests.METHODS)
def test_decision(benchmark: BenchmarkFixture, world: World, snapshot: Snapshot, method: str) -> None:
    benchmark(inprocess.decision_call(world, snapshot, method))


@pytest.mark.parametrize("method", requests.METHODS)
@pytest.mark.parametrize("header_map", [True, False], ids=["header_map", "headers"])
def test_servicer(benchmark: BenchmarkFixture, world: World, snapshot: Snapshot, method: str, header_map: bool) -> None:
    servicer = inprocess.make_servicer(snapshot)
    payload = requests.check_request(world, method, header_map=header_map)
    inprocess.expect(benchmark(servicer.check, payload), method)


def test_servicer_jwt_first_seen(benchmark: BenchmarkFixture, world: World, snapshot: Snapshot) -> None:
    servicer = inprocess.make_servicer(snapshot)
    payloads = iter(
        [requests.check_request(world, requests.JWT, token=requests.make_token(world, n)) for n in range(TOKENS)]
    )
    answer = benchmark.pedantic(  # type: ignore[no-untyped-call]
        servicer.check, setup=lambda: ((next(payloads),), {}), rounds=TOKENS, iterations=1
    )
    inprocess.expect(answer, requests.JWT)


def test_servicer_with_nonce(benchmark: BenchmarkFixture, world: World, snapshot: Snapshot) -> None:
    servicer, numbers = inprocess.make_servicer(snapshot), count()

    def signed() -> tuple[tuple[bytes], dict[str, object]]:
        return (requests.check_request(world, requests.DIGEST_GET, nonce=f"{next(numbers):036}"),), {}

    answer = benchmark.pedantic(  # type: ignore[no-untyped-call]
        servicer.check, setup=signed, rounds=2000, iterations=1
    )
    inprocess.expect(answer, requests.DIGEST_GET)


def test_rs256_alone(benchmark: BenchmarkFixture, world: World) -> None:
    benchmark(inprocess.rs256_call(world))


def test_decision_log_hand_over(benchmark: BenchmarkFixture, world: World, snapshot: Snapshot) -> None:
    benchmark(entry_of, inprocess.record_of(world, snapshot, requests.DIGEST_GET))


def test_decision_log_line(benchmark: BenchmarkFixture, world: World, snapshot: Snapshot) -> None:
    entry = entry_of(inprocess.record_of(world, snapshot, requests.DIGEST_GET))
    assert "digest" in benchmark(LineMaker(lambda _label: 1.0).line, entry)
