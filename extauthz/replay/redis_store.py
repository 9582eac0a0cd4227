"""One-time values in Redis or Valkey, shared by every worker and replica: one round trip, many checks in one."""

import asyncio
import logging
import time
from collections import deque
from typing import Any, Final

from redis.exceptions import NoPermissionError, NoScriptError, RedisError, ResponseError

from extauthz.decide.replay import Outcome
from extauthz.domain.decision import OneTimeUse
from extauthz.later import Later
from extauthz.replay.redis_batch import (
    Answer,
    Asked,
    outcome_of,
    put_commands,
    put_script,
    take_commands,
    take_script,
)
from extauthz.replay.redis_client import RedisAddress, make_client
from extauthz.replay.redis_shares import Shares, ask

REST_S: Final = 0.2
"""After a failure checks are answered at once, instead of one time-out each. So often it is tried whether Redis is
there again, and where: with Sentinels or a Cluster another one may have taken over."""
FIND_TIMEOUT_S: Final = 2.0
_PROBE_MS: Final = 1000
FULL_TRIP: Final = 128
"""How many values are worth a round trip of their own while another one is under way."""
_CURE: Final = "permit +eval and +evalsha to its user"
_log: Final = logging.getLogger("extauthz")


class RedisReplayStore:
    """Records one-time values. What arrives during a round trip goes together with the next one.

    That costs a check at most one round trip more and a busy process most of its commands; only when more than
    FULL_TRIP values wait does another connection help out.
    """

    def __init__(
        self,
        address: RedisAddress,
        timeout_s: float,
        connections: int,
        prefix: str,
        wait_replicas: int = 0,
        shares: Shares | None = None,
    ) -> None:
        """Nothing is connected yet. A value counts as recorded when ``wait_replicas`` replicas have it too.

        An answer takes at most twice ``timeout_s``: waiting for a connection, then for Redis. Raises ValueError or
        RedisError for a URL that the client does not understand.
        """
        self.outcomes = dict.fromkeys(Outcome, 0)
        self.seconds = 0.0
        self.round_trips = 0
        self.up = True
        self.shares = Shares({}) if shares is None else shares
        self._timeout_s = timeout_s
        self._prefix = prefix.encode()
        self._connections = connections
        self._wait_replicas = wait_replicas
        self._under_way = 0
        self._runs_scripts = not address.cluster
        self._knows_script = False
        self._waiting: deque[Asked] = deque()
        self._sends: set[asyncio.Task[None]] = set()
        self._healing: asyncio.Task[None] | None = None
        # Our own bound is the tighter one; the client's would be an error.
        self._client = make_client(address, timeout_s, connections * 2)

    async def start(self) -> None:
        """Look for Redis in the background: what is wrong with it is told now, not at the first check."""
        try:
            await self._find()
            await self._probe({self._prefix + b"start"})
        except Exception as error:
            self._failed(error, {self._prefix + b"start"})

    def record(self, use: OneTimeUse, now_ms: int) -> Outcome | Later[Outcome]:
        """Record a value unless it is there already. To be called on the event loop."""
        if self._healing is not None:
            self.outcomes[Outcome.UNAVAILABLE] += 1
            return Outcome.UNAVAILABLE
        if not self.shares.admits(use, now_ms):
            self.outcomes[Outcome.SHARE_FULL] += 1
            return Outcome.SHARE_FULL
        loop = asyncio.get_running_loop()
        asked = Asked(use, now_ms, self._keys(use), Later())
        self._waiting.append(asked)
        if len(self._waiting) in (1, FULL_TRIP):
            loop.call_soon(self._send_waiting)  # after all that this turn of the loop brings
        return asked.outcome

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.gather(*self._sends, return_exceptions=True)
        if self._healing is not None:
            self._healing.cancel()
            await asyncio.gather(self._healing, return_exceptions=True)
        await self._client.close()

    def _send_waiting(self) -> None:
        busy = self._under_way == self._connections
        if busy or (self._under_way and len(self._waiting) < FULL_TRIP):
            return
        batch = list(self._waiting)
        self._waiting.clear()
        if not batch:
            return
        self._under_way += 1
        task = asyncio.create_task(self._send(batch))
        self._sends.add(task)
        task.add_done_callback(self._sends.discard)

    async def _send(self, batch: list[Asked]) -> None:
        started_s = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                replies = await self._ask(batch)
            outcomes = [outcome_of(asked, answer) for asked, answer in zip(batch, replies, strict=True)]
        except Exception as error:  # not all that the client raises is a RedisError
            self._failed(error, {key for asked in batch for key in asked.keys})
            outcomes = [Outcome.UNAVAILABLE] * len(batch)
        except BaseException:
            outcomes = [Outcome.UNAVAILABLE] * len(batch)
            raise
        else:
            self._answered(time.monotonic() - started_s, batch, outcomes, replies)
        finally:
            self._under_way -= 1
            for asked, outcome in zip(batch, outcomes, strict=True):
                if outcome is Outcome.FIRST:
                    self.shares.recorded(asked.use, asked.now_ms)
                self.outcomes[outcome] += 1
                try:
                    asked.outcome.come(outcome)
                except Exception as error:  # one check that cannot be answered must not stop those that it came with
                    _log.error("a check could not be answered: %s", type(error).__name__)
            self._send_waiting()

    async def _ask(self, batch: list[Asked]) -> list[Answer]:
        """What each key of each value holds, in one round trip, but for the first one and after a restart of Redis."""
        while True:
            by_script, is_known = self._runs_scripts, self._knows_script
            async with self._client.pipeline(transaction=False) as pipe:
                if by_script:
                    put_script(pipe, batch, is_known)
                else:
                    put_commands(pipe, batch)
                latest_ms = max(asked.now_ms for asked in batch)
                due = self.shares.due((asked.use for asked in batch), latest_ms)
                takers = [ask(pipe, self._prefix, tally, latest_ms) for tally in due]
                replies = iter(await self._execute(pipe))
            first = next(replies) if by_script else None
            answers = [] if by_script else take_commands(batch, replies)
            for take in takers:
                take([next(replies) for _ in range(3)])
            if not by_script:
                return answers
            if not self._should_ask_again(first, is_known):
                self._knows_script = True
                return take_script(batch, first)

    def _should_ask_again(self, reply: Any, was_known: bool) -> bool:
        """Whether the script did not run, but something else may. ``was_known``: it was asked for by its hash."""
        if isinstance(reply, NoScriptError) and was_known:
            self._knows_script = False
            return True
        forbidden = isinstance(reply, ResponseError) and str(reply).startswith("unknown command")
        if forbidden or isinstance(reply, NoPermissionError):
            self._runs_scripts = False
            _log.warning("the replay store runs no scripts for us, which costs several times as much: %s", _CURE)
            return True
        return False

    async def _execute(self, pipe: Any) -> list[Any]:
        """The replies, once enough replicas have what was written. Raises TooFewReplicas."""
        if not self._wait_replicas:
            replies: list[Any] = await pipe.execute(raise_on_error=False)
            return replies
        # Answered by Redis before our own patience ends, so that the connection stays of use.
        pipe.execute_command("WAIT", self._wait_replicas, max(1, int(self._timeout_s * 800)))
        *replies, reached = await pipe.execute(raise_on_error=False)
        if not isinstance(reached, int) or reached < self._wait_replicas:
            raise TooFewReplicas
        return replies

    def _keys(self, use: OneTimeUse) -> tuple[bytes, ...]:
        key = self._prefix + use.key.hex().encode()
        return (key, self._prefix + use.proof.hex().encode()) if use.proof else (key,)

    def _answered(self, seconds: float, batch: list[Asked], outcomes: list[Outcome], answers: list[Answer]) -> None:
        self.round_trips += 1
        self.seconds += seconds
        fault = next((one for answer in answers for pair in answer for one in pair if isinstance(one, Exception)), None)
        if fault is not None:  # full, read-only, no permission, one node of many: alive, but of no use
            unavailable = [asked for asked, was in zip(batch, outcomes, strict=True) if was is Outcome.UNAVAILABLE]
            self._failed(fault, {key for asked in unavailable for key in asked.keys})

    # What happens once it has failed.

    def _failed(self, error: BaseException, keys: set[bytes]) -> None:
        if self._healing is None:
            self._healing = asyncio.create_task(self._heal(keys))
        if self.up:
            self.up = False
            _log.error("the replay store is out of order: %s", type(error).__name__)  # its text may name the URL

    async def _heal(self, keys: set[bytes]) -> None:
        """Until Redis takes values again, at the places of those that failed."""
        while True:
            await asyncio.sleep(REST_S)
            try:
                await self._find()
                await self._probe(keys)
            except Exception:  # noqa: S112  it was told when it began
                continue
            self.up = True
            self._healing = None
            _log.warning("the replay store answers again")
            return

    async def _find(self) -> None:
        async with asyncio.timeout(FIND_TIMEOUT_S):
            await self._client.find()

    async def _probe(self, keys: set[bytes]) -> None:
        """Write beside each of these keys. Raises RedisError, OSError, TimeoutError."""
        async with asyncio.timeout(self._timeout_s), self._client.pipeline(transaction=False) as pipe:
            for key in keys:
                # In braces: a Cluster puts it on the node of the key itself.
                pipe.set(self._prefix + b"{%s}" % key, b"", px=_PROBE_MS)
            for reply in await self._execute(pipe):
                if isinstance(reply, Exception):
                    raise reply


class TooFewReplicas(RedisError):
    """Fewer replicas than wanted have what was written: a fail-over could lose it."""
