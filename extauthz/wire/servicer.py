"""The servicer: CheckRequest bytes in, CheckResponse bytes out, whatever happens.

It never raises and never answers with a gRPC error: Envoy under ``failure_mode_allow`` turns those into an allow.
"""

import logging
import time
import uuid
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

from google.protobuf.message import DecodeError

from extauthz.decide.pipeline import decide
from extauthz.decide.replay import ReplayStore, Unsettled, go_on, record_all
from extauthz.domain import reason
from extauthz.domain.clock import wall_clock_ms
from extauthz.domain.decision import Allow, Decision, Deny, Subject
from extauthz.domain.reason import Reason
from extauthz.domain.request import Network, Request
from extauthz.domain.snapshot import Snapshot
from extauthz.later import Later
from extauthz.wire.checked import Checked, checked
from extauthz.wire.failure import describe
from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.request import is_grpc, read_request
from extauthz.wire.request_id import new_request_id
from extauthz.wire.response import Responder, tell_revision

SERVICE: Final = "envoy.service.auth.v3.Authorization"
CHECK_PATH: Final = f"/{SERVICE}/Check"

MAX_HEADERS: Final = 1000
"""Of one request; Envoy's default is 100. Each costs a third of a microsecond to read."""
_STAND_IN: Final = str(uuid.uuid4()).upper()
_log: Final = logging.getLogger("extauthz")


class Current(NamedTuple):
    """A snapshot and what answers for it: swapped together, in one assignment."""

    snapshot: Snapshot
    responder: Responder
    """Of the gateway half."""
    revision: str
    """Of the snapshot."""
    revision_bytes: bytes
    """What is joined to every answer, see ``tell_revision``."""

    @classmethod
    def of(cls, snapshot: Snapshot, before: "Current | None" = None) -> "Current":
        """Prepare a snapshot for serving. Answers that were built ``before`` are kept while the gateway half stays."""
        kept = before is not None and before.snapshot.gateway is snapshot.gateway
        responder = before.responder if kept and before is not None else Responder(snapshot.gateway, _STAND_IN)
        revision = snapshot.revision
        return cls(snapshot, responder, revision, tell_revision(revision))


class Recorder(Protocol):
    """Who keeps records of checks: the decision log, the metrics."""

    def record(self, checked: Checked) -> bool:
        """Keep the record of a check that was decided. Whether the decision may stand.

        It may not when an audit is required and there is no room for its record. The check is then denied with
        ``AUDIT_UNAVAILABLE``, a record for which there is always room.
        """
        ...


Metadata = Iterable[tuple[str, str | bytes]]
"""What came with a gRPC call: names and values."""


class Checks(Protocol):
    """Who answers checks: the servicer, or what wraps it."""

    metadata_names: tuple[str, ...]
    """Names of the metadata that it wants to see; a transport need not read any other."""

    def check(self, payload: bytes, binding: Network | None = None, metadata: Metadata = ()) -> bytes | Later[bytes]:
        """Decide about one serialized CheckRequest. ``binding`` is the network of the listener it came by.

        The answer is bytes, or comes later when a shared replay store has to be asked.
        """
        ...

    def refuse(self, cause: Reason, binding: Network | None = None, metadata: Metadata = ()) -> bytes:
        """An explicit denial for a check that is not even started."""
        ...


Told = Callable[[Checked], None]
"""Somebody who wants to know of one check."""


class Servicer:
    """Answers checks. Transports call ``check``, reloads ``adopt``."""

    metadata_names: tuple[str, ...] = ()

    def __init__(
        self,
        snapshot: Snapshot,
        store: ReplayStore,
        recorder: Recorder,
        now_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        """``now_ms`` gives the time in milliseconds since 1970; tests pass their own."""
        self.current = Current.of(snapshot)
        self._store = store
        self._recorder = recorder
        self._now_ms = now_ms

    def adopt(self, snapshot: Snapshot, announce: Callable[[Snapshot], None] = lambda _: None) -> None:
        """Decide by another snapshot from the next check on, and revive nothing that was used under this one.

        ``announce`` is called first, with the snapshot as it will decide: what is equal in it is kept from this one.
        """
        adopted = snapshot.following(self.current.snapshot, self._now_ms())
        announce(adopted)
        self.current = Current.of(adopted, self.current)

    def check(
        self, payload: bytes, binding: Network | None = None, metadata: Metadata = (), told: Told | None = None
    ) -> bytes | Later[bytes]:
        """See ``Checks.check``. ``told`` gets the record of this check."""
        check = _Check(self.current, binding, told)
        try:
            decision = self._decide(check, payload)
            if isinstance(decision, Allow | Deny):
                return self._finish(check, decision)
            return self._finish_later(check, decision, Later())
        except Exception as error:
            return self._failed(check, error)

    def refuse(
        self, cause: Reason, binding: Network | None = None, metadata: Metadata = (), told: Told | None = None
    ) -> bytes:
        """See ``Checks.refuse``. ``told`` gets the record of this check."""
        check = _Check(self.current, binding, told)
        try:
            return self._finish(check, Deny(cause, Subject()))
        except Exception as error:
            return self._failed(check, error)

    def _decide(self, check: "_Check", payload: bytes) -> Decision | Unsettled:
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
        check.request = request = read_request(message, check.binding, snapshot.gateway.settings)
        now_ms = self._now_ms()
        decision = decide(request, snapshot, now_ms)
        if isinstance(decision, Allow) and decision.uses:
            return record_all(self._store, decision, decision.uses, now_ms)
        return decision

    def _finish_later(self, check: "_Check", unsettled: Unsettled, answer: Later[bytes]) -> Later[bytes]:
        unsettled.outcome.then(partial(self._go_on, check, unsettled, answer))
        return answer

    def _go_on(self, check: "_Check", unsettled: Unsettled, answer: Later[bytes], outcome: Any) -> None:
        try:  # whatever a store makes of it
            decision = go_on(self._store, unsettled, outcome)
            if isinstance(decision, Unsettled):
                self._finish_later(check, decision, answer)
                return
            told = self._finish(check, decision)
        except Exception as error:
            told = self._failed(check, error)
        answer.come(told)

    def _finish(self, check: "_Check", decision: Decision) -> bytes:
        answer = self._answer(check, decision)
        if not self._keep(check, decision):
            deny = Deny(reason.AUDIT_UNAVAILABLE, Subject())
            answer = self._answer(check, deny)
            self._keep(check, deny)
        return answer

    def _answer(self, check: "_Check", decision: Decision) -> bytes:
        grpc_caller = isinstance(decision, Deny) and check.request is not None and is_grpc(check.request.headers)
        current = check.current
        return current.responder.respond(decision, check.network, check.id, grpc_caller, current.revision_bytes)

    def _keep(self, check: "_Check", decision: Decision) -> bool:
        """Tell everybody of the decision; whether it may stand."""
        current = check.current
        record = checked(
            check.id, check.started, check.network, check.request, decision, current.snapshot, current.revision
        )
        if not self._recorder.record(record):
            return False
        if check.told is not None:
            check.told(record)
        return True

    def _failed(self, check: "_Check", error: Exception) -> bytes:
        # The message of an exception may quote what a client sent; its type and place do not.
        _log.error("check %s failed: %s", check.id, describe(error))
        deny = Deny(reason.INTERNAL_ERROR, Subject(), detail=type(error).__name__)
        answer = self._answer(check, deny)
        try:
            self._keep(check, deny)
        except Exception as second:
            _log.error("check %s could not be recorded: %s", check.id, describe(second))
        return answer


class _Check:
    """What is known about one check while it runs."""

    __slots__ = ("binding", "current", "id", "request", "started", "told")

    def __init__(self, current: Current, binding: Network | None, told: Told | None) -> None:
        self.started = time.perf_counter()
        self.current = current
        self.binding = binding
        self.told = told
        self.id = new_request_id()
        self.request: Request | None = None

    @property
    def network(self) -> Network:
        """By which the check came: as the request says, or, where there is none, as its listener does."""
        if self.request is not None:
            return self.request.network
        return Network.INTERNET if self.binding is None else self.binding
