"""Shares in the shared store: a flooding app is refused at every replica, in the same round trips."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from extauthz.decide.replay import Outcome
from extauthz.domain import reason
from extauthz.domain.decision import OneTimeKind, OneTimeUse
from extauthz.replay.redis_client import RedisAddress
from extauthz.replay.redis_shares import SYNC_MS, Shares
from extauthz.replay.redis_store import RedisReplayStore
from extauthz.transport.late_answers import until_it_comes
from tests.process.running import eventually
from tests.stores.redis_server import RedisServer
from tests.unit.building import NOW_MS

LIVES_MS = 900_000


@pytest.fixture(params=[False, True], ids=["one", "cluster"])
def redis(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path, *(["--cluster-enabled", "yes"] if request.param else []))
    server.is_cluster = request.param  # type: ignore[attr-defined]
    if request.param:
        server.command("CLUSTER", "ADDSLOTS", *map(str, range(16384)))
        eventually(lambda: b"cluster_state:ok" in server.command("CLUSTER", "INFO"))
    yield server
    server.stop()


def use(holder: str, number: int, now_ms: int = NOW_MS, kind: OneTimeKind = OneTimeKind.NONCE) -> OneTimeUse:
    name = f"{kind}:{holder}:{number}".encode()
    return OneTimeUse(name, now_ms + LIVES_MS, b"", reason.NONCE_USED, b"proof of " + name, holder, kind)


def with_stores(redis: RedisServer, run, count: int = 1, bound: float = 20) -> None:
    async def main() -> None:
        is_cluster = redis.is_cluster  # type: ignore[attr-defined]
        address = RedisAddress(redis.url.removesuffix("/0"), cluster=is_cluster)
        stores = [
            RedisReplayStore(address, 2.0, 4, "t:", shares=Shares(dict.fromkeys(OneTimeKind, bound)))
            for _ in range(count)
        ]
        try:
            await run(*stores)
        finally:
            for store in stores:
                await store.close()

    asyncio.run(main())


async def record(store: RedisReplayStore, what: OneTimeUse, now_ms: int = NOW_MS) -> Outcome:
    outcome = store.record(what, now_ms)
    return outcome if isinstance(outcome, Outcome) else await until_it_comes(outcome)


def test_a_flooding_app_ends_at_its_share_at_all_replicas_together_and_others_are_served(redis):
    async def run(one: RedisReplayStore, other: RedisReplayStore) -> None:
        passed = 0
        for number in range(200):
            passed += await record((one, other)[number % 2], use("flooder", number)) is Outcome.FIRST
        assert 20 <= passed <= 22, "each replica hears of the other's last value with its own next one"
        for store in one, other:
            assert await record(store, use("flooder", -1)) is Outcome.SHARE_FULL
            assert store.shares.refused[OneTimeKind.NONCE]["flooder"] > 10
        for number in range(10):
            assert await record(one, use("honest", number)) is Outcome.FIRST
        assert await record(one, use("flooder", 0, kind=OneTimeKind.JTI)) is Outcome.FIRST

    with_stores(redis, run, count=2)


def test_a_share_is_given_back_when_its_values_have_expired(redis):
    async def run(store: RedisReplayStore) -> None:
        while await record(store, use("app", store.round_trips)) is Outcome.FIRST:
            pass
        later_ms = NOW_MS + 3 * LIVES_MS
        assert await record(store, use("app", -1, later_ms), later_ms) is Outcome.FIRST

    with_stores(redis, run)


def test_replays_take_nothing_of_an_apps_share(redis):
    """Whoever overheard a request could otherwise shut out the app that signed it."""

    async def run(store: RedisReplayStore) -> None:
        assert await record(store, use("app", 0)) is Outcome.FIRST
        for second in range(100):
            assert await record(store, use("app", 0), NOW_MS + second * SYNC_MS) is Outcome.USED
        assert await record(store, use("app", 1)) is Outcome.FIRST

    with_stores(redis, run)


def test_shares_cost_no_round_trip_of_their_own(redis):
    async def run(store: RedisReplayStore) -> None:
        for number in range(10):
            await record(store, use("app", number))
        assert store.round_trips == 10

    with_stores(redis, run)


def test_without_a_bound_nothing_is_counted(redis):
    async def run(store: RedisReplayStore) -> None:
        store.shares = Shares({})
        for number in range(100):
            assert await record(store, use("app", number)) is Outcome.FIRST
        if not redis.is_cluster:  # type: ignore[attr-defined]
            assert b"held" not in redis.command("KEYS", "t:held*")

    with_stores(redis, run)
