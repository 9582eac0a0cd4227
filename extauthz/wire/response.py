"""Decision to CheckResponse. One function builds every CheckResponse, and in it a denial cannot have status 0.

Envoy reads an empty CheckResponse, and a denial that forgets its status, as an allow. It also writes control
characters in denied headers raw to the client. Both are closed here, for every answer.
"""

import json
import re
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from google.protobuf.struct_pb2 import Struct, Value

from extauthz.domain import reason
from extauthz.domain.decision import Allow, Deny, Subject
from extauthz.domain.reason import Answer, GrpcStatus
from extauthz.domain.request import Network
from extauthz.domain.settings import ErrorSettings, Reveal
from extauthz.domain.snapshot import Snapshot
from extauthz.wire.generated import ext_authz_pb2 as pb

MAX_MESSAGE_BYTES: Final = 4096
"""Longest X-Ca-Error-Message: many clients cap all response headers together at 8 or 16 KiB."""
_CUT: Final = "...(cut)"
_OVERWRITE_IF_EXISTS_OR_ADD: Final = 2
_ILLEGAL: Final = re.compile(r"[\x00-\x1f\x7f]")
_OK: Final = 0
_MINIMAL_SIGNATURE_MESSAGE: Final = "Invalid Signature"
_CACHED_ANSWERS: Final = 8192


class Responder:
    """Builds the answers of one snapshot.

    Answers repeat: for one app and API they differ only in the request id. So each is built once with a stand-in of
    the same length, and the id is put in its place. The stand-in is random, so no client can send it.
    """

    def __init__(self, snapshot: Snapshot, stand_in: str) -> None:
        self._errors = snapshot.settings.errors
        self._revision = snapshot.revision
        self._stand_in = stand_in.encode()
        self._cached = lru_cache(maxsize=_CACHED_ANSWERS)(self._build)

    def respond(self, decision: Allow | Deny, network: Network, request_id: str, grpc_caller: bool) -> bytes:
        """The serialized CheckResponse. ``decision`` was made with the stand-in as its request id."""
        if isinstance(decision, Allow):
            about, extra = decision.about, decision.upstream
            built = self._cached(Allow(decision.label, about, extra), network, False)
        elif not decision.fact:
            built = self._cached(decision._replace(detail=""), network, grpc_caller)
        else:  # the fact is what this caller sent: no use to remember it
            built = self._build(decision, network, grpc_caller)
        return built.replace(self._stand_in, request_id.encode())

    def _build(self, decision: Allow | Deny, network: Network, grpc_caller: bool) -> bytes:
        response = check_response(
            decision, self._errors, self._stand_in.decode(), grpc_caller, self._metadata(decision, network)
        )
        return response.SerializeToString()

    def _metadata(self, decision: Allow | Deny, network: Network) -> Struct:
        label = decision.label if isinstance(decision, Allow) else decision.reason.label
        about: Subject = decision.about
        facts = {
            "decision_id": self._stand_in.decode(),
            "decision": "allow" if isinstance(decision, Allow) else "deny",
            "reason": label,
            "network": network.value,
            "api": about.api.id if about.api else "",
            "stage": about.stage or "",
            "method": about.method,
            "app_id": about.app.id if about.app else "",
            "revision": self._revision,
        }
        return Struct(fields={name: Value(string_value=text) for name, text in facts.items()})


def check_response(
    decision: Allow | Deny, errors: ErrorSettings, request_id: str, grpc_caller: bool, metadata: Struct | None = None
) -> pb.CheckResponse:
    """The only place where a CheckResponse comes to be. An allow needs an Allow; everything else denies."""
    if isinstance(decision, Allow):
        return pb.CheckResponse(
            status=pb.Status(code=_OK),
            ok_response=pb.OkHttpResponse(
                headers=[_header(name, header_text(value)) for name, value in decision.upstream.set_headers],
                headers_to_remove=list(decision.upstream.remove_headers),
                response_headers_to_add=[_header("X-Ca-Request-Id", request_id)],
            ),
            dynamic_metadata=metadata,
        )
    deny = decision if isinstance(decision, Deny) else Deny(reason.INTERNAL_ERROR, Subject())
    answer = _answer(deny, errors)
    message = header_text(answer.message)
    headers = [
        ("X-Ca-Request-Id", request_id),
        ("X-Ca-Error-Message", message),
        ("Content-Type", "application/json; charset=utf-8"),
    ]
    if answer.code:
        headers.append(("X-Ca-Error-Code", header_text(answer.code)))
    if grpc_caller:
        headers.append(("grpc-status", str(deny.reason.grpc_status.value)))
        headers.append(("grpc-message", quote(message, safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~")))
    unauthenticated = deny.reason.grpc_status is GrpcStatus.UNAUTHENTICATED
    return pb.CheckResponse(
        status=pb.Status(code=int(GrpcStatus.UNAUTHENTICATED if unauthenticated else GrpcStatus.PERMISSION_DENIED)),
        denied_response=pb.DeniedHttpResponse(
            status=pb.HttpStatus(code=answer.status if 400 <= answer.status <= 599 else 403),
            headers=[_header(name, value) for name, value in headers],
            body=json.dumps({"code": answer.code, "message": message, "request_id": request_id}, ensure_ascii=False),
        ),
        dynamic_metadata=metadata,
    )


def _answer(deny: Deny, errors: ErrorSettings) -> Answer:
    """What the caller is told. Under ``reveal: minimal`` unknown key and wrong signature are one and the same."""
    cause, fact = deny.reason, deny.fact
    if errors.reveal is Reveal.MINIMAL and cause in (reason.APP_KEY_UNKNOWN, reason.SIGNATURE_MISMATCH):
        return errors.answer(reason.SIGNATURE_MISMATCH)._replace(message=_MINIMAL_SIGNATURE_MESSAGE)
    answer = errors.answer(cause)
    return answer._replace(message=answer.message.replace("{fact}", fact))


def header_text(text: str) -> str:
    """Text that is legal and bounded as a header value: no control characters, at most MAX_MESSAGE_BYTES in UTF-8."""
    if not text.isascii() or not text.isprintable():
        text = _ILLEGAL.sub("?", text.encode("utf-8", "replace").decode())
    if len(text) > MAX_MESSAGE_BYTES // 4 and len(text.encode()) > MAX_MESSAGE_BYTES:
        kept = text.encode()[: MAX_MESSAGE_BYTES - len(_CUT)]
        text = kept.decode("utf-8", "ignore") + _CUT
    return text


def _header(name: str, value: str) -> pb.HeaderValueOption:
    # Envoy ignores append_action where it matters most and append elsewhere, so both say "overwrite".
    return pb.HeaderValueOption(
        header=pb.HeaderValue(key=name, value=value),
        append=pb.BoolValue(value=False),
        append_action=_OVERWRITE_IF_EXISTS_OR_ADD,
    )
