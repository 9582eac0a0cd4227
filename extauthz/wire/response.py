"""Decision to CheckResponse. One function settles every CheckResponse, and in it a denial cannot have status 0.

Envoy reads an empty CheckResponse, and a denial that forgets its status, as an allow. It also writes control
characters in denied headers raw to the client. Both are closed here, for every answer.
"""

from functools import lru_cache
from typing import Final, NamedTuple

from google.protobuf.struct_pb2 import Struct, Value

from extauthz.decide.upstream import upstream_changes
from extauthz.domain import reason
from extauthz.domain.app import App
from extauthz.domain.decision import Allow, Deny, Subject, Upstream
from extauthz.domain.header_names import X_CA_ERROR_CODE, X_CA_REQUEST_ID, as_written
from extauthz.domain.reason import Answer, GrpcStatus, Reason
from extauthz.domain.request import Network
from extauthz.domain.settings import IdentityFact, Settings
from extauthz.domain.snapshot.gateway import Gateway
from extauthz.wire.error_text import answer_of, header_text, help_link
from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.parts import carry, header_option, tell, unchanged

_REQUEST_ID: Final = as_written(X_CA_REQUEST_ID)
_ERROR_CODE: Final = as_written(X_CA_ERROR_CODE)
_OK: Final = 0
_STATUS_CODES: Final = {True: int(GrpcStatus.UNAUTHENTICATED), False: int(GrpcStatus.PERMISSION_DENIED)}
_CACHED_ANSWERS: Final = 8192
_APP_ID: Final = "\x01"
_OWNER: Final = "\x02"
"""Repeated to the length of what they stand for. No id or owner holds them, and protobuf writes none so often."""
_APP_ID_BYTES: Final = _APP_ID.encode()
_OWNER_BYTES: Final = _OWNER.encode()
_STAND_IN_LENGTHS: Final = range(4, 128)
"""Others are told one by one: a shorter stand-in could be met elsewhere in a message, and the length of a longer one is
written in two bytes, of which the last could be taken for its first character."""


Names = tuple[str, ...]


class Responder:
    """Builds the answers of one gateway half; a change of the directory leaves them as they are.

    Answers repeat: for one API they differ only in the request id and the app. So each is built once with a stand-in
    of the same length, and the id is put in its place. The stand-in is random, so no client can send it. What is told
    of the app, of which there may be a million, and what one request alone is told, or carries upstream, are messages
    of their own, joined to the first: a parser merges them (protobuf encoding, "Last One Wins").
    """

    def __init__(self, gateway: Gateway, stand_in: str) -> None:
        self._settings = gateway.settings
        self._stand_in = stand_in
        self._stand_in_bytes = stand_in.encode()
        self._app_named = lru_cache(maxsize=_CACHED_ANSWERS)(_name_app)
        facts = gateway.settings.identity_headers
        self._app_id_headers = tuple([name for name, fact in facts if fact is IdentityFact.APP_ID])
        self._owner_headers = tuple([name for name, fact in facts if fact is IdentityFact.OWNER])
        maker = _Maker(gateway.settings, stand_in, self._app_id_headers, self._owner_headers)
        self._allowed = lru_cache(maxsize=_CACHED_ANSWERS)(maker.allowed)
        self._denied = lru_cache(maxsize=_CACHED_ANSWERS)(maker.denied)
        self._of_app = lru_cache(maxsize=_CACHED_ANSWERS)(maker.of_app)
        self._told = lru_cache(maxsize=len(reason.CATALOGUE))(
            lambda answer, grpc, link: tell(answer, stand_in, grpc, link)
        )

    def respond(
        self, decision: Allow | Deny, network: Network, request_id: str, grpc_caller: bool, revision: bytes
    ) -> bytes:
        """The serialized CheckResponse. ``revision`` comes from ``tell_revision``."""
        if isinstance(decision, Allow):
            headers, misspelled = decision.extra
            carried = tuple([name for name, _ in headers])
            would_deny = "" if decision.would_deny is None else decision.would_deny.reason.label
            app = decision.about.app
            if app is None:
                built = self._allowed(decision.label, decision.about, network, carried, would_deny)
            else:
                carried += self._headers_of_app(app)
                built = self._allowed(decision.label, _without_app(decision.about), network, carried, would_deny)
                built += self._tell_app(app)
            if headers or misspelled:
                built += carry(headers, misspelled)
        else:
            app = decision.about.app
            if app is None:
                built = self._denied(decision.reason, decision.about, network, grpc_caller)
            else:
                built = self._denied(decision.reason, _without_app(decision.about), network, grpc_caller)
                built += self._app_named(app)
            answer = answer_of(decision.reason, decision.fact, self._settings.errors)
            link = help_link(decision.reason, self._settings.errors)
            told = tell(answer, self._stand_in, grpc_caller, link) if decision.fact else None
            built += told or self._told(answer, grpc_caller, link)
        return built.replace(self._stand_in_bytes, request_id.encode()) + revision

    def _headers_of_app(self, app: App) -> tuple[str, ...]:
        return self._app_id_headers + self._owner_headers if app.owner else self._app_id_headers

    def _tell_app(self, app: App) -> bytes:
        """What an allow tells of its app, to be joined to what holds for all apps."""
        app_id = unchanged(app.id).encode()
        owner = unchanged(app.owner).encode() if self._owner_headers else b""
        if len(app_id) not in _STAND_IN_LENGTHS or (owner and len(owner) not in _STAND_IN_LENGTHS):
            return self._of_app(app.id, owner.decode())
        told = self._of_app(_APP_ID * len(app_id), _OWNER * len(owner))
        told = told.replace(_APP_ID_BYTES * len(app_id), app_id)
        return told.replace(_OWNER_BYTES * len(owner), owner) if owner else told


class _Maker:
    """Makes what the responder keeps. Apart from it, since what keeps itself only a full collection can free."""

    def __init__(self, settings: Settings, stand_in: str, app_id_headers: Names, owner_headers: Names) -> None:
        self._settings = settings
        self._stand_in = stand_in
        self._app_id_headers = app_id_headers
        self._owner_headers = owner_headers

    def allowed(self, label: str, about: Subject, network: Network, carried: tuple[str, ...], would_deny: str) -> bytes:
        changes = upstream_changes(about, network, self._stand_in, carried, self._settings, would_deny)
        metadata = self._metadata_of("allow", label, about, network)
        if would_deny:
            metadata.fields["would_deny"].string_value = would_deny
        return check_response(changes, self._stand_in, metadata).SerializeToString()

    def denied(self, cause: Reason, about: Subject, network: Network, grpc_caller: bool) -> bytes:
        denial = Denial(cause, answer_of(cause, "", self._settings.errors), grpc_caller)
        metadata = self._metadata_of("deny", cause.label, about, network)
        return check_response(denial, self._stand_in, metadata).SerializeToString()

    def _metadata_of(self, outcome: str, label: str, about: Subject, network: Network) -> Struct:
        """What Envoy's access log can print. Everything is text: numbers in a Struct are doubles."""
        facts = {
            "decision_id": self._stand_in,
            "decision": outcome,
            "reason": label,
            "network": network.value,
            "api": about.api.id if about.api else "",
            "stage": about.stage or "",
            "method": about.method,
            "app_id": "",
        }
        return _struct(facts)

    def of_app(self, app_id: str, owner: str) -> bytes:
        headers = [header_option(name, app_id) for name in self._app_id_headers]
        if owner:
            headers += [header_option(name, owner) for name in self._owner_headers]
        changes = pb.OkHttpResponse(headers=headers)
        return pb.CheckResponse(ok_response=changes, dynamic_metadata=_struct({"app_id": app_id})).SerializeToString()


def _without_app(about: Subject) -> Subject:
    return Subject(about.api, about.stage, about.method)


def _name_app(app: App) -> bytes:
    """What a denial tells of its app. No headers: those of an allow would turn it into one."""
    named = pb.CheckResponse()
    named.dynamic_metadata.fields["app_id"].string_value = app.id
    return named.SerializeToString()


def tell_revision(revision: str) -> bytes:
    """The revision that decides, as a message to be joined to an answer. Made once for each snapshot."""
    return pb.CheckResponse(dynamic_metadata=_struct({"revision": revision})).SerializeToString()


def _struct(facts: dict[str, str]) -> Struct:
    return Struct(fields={name: Value(string_value=text) for name, text in facts.items()})


class Denial(NamedTuple):
    """A denial as the caller gets it."""

    cause: Reason
    answer: Answer
    grpc_caller: bool


def check_response(outcome: Upstream | Denial, request_id: str, metadata: Struct) -> pb.CheckResponse:
    """The only place that says yes or no: an allow needs an Upstream; everything else denies."""
    if isinstance(outcome, Upstream):
        return pb.CheckResponse(
            status=pb.Status(code=_OK),
            ok_response=pb.OkHttpResponse(
                headers=[header_option(name, unchanged(value)) for name, value in outcome.set_headers],
                headers_to_remove=outcome.remove_headers,
                response_headers_to_add=[header_option(_REQUEST_ID, request_id)],
            ),
            dynamic_metadata=metadata,
        )
    cause, answer, grpc_caller = outcome
    headers = [
        header_option(_REQUEST_ID, request_id),
        header_option("Content-Type", "application/json; charset=utf-8"),
    ]
    if answer.code:
        headers.append(header_option(_ERROR_CODE, header_text(answer.code)))
    if grpc_caller:
        headers.append(header_option("grpc-status", str(cause.grpc_status.value)))
    return pb.CheckResponse(
        status=pb.Status(code=_STATUS_CODES[cause.grpc_status is GrpcStatus.UNAUTHENTICATED]),
        denied_response=pb.DeniedHttpResponse(
            status=pb.HttpStatus(code=answer.status if 400 <= answer.status <= 599 else 403),
            headers=headers,
        ),
        dynamic_metadata=metadata,
    )
