"""The shared replay store, against a real Redis: one allow for each nonce, whoever asks, however often, and outages."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from extauthz.decide.replay import REPEAT_MS, Outcome
from extauthz.domain import reason
from extauthz.domain.decision import OneTimeUse
from extauthz.later import Later
from extauthz.replay.redis_batch import CLOCKS_MS
from extauthz.replay.redis_client import RedisAddress
from extauthz.replay.redis_store import REST_S, RedisReplayStore
from extauthz.transport.late_answers import until_it_comes
from tests.process.running import Running, base_config, eventually, free_ports, signed_headers, status_of
from tests.stores.redis_server import RedisServer
from tests.transports import ALL


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    yield server
    server.stop()


def use(key: bytes, fingerprint: bytes = b"", lives_ms: int = 60_000) -> OneTimeUse:
    return OneTimeUse(key, now_ms() + lives_ms, fingerprint, reason.NONCE_USED)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def with_stores(
    redis: RedisServer, run, count: int = 1, timeout_s: float = 2.0, connections: int = 4, **options
) -> Any:
    async def main() -> Any:
        stores = [
            RedisReplayStore(
                RedisAddress(options.get("url", redis.url), cluster=options.get("cluster", False)),
                timeout_s, connections, "t:",
            )
            for _ in range(count)
        ]  # fmt: skip
        try:
            return await run(*stores)
        finally:
            for store in stores:
                await store.close()

    return asyncio.run(main())


async def record(store: RedisReplayStore, what: OneTimeUse, at_ms: int | None = None) -> Outcome:
    outcome = store.record(what, now_ms() if at_ms is None else at_ms)
    return outcome if isinstance(outcome, Outcome) else await until_it_comes(outcome)


def test_one_check_that_cannot_be_answered_does_not_stop_those_that_came_with_it(redis):
    async def run(store: RedisReplayStore) -> None:
        def fail(_: Outcome) -> None:
            raise RuntimeError

        asked = [store.record(use(b"%d" % number), now_ms()) for number in range(5)]
        assert all(isinstance(one, Later) for one in asked)
        asked[1].then(fail)
        others = [until_it_comes(one) for one in asked if one is not asked[1]]
        assert await asyncio.gather(*others) == [Outcome.FIRST] * 4
        assert await record(store, use(b"next")) is Outcome.FIRST

    with_stores(redis, run)


def test_fifty_racing_for_one_nonce_end_in_exactly_one_first_two_hundred_times(redis):
    async def run(*stores: RedisReplayStore) -> None:
        for round_number in range(200):
            uses = [use(b"nonce-%d" % round_number, b"stream-%d" % one) for one in range(50)]
            outcomes = await asyncio.gather(*(record(stores[n % 2], one) for n, one in enumerate(uses)))
            assert Counter(outcomes) == {Outcome.FIRST: 1, Outcome.USED: 49}

    with_stores(redis, run, count=2)


def test_envoys_repeat_passes_on_another_replica_for_ten_seconds_and_a_replay_never(redis):
    async def run(one: RedisReplayStore, other: RedisReplayStore) -> None:
        begun = now_ms()
        assert await record(one, use(b"n", b"stream"), begun) is Outcome.FIRST
        assert await record(other, use(b"n", b"stream"), begun + 5) is Outcome.ASKED_AGAIN
        assert await record(other, use(b"n", b"stream"), begun - 50) is Outcome.ASKED_AGAIN, "clocks differ"
        assert await record(other, use(b"n", b"stream"), begun + REPEAT_MS + 1) is Outcome.USED
        assert await record(other, use(b"n", b"another"), begun + 5) is Outcome.USED
        assert await record(one, use(b"m", b""), begun) is Outcome.FIRST
        assert await record(one, use(b"m", b""), begun) is Outcome.USED, "without a stream there is no repeat"

    with_stores(redis, run, count=2)


def test_many_checks_share_round_trips(redis):
    async def run(store: RedisReplayStore) -> None:
        outcomes = await asyncio.gather(*(record(store, use(b"%d" % n)) for n in range(1000)))
        assert Counter(outcomes) == {Outcome.FIRST: 1000}
        assert store.round_trips < 50

    with_stores(redis, run, connections=2)


def test_a_value_is_forgotten_when_its_proof_has_expired_by_every_clock(redis):
    async def run(store: RedisReplayStore) -> None:
        assert await record(store, use(b"short", lives_ms=300)) is Outcome.FIRST
        async with Redis.from_url(redis.url) as asked:
            assert CLOCKS_MS < await asked.pttl(b"t:" + b"short".hex().encode()) <= CLOCKS_MS + 300

    with_stores(redis, run)


def test_a_replica_whose_clock_is_behind_admits_no_replay_when_the_proof_has_expired_for_the_others(redis):
    async def run(ahead: RedisReplayStore, behind: RedisReplayStore) -> None:
        nonce = use(b"n", b"stream", lives_ms=100)
        assert await record(ahead, nonce) is Outcome.FIRST
        await asyncio.sleep(0.2)
        behind_ms = now_ms() - 150
        assert behind_ms < nonce.expires_ms, "to this replica the timestamp is still good"
        assert await record(behind, nonce._replace(fingerprint=b"another"), behind_ms) is Outcome.USED

    with_stores(redis, run, count=2)


def test_a_redis_that_stalls_is_unavailable_in_time_and_right_again_afterwards(redis):
    async def run(store: RedisReplayStore) -> None:
        assert await record(store, use(b"before")) is Outcome.FIRST
        redis.stall()
        begun = time.monotonic()
        stalled = await asyncio.gather(*(record(store, use(b"stalled-%d" % n)) for n in range(100)))
        assert time.monotonic() - begun < 0.4
        assert set(stalled) == {Outcome.UNAVAILABLE}
        assert await record(store, use(b"at once")) is Outcome.UNAVAILABLE
        assert store.up is False
        redis.go_on()
        await asyncio.sleep(REST_S + 0.05)
        for n in range(50):  # an answer to an old question on the same connection would be a wrong FIRST or USED
            assert await record(store, use(b"after-%d" % n)) is Outcome.FIRST
            assert await record(store, use(b"after-%d" % n)) is Outcome.USED
        assert await record(store, use(b"before")) is Outcome.USED
        assert store.up is True

    with_stores(redis, run, timeout_s=0.1)


def test_a_redis_that_is_full_or_read_only_refuses_rather_than_forgets(redis):
    redis.command("CONFIG", "SET", "maxmemory", "1")

    async def run(store: RedisReplayStore) -> None:
        assert await record(store, use(b"n")) is Outcome.UNAVAILABLE
        redis.command("CONFIG", "SET", "maxmemory", "0")
        await asyncio.sleep(REST_S + 0.05)
        assert await record(store, use(b"n")) is Outcome.FIRST

    with_stores(redis, run)


def test_a_cluster_is_a_store_too(tmp_path):
    server = RedisServer(tmp_path, "--cluster-enabled", "yes")
    try:
        server.command("CLUSTER", "ADDSLOTS", *map(str, range(16384)))
        eventually(lambda: b"cluster_state:ok" in server.command("CLUSTER", "INFO"))

        async def run(store: RedisReplayStore) -> None:
            outcomes = await asyncio.gather(*(record(store, use(b"%d" % (n % 10))) for n in range(50)))
            assert Counter(outcomes) == {Outcome.FIRST: 10, Outcome.USED: 40}

        with_stores(server, run, url=server.url.removesuffix("/0"), cluster=True)
    finally:
        server.stop()


@pytest.fixture(params=ALL)
def shared(request, redis: RedisServer) -> dict[str, Any]:
    port, operations = free_ports(2)
    replay = {"redis": {"url": {"env": "TEST_REDIS"}, "timeout": 0.2}}
    return base_config([{"address": f"127.0.0.1:{port}"}], operations) | {"replay": replay, "transport": request.param}


def start(serve, config: dict[str, Any], redis: RedisServer, *arguments: str) -> Running:
    return serve(config, *arguments, env={"TEST_REDIS": redis.url})


def elsewhere(config: dict[str, Any]) -> dict[str, Any]:
    port, operations = free_ports(2)
    return config | {"listen": [{"address": f"127.0.0.1:{port}"}], "operations": f"127.0.0.1:{operations}"}


def test_a_request_that_passed_one_replica_is_refused_by_the_other(shared, redis, serve, call):
    other = elsewhere(shared)
    start(serve, shared, redis)
    start(serve, other, redis)
    here, there = (call(config["listen"][0]["address"]) for config in (shared, other))
    headers = signed_headers("/signed", "n-1")
    assert status_of(here.check("/signed", headers, stream_id="1")) == 200
    assert status_of(there.check("/signed", headers, stream_id="1")) == 200, "Envoy's retry on another replica"
    assert status_of(there.check("/signed", headers, stream_id="2")) == 403
    assert status_of(here.check("/signed", headers, stream_id="3")) == 403


def test_two_workers_with_redis_need_no_further_word_and_share_nonces(shared, redis, serve, call):
    first, _, operations = free_ports(3)
    config = shared | {"listen": [{"address": f"127.0.0.1:{first}"}], "operations": f"127.0.0.1:{operations}"}
    running = start(serve, config, redis, "--workers", "2")
    callers = [call(f"127.0.0.1:{first + index}") for index in range(2)]
    answers = []
    for n in range(20):
        headers = signed_headers("/signed", f"n-{n}")
        answers += [status_of(callers[(n + i) % 2].check("/signed", headers, stream_id=f"{n}-{i}")) for i in range(2)]
    assert answers == [200, 403] * 20
    assert running.metric('extauthz_replay_store_records_total{outcome="used"}') == 20


def test_while_redis_is_away_nothing_that_needs_it_passes_unless_the_api_says_so(shared, redis, serve, call):
    shared["apis"][2]["id"] = "signed"
    trusting = shared["apis"][2] | {"id": "trusting", "path": "/trusting", "replay_outage": "allow"}
    shared["apis"].append(trusting)
    shared["grants"][0]["apis"].append("trusting")
    running = start(serve, shared, redis)
    caller = call(shared["listen"][0]["address"])
    numbers = iter(range(10_000))

    def ask(path: str) -> int:
        return status_of(caller.check(path, signed_headers(path, f"n-{next(numbers)}")))

    replayed = signed_headers("/signed", "before the outage")
    assert status_of(caller.check("/signed", replayed, stream_id="a")) == 200
    redis.stop()
    assert {ask("/signed") for _ in range(20)} == {503}
    assert {ask("/trusting") for _ in range(20)} == {200}
    assert ask("/open") == 200
    assert running.ready()["ready"] is True
    counted = [line for line in running.get("/metrics")[1].splitlines() if 'reason="replay_unchecked"' in line]
    assert float(counted[0].rpartition(" ")[2]) == 20
    assert running.metric("extauthz_replay_store_up") == 0
    assert "the replay store is out of order: ConnectionError" in running.log

    redis.start()
    eventually(lambda: ask("/signed") == 200)
    again = signed_headers("/signed", "after the outage")
    assert status_of(caller.check("/signed", again, stream_id="a")) == 200
    assert status_of(caller.check("/signed", again, stream_id="b")) == 403
    assert running.metric("extauthz_replay_store_up") == 1
    assert running.log.count("the replay store answers again") == 1


def test_a_service_starts_and_serves_while_redis_is_away(shared, redis, serve, call):
    redis.stop()
    start(serve, shared, redis)
    caller = call(shared["listen"][0]["address"])
    assert status_of(caller.check("/open")) == 200
    assert status_of(caller.check("/signed", signed_headers("/signed", "n"))) == 503


def test_the_password_of_the_store_shows_nowhere(redis, serve, call, tmp_path):
    redis.command("CONFIG", "SET", "requirepass", "right-password")
    port, operations = free_ports(2)
    config = base_config([{"address": f"127.0.0.1:{port}"}], operations)
    url = f"redis://:wrong-password@127.0.0.1:{redis.port}/0"
    running = serve(config | {"replay": {"redis": {"url": url}}})
    caller = call(f"127.0.0.1:{port}")
    assert status_of(caller.check("/signed", signed_headers("/signed", "n"))) == 503
    everything = running.log + running.get("/metrics")[1] + running.get("/readyz")[1]
    everything += Path(f"/proc/{running.process.pid}/cmdline").read_text()
    assert "wrong-password" not in everything
    assert "out of order: AuthenticationError" in everything
