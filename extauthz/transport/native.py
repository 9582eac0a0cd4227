"""pygrpc-native: HTTP/2 in Rust outside the GIL, calls handed over in batches to one thread of ours.

Backpressure: every few milliseconds the thread takes in whatever has arrived, so that its own queue is the only one.
At most ``in_flight_limit`` checks wait. Past that the oldest are refused at once, and until the queue is empty again
the newest are answered first, since Envoy surely waits for them still, and those that waited for ``PATIENCE_S`` are
refused as well. Asking the library for each call's deadline would cost 3 microseconds a check.

What Envoy gave up is left out, after a stall of the whole process, too: see stall.py.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Awaitable
from typing import Any, Final

from extauthz.domain import reason
from extauthz.domain.reason import Reason
from extauthz.domain.request import Network
from extauthz.transport.contract import HEALTH_PATH, Health, bound_address
from extauthz.transport.listening import socket_mode
from extauthz.transport.stall import GAP_S, LOOK_S, SETTLE_S, StallWatch
from extauthz.wire.failure import describe
from extauthz.wire.servicer import CHECK_PATH, Checks, Metadata

QUIET_S: Final = 0.25
"""The stop closes connections once nothing was asked for so long: closing is at once, also for answers on their way."""
_BATCH: Final = 8192
_TOGETHER: Final = 16
"""Answers that are handed over together: each hand-over wakes the library's thread, which on one core costs as much
as half a check. An idle service has groups of one; in a busy one the first of a group waits below a millisecond."""
LOOK_EVERY_S: Final = 0.02
"""While there is more to do, so often we look what else has arrived. What is refused is handed over together, which
costs less the more it is: at twice the peak, looking after every 32 checks served 0.73 of it, after every 256 0.85."""
PATIENCE_S: Final = 0.1
"""Under overload a check that waited for so long is refused: half the time that Envoy waits by default."""
_LOOK_MS: Final = int(LOOK_S * 1000)
_HEALTH: Final = 1
_NOT_FOUND: Final = 5
_log: Final = logging.getLogger("extauthz")

_Call = tuple[int, bytes]
"""Call id and payload."""
_Waiting = tuple[float, int, bytes]
"""When it came (seconds, monotonic), call id and payload."""


class NativeTransport:
    """Answers in one thread; answers that have to wait are finished on the event loop."""

    def __init__(
        self,
        address: str,
        binding: Network | None,
        checks: Checks,
        health: Health,
        in_flight_limit: int,
        message_limit: int,
        certificates: object = None,
    ) -> None:
        from pygrpc_native import NativeGrpcFront  # an optional extra: imported where it is used

        self.address = address
        self._binding = binding
        self._checks = checks
        self._metadata: dict[int, Metadata] = {}
        """Of the calls that wait, by call id; only with tracing."""
        self._health = health
        self._limit = in_flight_limit
        self._message_limit = message_limit
        self._waiting: deque[_Waiting] = deque()
        self._newest_first = False
        self._working = 0
        self._begun = 0  # answers that wait: written by our thread alone ...
        self._ended = 0  # ... and by the event loop alone, so that no lock is needed
        self._last_batch_s = 0.0
        self._watch = StallWatch()
        try:
            # Without call_details nobody tells us of cancelled calls. It costs a fifth of a microsecond a check.
            methods = [(CHECK_PATH, False), (HEALTH_PATH, False)]
            with socket_mode(address):
                self._front = NativeGrpcFront(address, methods, io_threads=1, call_details=True)
        except (OSError, RuntimeError, ValueError) as error:
            raise OSError(str(error)) from None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._answer_batches, name=f"checks {address}", daemon=True)

    @property
    def in_flight(self) -> int:
        return len(self._waiting) + self._working + self._begun - self._ended

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._front.start()
        self.address = bound_address(self.address, self._front.bound_port)
        self._thread.start()

    async def stop(self, grace_s: float) -> None:
        deadline_s = time.monotonic() + grace_s
        quiet_s = time.monotonic()
        while time.monotonic() < min(deadline_s, quiet_s + QUIET_S):
            await asyncio.sleep(0.01)
            quiet_s = time.monotonic() if self.in_flight else max(quiet_s, self._last_batch_s)
        self._front.close()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, max(0.1, deadline_s - time.monotonic()))

    def _answer_batches(self) -> None:
        self._watch.stood_still()  # not counting from before the start
        while (events := self._receive(0 if self._waiting else _LOOK_MS)) is not None:
            stalled = self._watch.stood_still()
            if events:
                self._last_batch_s = self._watch.passed_s
            try:
                self._take_in(events)
                if stalled:
                    self._take_in_what_lies_on_connections()
                self._refuse_what_is_too_much(time.monotonic())
                self._answer_for_a_while()
            except Exception as error:
                _log.error("a batch of checks failed: %s", describe(error))
            self._working = 0

    def _receive(self, wait_ms: int) -> list[Any] | None:
        if not self._checks.metadata_names:
            events: list[Any] | None = self._front.recv_batch(_BATCH, wait_ms)
            return events
        detailed = self._front.recv_batch_details(_BATCH, wait_ms)
        if detailed is None:
            return None
        self._metadata |= {event[1]: event[5][0] for event in detailed if event[5] is not None and event[2] != _HEALTH}
        return [event[:5] for event in detailed]

    def _take_in(self, events: list[Any]) -> None:
        """Checks wait, without those given up; health is answered here and now."""
        given_up: set[int] = set()
        now_s = self._watch.passed_s
        for _kind, call_id, method_id, payload, _client in events:
            if payload is None:
                given_up.add(call_id)
                self._metadata.pop(call_id, None)
            elif method_id == _HEALTH:
                self._answer_health(call_id, payload)
            else:
                self._waiting.append((now_s, call_id, payload))
        if given_up and self._waiting:
            self._waiting = deque(one for one in self._waiting if one[1] not in given_up)

    def _take_in_what_lies_on_connections(self) -> None:
        """After a stall: the library gets time to read what came, and what was given up, meanwhile."""
        stalled = True
        while stalled:
            self._watch.stood_still()
            time.sleep(SETTLE_S)
            self._take_in(self._receive(0) or [])
            stalled = self._watch.stood_still()

    def _refuse_what_is_too_much(self, now_s: float) -> None:
        waiting, room = self._waiting, max(0, self._limit - (self._begun - self._ended))
        self._newest_first = self._newest_first or len(waiting) > room
        clock, passed_s = time.monotonic, self._watch.passed_s
        while len(waiting) > room or (self._newest_first and waiting and waiting[0][0] + PATIENCE_S < now_s):
            _, call_id, _ = waiting.popleft()
            self._front.respond(call_id, self._refuse(reason.OVERLOADED, call_id))
            before_s, passed_s = passed_s, clock()
            if passed_s - before_s > GAP_S:
                return
            self._watch.passed_s = passed_s  # many refusals take long, and are no stall

    def _answer_for_a_while(self) -> None:
        look_s = time.monotonic() + LOOK_EVERY_S  # after the refusals, or many of them would be all we do
        while self._waiting and time.monotonic() < look_s:
            group = self._next_group()
            left = group[self._answer_group(group) :]
            if left:  # the process stood still: first look what Envoy gave up
                self._put_back(left)
                return
        if not self._waiting:
            self._newest_first = False

    def _next_group(self) -> list[_Waiting]:
        waiting = self._waiting
        take = waiting.pop if self._newest_first else waiting.popleft
        return [take() for _ in range(min(_TOGETHER, len(waiting)))]

    def _put_back(self, group: list[_Waiting]) -> None:
        put = self._waiting.append if self._newest_first else self._waiting.appendleft
        for one in reversed(group):
            put(one)

    def _answer_group(self, group: list[_Waiting]) -> int:
        """Answer until a stall; how many of them are answered, at once or later."""
        check, binding, metadata = self._checks.check, self._binding, self._metadata
        self._working = len(group)
        answers: list[_Call] = []
        done, clock, passed_s = 0, time.monotonic, self._watch.passed_s
        for _, call_id, payload in group:
            now_s = clock()
            if now_s - passed_s > GAP_S:
                break
            passed_s = now_s
            done += 1
            if len(payload) > self._message_limit:
                answers.append((call_id, self._refuse(reason.REQUEST_INVALID, call_id)))
                continue
            answer = check(payload, binding, metadata.pop(call_id, ()))
            if isinstance(answer, bytes):
                answers.append((call_id, answer))
            else:
                self._answer_later(call_id, answer)
        respond = self._front.respond
        for call_id, answered in answers:
            respond(call_id, answered)
        self._watch.passed_s = passed_s
        return done

    def _refuse(self, why: Reason, call_id: int) -> bytes:
        return self._checks.refuse(why, self._binding, self._metadata.pop(call_id, ()))

    def _answer_health(self, call_id: int, payload: bytes) -> None:
        try:
            answer = self._health.check(payload)
        except Exception:
            answer = None
        if answer is None:
            self._front.fail(call_id, _NOT_FOUND, "unknown service")
        else:
            self._front.respond(call_id, answer)

    def _answer_later(self, call_id: int, answer: Awaitable[bytes]) -> None:
        async def wait() -> None:
            try:
                self._front.respond(call_id, await answer)
            finally:
                self._ended += 1

        if self._loop is not None:
            self._begun += 1
            asyncio.run_coroutine_threadsafe(wait(), self._loop)
