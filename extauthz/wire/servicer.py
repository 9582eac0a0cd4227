"""The servicer: CheckRequest bytes in, CheckResponse bytes out, whatever happens.

It never raises and never answers with a gRPC error: Envoy under ``failure_mode_allow`` turns those into an allow.
"""

import logging
import os
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, Protocol

from google.protobuf.message import DecodeError

from extauthz.decide.pipeline import decide
from extauthz.decide.replay import Outcome, ReplayStore, settle
from extauthz.domain import reason
from extauthz.domain.decision import Allow, Decision, Deny, OneTimeUse, Subject
from extauthz.domain.reason import Reason
from extauthz.domain.request import Network, Request
from extauthz.domain.snapshot import Snapshot
from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.request import is_grpc, read_request
from extauthz.wire.response import Responder, tell_revision

SERVICE: Final = "envoy.service.auth.v3.Authorization"
CHECK_PATH: Final = f"/{SERVICE}/Check"

MAX_HEADERS: Final = 1000
"""Of one request; Envoy's default is 100. Each costs a third of a microsecond to read."""
_STAND_IN: Final = str(uuid.uuid4()).upper()
_IDS_DRAWN: Final = 256
"""Request ids drawn from the system at a time: one call for each would cost more than the id itself."""
_VARIANT: Final = {digit: "89AB"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""The digit in which a UUID says how it is to be read (RFC 9562, section 4.1), by the digit that was drawn."""
_log: Final = logging.getLogger("extauthz")


def wall_clock_ms() -> int:
    """The time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Current(NamedTuple):
    """A snapshot and what answers for it: swapped together, in one assignment."""

    snapshot: Snapshot
    responder: Responder
    """Of the gateway half."""
    revision: bytes
    """What is joined to every answer, see ``tell_revision``."""

    @classmethod
    def of(cls, snapshot: Snapshot, before: "Current | None" = None) -> "Current":
        """Prepare a snapshot for serving. Answers that were built ``before`` are kept while the gateway half stays."""
        kept = before is not None and before.snapshot.gateway is snapshot.gateway
        responder = before.responder if kept and before is not None else Responder(snapshot.gateway, _STAND_IN)
        return cls(snapshot, responder, tell_revision(snapshot.revision))


class Unrecorded(Exception):
    """A decision that must not stand, because an audit is required and there is no room for its record."""


class Observer(Protocol):
    """Who wants to know about decisions: metrics, the decision log."""

    def decided(self, request_id: str, request: Request | None, decision: Decision, seconds: float) -> None:
        """One check was decided. ``request`` is None when there was none to read.

        May raise Unrecorded, and is then told of a denial with ``AUDIT_UNAVAILABLE`` instead.
        """
        ...


class Servicer:
    """Answers checks. Transports call ``check``, reloads ``adopt``."""

    def __init__(
        self,
        snapshot: Snapshot,
        store: ReplayStore,
        observer: Observer,
        now_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        """``now_ms`` gives the time in milliseconds since 1970; tests pass their own."""
        self.current = Current.of(snapshot)
        self._store = store
        self._observer = observer
        self._now_ms = now_ms

    def adopt(self, snapshot: Snapshot, announce: Callable[[Snapshot], None] = lambda _: None) -> None:
        """Decide by another snapshot from the next check on, and revive nothing that was used under this one.

        ``announce`` is called first, with the snapshot as it will decide: what is equal in it is kept from this one.
        """
        adopted = snapshot.following(self.current.snapshot, self._now_ms())
        announce(adopted)
        self.current = Current.of(adopted, self.current)

    def check(self, payload: bytes, binding: Network | None = None) -> bytes | Awaitable[bytes]:
        """Decide about one serialized CheckRequest. ``binding`` is the network of the listener it came by.

        The answer is bytes, or an awaitable of bytes when a shared replay store has to be asked.
        """
        check = _Check(self.current)
        try:
            decision = self._decide(check, payload, binding)
            if isinstance(decision, Allow | Deny):
                return self._finish(check, decision)
            return self._finish_later(check, decision)
        except Exception as error:
            return self._failed(check, error)

    def refuse(self, cause: Reason) -> bytes:
        """An explicit denial for a check that is not even started."""
        check = _Check(self.current)
        try:
            return self._finish(check, Deny(cause, Subject()))
        except Exception as error:
            return self._failed(check, error)

    def _decide(self, check: "_Check", payload: bytes, binding: Network | None) -> Decision | Awaitable[Decision]:
        try:
            message = pb.CheckRequest.FromString(payload)
        except DecodeError:
            return Deny(reason.REQUEST_INVALID, Subject(), "not a CheckRequest")
        asked = message.attributes.request
        if not asked.HasField("http"):
            return Deny(reason.REQUEST_INVALID, Subject(), "no HTTP request")
        if len(asked.http.header_map.headers) > MAX_HEADERS or len(asked.http.headers) > MAX_HEADERS:
            return Deny(reason.REQUEST_INVALID, Subject(), "too many headers")
        snapshot = check.current.snapshot
        check.request = request = read_request(message, binding, snapshot.gateway.settings)
        now_ms = self._now_ms()
        decision = decide(request, snapshot, now_ms)
        if isinstance(decision, Allow) and decision.uses:
            return self._record(decision, decision.uses, now_ms)
        return decision

    def _record(self, allow: Allow, uses: tuple[OneTimeUse, ...], now_ms: int) -> Decision | Awaitable[Decision]:
        """Record what may be used once, in order; the first that was used before turns the allow into a denial."""
        decision: Decision = allow
        for index, use in enumerate(uses):
            outcome = self._store.record(use, now_ms)
            if not isinstance(outcome, Outcome):
                return self._record_later(decision, uses[index:], outcome, now_ms)
            decision = settle(decision, use, outcome)
            if isinstance(decision, Deny):
                break
        return decision

    async def _record_later(
        self, decision: Decision, uses: tuple[OneTimeUse, ...], first: Awaitable[Outcome], now_ms: int
    ) -> Decision:
        decision = settle(decision, uses[0], await first)
        if len(uses) == 1 or isinstance(decision, Deny):
            return decision
        rest = self._record(decision, uses[1:], now_ms)
        return rest if isinstance(rest, Allow | Deny) else await rest

    async def _finish_later(self, check: "_Check", decision: Awaitable[Decision]) -> bytes:
        try:
            return self._finish(check, await decision)
        except Exception as error:
            return self._failed(check, error)

    def _finish(self, check: "_Check", decision: Decision) -> bytes:
        request = check.request
        network = Network.INTERNET if request is None else request.network
        grpc_caller = isinstance(decision, Deny) and request is not None and is_grpc(request.headers)
        answer = check.current.responder.respond(decision, network, check.id, grpc_caller, check.current.revision)
        self._observer.decided(check.id, request, decision, time.perf_counter() - check.started)
        return answer

    def _failed(self, check: "_Check", error: Exception) -> bytes:
        # The message of an exception may quote what a client sent; its type and place do not.
        if isinstance(error, Unrecorded):
            deny = Deny(reason.AUDIT_UNAVAILABLE, Subject())
        else:
            _log.error("check %s failed: %s", check.id, describe(error))
            deny = Deny(reason.INTERNAL_ERROR, Subject(), detail=type(error).__name__)
        answer = check.current.responder.respond(deny, Network.INTERNET, check.id, False, check.current.revision)
        try:
            self._observer.decided(check.id, check.request, deny, time.perf_counter() - check.started)
        except Exception as second:
            _log.error("check %s could not be observed: %s", check.id, describe(second))
        return answer


class _Check:
    """What is known about one check while it runs."""

    __slots__ = ("current", "id", "request", "started")

    def __init__(self, current: Current) -> None:
        self.started = time.perf_counter()
        self.current = current
        self.id = new_request_id()
        self.request: Request | None = None


_drawn: Final[list[str]] = []


def new_request_id() -> str:
    """A random UUID (version 4) in upper case, as the vendor's gateway gives. Nobody can foresee the next from his own.

    Any thread may call it: taking one from the list is one step, and two threads that find it empty both fill it.
    """
    try:
        digits = _drawn.pop()
    except IndexError:
        digits = _draw()
    text = f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:]}"
    return text.upper()


def _draw() -> str:
    digits = os.urandom(16 * _IDS_DRAWN).hex()
    _drawn.extend([digits[start : start + 32] for start in range(32, len(digits), 32)])
    return digits[:32]


def describe(error: BaseException) -> str:
    """Type and place of an exception, without its message."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{place}"
