"""One-time values in Redis or Valkey, shared by every worker and replica: one round trip, many checks in one."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable
from typing import Any, Final, NamedTuple

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from extauthz.decide.replay import REPEAT_MS, Outcome
from extauthz.domain.decision import OneTimeUse

REST_S: Final = 0.2
"""After a failure the store is left alone for so long: checks get their answer at once instead of one time-out each."""
FULL_TRIP: Final = 128
"""How many values are worth a round trip of their own while another one is under way."""
_log: Final = logging.getLogger("extauthz")


class _Asked(NamedTuple):
    use: OneTimeUse
    now_ms: int
    outcome: asyncio.Future[Outcome]


class RedisReplayStore:
    """Records one-time values. What arrives during a round trip goes together with the next one.

    That costs a check at most one round trip more and a busy process most of its commands; only when more than
    FULL_TRIP values wait does another connection help out.
    """

    def __init__(self, url: str, timeout_s: float, connections: int, prefix: str, cluster: bool = False) -> None:
        """``url`` is redis://, rediss:// (TLS) or unix://, and may hold a password. Nothing is connected yet.

        An answer takes at most twice ``timeout_s``: waiting for a connection, then for Redis. Raises ValueError for a
        URL that the client does not understand.
        """
        self.outcomes = dict.fromkeys(Outcome, 0)
        self.seconds = 0.0
        self.round_trips = 0
        self.up = True
        self._timeout_s = timeout_s
        self._prefix = prefix.encode()
        self._connections = connections
        self._under_way = 0
        self._waiting: deque[_Asked] = deque()
        self._sends: set[asyncio.Task[None]] = set()
        self._rest_until_s = 0.0
        make: Any = redis.asyncio.RedisCluster.from_url if cluster else redis.asyncio.Redis.from_url
        self._client = make(
            url,
            max_connections=connections * 2,  # our own bound is the tighter one; the client's would be an error
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            # Once more at once: connections in the pool are dead after Redis was restarted.
            retry=Retry(NoBackoff(), 1),
        )

    def record(self, use: OneTimeUse, now_ms: int) -> Outcome | Awaitable[Outcome]:
        """Record a value unless it is there already. Callable from any thread; await it on the event loop."""
        if time.monotonic() < self._rest_until_s:
            self.outcomes[Outcome.UNAVAILABLE] += 1
            return Outcome.UNAVAILABLE
        return self._record(use, now_ms)

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.gather(*self._sends, return_exceptions=True)
        await self._client.aclose()

    async def _record(self, use: OneTimeUse, now_ms: int) -> Outcome:
        loop = asyncio.get_running_loop()
        asked = _Asked(use, now_ms, loop.create_future())
        self._waiting.append(asked)
        if len(self._waiting) in (1, FULL_TRIP):
            loop.call_soon(self._send_waiting)  # after all that this turn of the loop brings
        return await asked.outcome

    def _send_waiting(self) -> None:
        busy = self._under_way == self._connections
        if busy or (self._under_way and len(self._waiting) < FULL_TRIP):
            return
        batch = [asked for asked in self._waiting if not asked.outcome.done()]  # done: the call was cancelled
        self._waiting.clear()
        if not batch:
            return
        self._under_way += 1
        task = asyncio.create_task(self._send(batch))
        self._sends.add(task)
        task.add_done_callback(self._sends.discard)

    async def _send(self, batch: list[_Asked]) -> None:
        started_s = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                replies = await self._ask(batch)
            outcomes = [
                _outcome(asked, stored, found)
                for asked, stored, found in zip(batch, replies[::2], replies[1::2], strict=True)
            ]
        except (RedisError, OSError, TimeoutError) as error:
            self._failed(error)
            outcomes = [Outcome.UNAVAILABLE] * len(batch)
        except BaseException:
            outcomes = [Outcome.UNAVAILABLE] * len(batch)
            raise
        else:
            self._answered(time.monotonic() - started_s, replies)
        finally:
            self._under_way -= 1
            for asked, outcome in zip(batch, outcomes, strict=True):
                if not asked.outcome.done():
                    self.outcomes[outcome] += 1
                    asked.outcome.set_result(outcome)
            self._send_waiting()

    async def _ask(self, batch: list[_Asked]) -> list[Any]:
        """For each value whether it was stored now, and what is stored: SET NX and GET, all in one round trip."""
        async with self._client.pipeline(transaction=False) as pipe:
            for use, now_ms, _ in batch:
                key = self._prefix + use.key.hex().encode()
                value = b"%d:%s" % (now_ms, use.fingerprint.hex().encode())
                pipe.set(key, value, nx=True, px=max(1, use.expires_ms - now_ms))
                pipe.get(key)
            replies: list[Any] = await pipe.execute(raise_on_error=False)
        return replies

    def _answered(self, seconds: float, replies: list[Any]) -> None:
        self.round_trips += 1
        self.seconds += seconds
        fault = next((reply for reply in replies if isinstance(reply, Exception)), None)
        if fault is not None:  # full, read-only, no permission: alive, but of no use
            self._failed(fault)
        elif not self.up:
            self.up = True
            _log.warning("the replay store answers again")

    def _failed(self, error: BaseException) -> None:
        self._rest_until_s = time.monotonic() + REST_S
        if self.up:
            self.up = False
            _log.error("the replay store is out of order: %s", type(error).__name__)  # its text may name the URL


def _outcome(asked: _Asked, stored: Any, found: Any) -> Outcome:
    """What one value's two replies mean."""
    if isinstance(stored, Exception):
        return Outcome.UNAVAILABLE
    if stored:
        return Outcome.FIRST
    if not isinstance(found, bytes):  # it expired between the two commands, or cannot be read: it was there
        return Outcome.USED
    first_ms, _, fingerprint = found.partition(b":")
    same = bool(asked.use.fingerprint) and fingerprint == asked.use.fingerprint.hex().encode()
    # Two replicas' clocks may differ, so the first one may lie in the future.
    again = same and first_ms.isdigit() and abs(asked.now_ms - int(first_ms)) <= REPEAT_MS
    return Outcome.ASKED_AGAIN if again else Outcome.USED
