"""One call of a script for a whole batch, and what happens where it cannot be run."""

import asyncio
from collections import Counter

import pytest

from extauthz.decide.replay import Outcome
from extauthz.replay.redis_store import RedisReplayStore
from tests.stores.redis_server import RedisServer
from tests.stores.test_redis_store import now_ms, record, redis, use, with_stores

__all__ = ["redis"]  # a fixture


def calls(server: RedisServer, command: str) -> int:
    """How often a command came from outside or was run by a script."""
    told = server.command("INFO", "commandstats").decode()
    lines = [line for line in told.splitlines() if line.startswith(f"cmdstat_{command}:")]
    return int(lines[0].partition("calls=")[2].partition(",")[0]) if lines else 0


def test_a_batch_is_one_command(redis):
    async def run(store: RedisReplayStore) -> None:
        for batch in range(3):
            uses = [use(b"%d-%d" % (batch, n))._replace(proof=b"p%d-%d" % (batch, n)) for n in range(100)]
            assert Counter(await asyncio.gather(*map_record(store, uses))) == {Outcome.FIRST: 100}
        assert calls(redis, "eval") == 1, "the first time it is sent whole"
        assert calls(redis, "evalsha") == store.round_trips - 1

    with_stores(redis, run)


def map_record(store, uses):
    return [record(store, one) for one in uses]


def test_a_batch_of_new_and_old_values_tells_them_apart_by_each_of_their_keys(redis):
    async def run(store: RedisReplayStore) -> None:
        begun = now_ms()
        assert await record(store, use(b"old", b"stream")._replace(proof=b"proof"), begun) is Outcome.FIRST
        batch = {
            "new": (use(b"new", b"stream"), Outcome.FIRST),
            "used": (use(b"old", b"another"), Outcome.USED),
            "the proof of another": (use(b"fresh", b"another")._replace(proof=b"proof"), Outcome.USED),
            "again": (use(b"old", b"stream")._replace(proof=b"proof"), Outcome.ASKED_AGAIN),
            "newer": (use(b"newer", b"stream")._replace(proof=b"newer proof"), Outcome.FIRST),
        }
        outcomes = await asyncio.gather(*(record(store, one, begun + 5) for one, _ in batch.values()))
        assert dict(zip(batch, outcomes, strict=True)) == {name: wanted for name, (_, wanted) in batch.items()}

    with_stores(redis, run)


def test_what_cannot_be_read_was_there(redis):
    redis.command("RPUSH", "t:" + b"n".hex(), "a list of somebody's")

    async def run(store: RedisReplayStore) -> None:
        assert await record(store, use(b"n", b"stream")) is Outcome.USED
        assert store.up is True

    with_stores(redis, run)


def test_a_redis_that_forgot_the_script_gets_it_again(redis):
    async def run(store: RedisReplayStore) -> None:
        assert await record(store, use(b"before")) is Outcome.FIRST
        redis.command("SCRIPT", "FLUSH")
        assert await record(store, use(b"after")) is Outcome.FIRST
        assert await record(store, use(b"before")) is Outcome.USED
        assert store.up is True

    with_stores(redis, run)


@pytest.mark.parametrize("forbidden", ["-@scripting", "-evalsha -eval"])
def test_a_user_who_may_not_run_scripts_records_by_single_commands_and_it_is_said(redis, caplog, forbidden):
    redis.command("ACL", "SETUSER", "default", *forbidden.split())

    async def run(store: RedisReplayStore) -> None:
        assert await record(store, use(b"n")) is Outcome.FIRST
        outcomes = await asyncio.gather(*map_record(store, [use(b"n"), use(b"m")]))
        assert outcomes == [Outcome.USED, Outcome.FIRST]
        assert store.up is True

    with_stores(redis, run)
    (told,) = [one.getMessage() for one in caplog.records if "scripts" in one.message]
    assert told.endswith("permit +eval and +evalsha to its user")
