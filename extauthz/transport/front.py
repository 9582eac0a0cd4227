"""extauthz-front: HTTP/2 and TLS in Rust, outside Python's lock; checks are handed over in batches to the event loop.

The loop takes in what has come, refuses what is too much (overload.py), answers one group, and gives way. The front
leaves out what Envoy gave up; after a stall it first gets time to read what lies on the connections (stall.py). What it
does not take on (no message, a compressed one, a full queue) comes here as a cause, for the servicer to deny.
"""

import asyncio
import logging
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from extauthz.domain import reason
from extauthz.domain.reason import Reason
from extauthz.domain.request import Network
from extauthz.transport.contract import HEALTH_PATH, Health, bound_address
from extauthz.transport.late_answers import LateAnswers
from extauthz.transport.listening import numeric_address, remove_stale_socket, socket_mode
from extauthz.transport.overload import Check, OverloadQueue, has_time
from extauthz.transport.stall import GAP_S, LOOK_S, StallWatch
from extauthz.transport.tls import Certificates
from extauthz.wire.failure import describe
from extauthz.wire.servicer import CHECK_PATH, Checks, Metadata

GROUP: Final = 64
"""Answers that are handed over together: each hand-over wakes the front's thread, at the price of half a check."""
CONNECTIONS: Final = 1024  # at once, or half of the file descriptors that the process may open
BYTES: Final = 64 << 20  # of checks that wait, at least; and as many of messages that are not complete
_log: Final = logging.getLogger("extauthz")


class FrontTransport:
    """Answers on the event loop, a group at a time."""

    def __init__(
        self,
        address: str,
        binding: Network | None,
        checks: Checks,
        health: Health,
        in_flight_limit: int,
        message_limit: int,
        certificates: Certificates | None = None,
    ) -> None:
        """With ``certificates`` it speaks TLS, else plain text."""
        self.address = address
        self._binding = binding
        self._checks = checks
        self._health = health
        self._limit = in_flight_limit
        self._message_limit = message_limit
        self._certificates = certificates
        self._front: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting = OverloadQueue()
        self._later = LateAnswers(self._respond)
        self._turn_is_due = False
        self._watch = StallWatch()
        self._look: asyncio.TimerHandle | None = None

    @property
    def in_flight(self) -> int:
        return len(self._waiting) + len(self._later)

    async def start(self) -> None:
        from extauthz_front import Front  # an optional extra: imported where it is used

        remove_stale_socket(self.address)
        try:
            with socket_mode(self.address), _without_haste():
                self._front = self._open(Front)
        except ValueError as error:
            raise OSError(f"its TLS cannot be used here: {error}; `transport: grpcio` may take it") from None
        self.address = bound_address(self.address, self._front.port)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._front.fileno(), self._turn)
        self._watch.stood_still()  # not counting from before the start
        self._look_again()

    def _open(self, front: Any) -> Any:
        return front(
            numeric_address(self.address),
            check_path=CHECK_PATH,
            health_path=HEALTH_PATH,
            now_s=time.monotonic(),
            checks=self._limit,
            bytes=max(BYTES, 2 * self._message_limit),
            connections=min(CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2),
            message_limit=self._message_limit,
            metadata=list(self._checks.metadata_names),
            tls=None if self._certificates is None else self._certificates.for_front(),
        )

    async def stop(self, grace_s: float) -> None:
        front, loop = self._front, self._loop
        if front is None or loop is None:
            return
        deadline_s = time.monotonic() + grace_s
        front.drain()
        while time.monotonic() < deadline_s:
            if not front.connections:
                break
            await asyncio.sleep(0.01)
        loop.remove_reader(front.fileno())
        if self._look is not None:
            self._look.cancel()
        self._front = None
        await asyncio.to_thread(front.close)

    def _look_again(self) -> None:
        self._turn()
        if self._loop is not None:
            self._look = self._loop.call_later(LOOK_S, self._look_again)

    def _turn_soon(self) -> None:
        if self._loop is not None and not self._turn_is_due:
            self._turn_is_due = True
            self._loop.call_soon(self._due_turn)

    def _due_turn(self) -> None:
        self._turn_is_due = False
        self._turn()

    def _turn(self) -> None:
        """Take in, refuse, answer one group."""
        if self._front is None:
            return
        self._watch.settle_after_a_stall()
        try:
            self._take_in()
            self._refuse_what_is_too_much()
            if self._watch.passed_s >= self._watch.settled_s:
                self._answer(self._waiting.next_group(GROUP))
                if self._waiting:
                    self._turn_soon()
        except Exception as error:
            _log.error("a batch of checks failed: %s", describe(error))

    def _take_in(self) -> None:
        checks, others, given_up = self._front.take(self._limit)
        self._waiting.add(checks)
        self._waiting.give_up(given_up)
        if others:
            self._answer_others(others)

    def _answer_others(self, others: list[tuple[int, int, bytes, Metadata]]) -> None:
        from extauthz_front import CERTIFICATES, CLIENT, HEALTH, INVALID, LATE, OVERLOADED, PEER

        causes = {
            INVALID: reason.REQUEST_INVALID,
            OVERLOADED: reason.OVERLOADED,
            LATE: reason.OVERLOADED,
            PEER: reason.PEER_REFUSED,
        }
        answers: list[tuple[int, bytes]] = []
        for kind, call_id, payload, metadata in others:
            if kind == HEALTH:
                self._answer_health(call_id, payload, answers)
            elif kind == CERTIFICATES:
                self._renew_certificates()
                answers.append((call_id, b""))
            elif kind == CLIENT:
                answers.append((call_id, b"may ask" if self._may_ask(payload) else b""))
            else:
                if kind == OVERLOADED:
                    self._waiting.newest_first = True
                answers.append((call_id, self._refuse(causes[kind], metadata)))
        self._respond(answers)

    def _answer_health(self, call_id: int, payload: bytes, answers: list[tuple[int, bytes]]) -> None:
        try:
            answer = self._health.check(payload)
        except Exception:
            answer = None
        if answer is None:
            self._front.not_found(call_id)
        else:
            answers.append((call_id, answer))

    def _may_ask(self, certificate: bytes) -> bool:
        """Whether the client whose certificate this is, in DER form, has a name that may ask."""
        return self._certificates is not None and self._certificates.names_one_of(certificate)

    def _renew_certificates(self) -> None:
        if self._certificates is not None and (files := self._certificates.renewed_files()) is not None:
            try:
                self._front.renew(files.cert, files.key, files.client_ca)
            except ValueError as error:
                _log.error("certificates of %s cannot be used: %s", self._certificates.listener, error)

    def _refuse_what_is_too_much(self) -> None:
        room = max(0, self._limit - len(self._later))
        refused = self._waiting.too_much(room, time.monotonic())
        self._respond([(call_id, self._refuse(reason.OVERLOADED, metadata)) for call_id, *_, metadata in refused])
        self._watch.passed_s = time.monotonic()  # many refusals take long, and are no stall

    def _answer(self, group: list[Check]) -> None:
        check, binding = self._checks.check, self._binding
        answers: list[tuple[int, bytes]] = []
        clock, passed_s = time.monotonic, self._watch.passed_s
        for number, (call_id, payload, _, deadline_s, metadata) in enumerate(group):
            now_s = clock()
            if now_s - passed_s > GAP_S:  # the process stood still: first look what Envoy gave up
                self._waiting.put_back(group[number:])
                break
            passed_s = now_s
            if not has_time(deadline_s, now_s):
                answers.append((call_id, self._refuse(reason.OVERLOADED, metadata)))
                continue
            answer = check(payload, binding, metadata)
            if isinstance(answer, bytes):
                answers.append((call_id, answer))
            else:
                self._later.add(call_id, answer)
        self._watch.passed_s = passed_s
        self._respond(answers)

    def _respond(self, answers: list[tuple[int, bytes]]) -> None:
        if answers and self._front is not None:
            self._front.respond(answers)

    def _refuse(self, why: Reason, metadata: Metadata) -> bytes:
        return self._checks.refuse(why, self._binding, metadata)


@contextmanager
def _without_haste() -> Iterator[None]:
    """Around the start of a thread that does not interrupt another one of its core when it wakes (Linux).

    The front's thread wakes for whatever comes. On the core of the event loop it would interrupt a check for each
    packet, at half of the price of that check; like this it takes in some at a time. Where a core is free it runs at
    once.
    """
    if not hasattr(os, "SCHED_BATCH") or os.sched_getscheduler(0) != os.SCHED_OTHER:
        yield  # somebody gave this process a policy of its own
        return
    with suppress(PermissionError):  # in a sandbox: then it is as it was
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))  # inherited by a thread that is started now
    try:
        yield
    finally:
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
