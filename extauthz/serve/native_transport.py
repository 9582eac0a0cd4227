"""pygrpc-native: HTTP/2 in Rust outside the GIL, calls handed over in batches to one thread of ours.

Backpressure by batches: each batch takes all that is queued, so what waits for the next one arrived while this one was
in work. At most ``in_flight_limit`` checks of a batch are started; the rest are refused, before the others are begun.
So no check waits longer than one batch takes, some tens of milliseconds, and none is started after Envoy's deadline.

After a stall of the whole process those that Envoy gave up are left out first, see stall.py.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Sequence
from typing import Any, Final

from extauthz.domain import reason
from extauthz.domain.request import Network
from extauthz.serve.stall import GAP_S, LOOK_S, SETTLE_S, StallWatch
from extauthz.serve.transports import HEALTH_PATH, MAX_MESSAGE_BYTES, Health, Metadata, TracedChecks, bound_address
from extauthz.wire.servicer import CHECK_PATH, Servicer, describe

QUIET_S: Final = 0.25
"""The stop closes connections once nothing was asked for so long: closing is at once, also for answers on their way."""
_BATCH: Final = 8192
_TOGETHER: Final = 16
"""Answers that are handed over together: each hand-over wakes the library's thread, which on one core costs as much
as half a check. An idle service has groups of one; in a busy one the first of a group waits below a millisecond."""
_LOOK_MS: Final = int(LOOK_S * 1000)
_HEALTH: Final = 1
_NOT_FOUND: Final = 5
_log: Final = logging.getLogger("extauthz")

_Call = tuple[int, bytes]
"""Call id and payload."""


class NativeTransport:
    """Answers in one thread; answers that have to wait are finished on the event loop."""

    def __init__(
        self,
        address: str,
        binding: Network | None,
        servicer: Servicer,
        health: Health,
        in_flight_limit: int,
        *,
        traced: TracedChecks | None = None,
    ) -> None:
        from pygrpc_native import NativeGrpcFront  # an optional extra: imported where it is used

        self.address = address
        self._binding = binding
        self._servicer = servicer
        self._traced = traced
        self._metadata: dict[int, Metadata] = {}
        """Of the calls of one batch, by call id; only with tracing."""
        self._health = health
        self._limit = in_flight_limit
        self._working = 0
        self._begun = 0  # answers that wait: written by our thread alone ...
        self._ended = 0  # ... and by the event loop alone, so that no lock is needed
        self._last_batch_s = 0.0
        self._watch = StallWatch()
        try:
            # Without call_details nobody tells us of cancelled calls. It costs a fifth of a microsecond a check.
            methods = [(CHECK_PATH, False), (HEALTH_PATH, False)]
            self._front = NativeGrpcFront(address, methods, io_threads=1, call_details=True)
        except (OSError, RuntimeError, ValueError) as error:
            raise OSError(f"cannot listen on {address}: {error}") from None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._answer_batches, name=f"checks {address}", daemon=True)

    @property
    def in_flight(self) -> int:
        return self._working + self._begun - self._ended

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
        while (events := self._receive(_LOOK_MS)) is not None:
            stalled = self._watch.stood_still()
            if events:
                self._last_batch_s = self._watch.passed_s
            try:
                checks = self._questions(events)
                self._answer_checks(self._without_given_up(checks) if stalled else checks)
            except Exception as error:
                _log.error("a batch of checks failed: %s", describe(error))
            self._working = 0
            self._metadata.clear()

    def _receive(self, wait_ms: int) -> list[Any] | None:
        if self._traced is None:
            events: list[Any] | None = self._front.recv_batch(_BATCH, wait_ms)
            return events
        detailed = self._front.recv_batch_details(_BATCH, wait_ms)
        if detailed is None:
            return None
        self._metadata |= {event[1]: event[5][0] for event in detailed if event[5] is not None}
        return [event[:5] for event in detailed]

    def _questions(self, events: list[Any], held: Sequence[_Call] = ()) -> list[_Call]:
        """``held`` and the checks among the events, without those given up; health is answered here and now."""
        checks = [*held]
        given_up: set[int] = set()
        for _kind, call_id, method_id, payload, _client in events:
            if payload is None:
                given_up.add(call_id)
            elif method_id == _HEALTH:
                self._answer_health(call_id, payload)
            else:
                checks.append((call_id, payload))
        return [check for check in checks if check[0] not in given_up] if given_up else checks

    def _without_given_up(self, checks: list[_Call]) -> list[_Call]:
        """After a stall: these checks and those that lie on the connections, without the ones that Envoy gave up."""
        stalled = True
        while stalled:
            self._watch.stood_still()
            time.sleep(SETTLE_S)
            checks = self._questions(self._receive(0) or [], checks)
            stalled = self._watch.stood_still()
        return checks

    def _answer_checks(self, checks: list[_Call]) -> None:
        while checks:
            room = max(0, self._limit - (self._begun - self._ended))
            for call_id, _ in checks[room:]:
                self._front.respond(call_id, self._servicer.refuse(reason.OVERLOADED))
            self._working = min(len(checks), room)
            left = self._answer_until_stall(checks[:room])
            checks = self._without_given_up(left) if left else []

    def _answer_until_stall(self, checks: list[_Call]) -> list[_Call]:
        """Answer in groups; what is left of them when the process stood still meanwhile."""
        for begin in range(0, len(checks), _TOGETHER):
            group = checks[begin : begin + _TOGETHER]
            done = self._answer_group(group)
            if done < len(group):
                return checks[begin + done :]
        return []

    def _answer_group(self, checks: list[_Call]) -> int:
        """Answer until a stall; how many of them are answered, at once or later."""
        check, binding, traced = self._servicer.check, self._binding, self._traced
        answers: list[_Call] = []
        done, clock, passed_s = 0, time.monotonic, self._watch.passed_s
        for call_id, payload in checks:
            now_s = clock()
            if now_s - passed_s > GAP_S:
                break
            passed_s = now_s
            done += 1
            if len(payload) > MAX_MESSAGE_BYTES:
                answers.append((call_id, self._servicer.refuse(reason.REQUEST_INVALID)))
                continue
            if traced is None:
                answer = check(payload, binding)
            else:
                answer = traced.check(payload, binding, self._metadata.get(call_id, ()))
            if isinstance(answer, bytes):
                answers.append((call_id, answer))
            else:
                self._answer_later(call_id, answer)
        respond = self._front.respond
        for call_id, answered in answers:
            respond(call_id, answered)
        self._watch.passed_s = passed_s
        return done

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
