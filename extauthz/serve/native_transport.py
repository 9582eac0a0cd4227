"""pygrpc-native: HTTP/2 in Rust outside the GIL, calls handed over in batches to one thread of ours.

Backpressure by batches: each batch takes all that is queued, so what waits for the next one arrived while this one was
in work. At most ``in_flight_limit`` checks of a batch are started; the rest are refused, before the others are begun.
So no check waits longer than one batch takes, some tens of milliseconds, and none is started after Envoy's deadline
unless the whole process stood still. Asking the library for each call's deadline would cost 3 microseconds a check.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable
from typing import Any, Final

from extauthz.domain import reason
from extauthz.domain.reason import Reason
from extauthz.domain.request import Network
from extauthz.serve.transports import HEALTH_PATH, MAX_MESSAGE_BYTES, Health, Metadata, TracedChecks, bound_address
from extauthz.wire.servicer import CHECK_PATH, Servicer, describe

QUIET_S: Final = 0.25
"""The stop closes connections once nothing was asked for so long: closing is at once, also for answers on their way."""
_BATCH: Final = 8192
_TOGETHER: Final = 16
"""Answers that are handed over together: each hand-over wakes the library's thread, which on one core costs as much
as half a check. An idle service has groups of one; in a busy one the first of a group waits below a millisecond."""
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
        try:
            self._front = NativeGrpcFront(
                address, [(CHECK_PATH, False), (HEALTH_PATH, False)], io_threads=1, call_details=traced is not None
            )
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
        receive = self._front.recv_batch if self._traced is None else self._receive_with_metadata
        while (events := receive(_BATCH)) is not None:
            self._last_batch_s = time.monotonic()
            try:
                self._answer_batch(events)
            except Exception as error:
                _log.error("a batch of checks failed: %s", describe(error))
            self._working = 0

    def _receive_with_metadata(self, most: int) -> list[Any] | None:
        events = self._front.recv_batch_details(most)
        if events is None:
            return None
        self._metadata = {event[1]: event[5][0] for event in events if event[5] is not None}
        return [event[:5] for event in events]

    def _answer_batch(self, events: list[Any]) -> None:
        checks: list[_Call] = []
        for _kind, call_id, method_id, payload, _client in events:
            if method_id == _HEALTH:
                self._answer_health(call_id, payload)
            elif payload is not None:  # else the call was cancelled
                checks.append((call_id, payload))
        room = max(0, self._limit - (self._begun - self._ended))
        self._working = min(len(checks), room)
        if len(checks) > room:
            for call_id, _ in checks[room:]:
                self._front.respond(call_id, self._refuse(reason.OVERLOADED, call_id))
            del checks[room:]
        for begin in range(0, len(checks), _TOGETHER):
            self._answer_group(checks[begin : begin + _TOGETHER])

    def _answer_group(self, checks: list[_Call]) -> None:
        check, binding, traced = self._servicer.check, self._binding, self._traced
        answers: list[_Call] = []
        for call_id, payload in checks:
            if len(payload) > MAX_MESSAGE_BYTES:
                answers.append((call_id, self._refuse(reason.REQUEST_INVALID, call_id)))
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

    def _refuse(self, why: Reason, call_id: int) -> bytes:
        if self._traced is None:
            return self._servicer.refuse(why)
        return self._traced.refuse(why, self._metadata.get(call_id, ()))

    def _answer_health(self, call_id: int, payload: bytes | None) -> None:
        try:
            answer = self._health.check(payload or b"")
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
