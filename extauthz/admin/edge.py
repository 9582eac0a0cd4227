"""The edge of the admin API: nothing gets past it without a request id, a caller, and a body of bounded size and time.

Who asks is found out before a byte of the body is read, so that strangers cost one look-up and no memory.
"""

import asyncio
import json
import logging
import re
import time
import uuid
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from extauthz.admin.caller import Callers
from extauthz.admin.problem import UNEXPECTED, Refusal, answer, invalid, refusal_of

MAX_BODY_BYTES: Final = 262_144
BODY_WITHIN_S: Final = 10.0
IN_FLIGHT: Final = 128
"""Requests at once; past it, 503."""
PUBLIC: Final = frozenset({"/healthz", "/readyz", "/v1/openapi.json"})
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,36}")
_JSON: Final = re.compile(r"application/(json|[a-z0-9.-]+\+json)\s*(;.*)?", re.IGNORECASE)
_SECURITY: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_log: Final = logging.getLogger("extauthz.admin")


class Edge:
    """ASGI middleware around the whole API."""

    def __init__(self, app: ASGIApp, callers: Callers) -> None:
        self._app = app
        self._callers = callers
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, whatever becomes of it, has an answer with an id, and a line in the log."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = _request_id(headers)
        outgoing = _Outgoing(send, request_id, scope["scheme"] == "https")
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        begun_s = time.monotonic()
        self._in_flight += 1
        try:
            if self._in_flight > IN_FLIGHT:
                raise Refusal(
                    HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "too many requests at once; try again",
                    headers={"Retry-After": "1"},
                )  # fmt: skip
            if scope["path"] not in PUBLIC:
                state["caller"] = await run_in_threadpool(self._callers.find, headers.getlist("authorization"))
            _refuse_repeated(scope["query_string"])
            state["body"] = body = await _read_body(headers, receive)
            await self._app(scope, _replayed(body, receive), outgoing)
        except Exception as error:
            refusal = refusal_of(error)
            if refusal is None:
                _log.exception("request %s failed", request_id)
            if not outgoing.begun:
                await answer(refusal or UNEXPECTED, request_id)(scope, receive, outgoing)
        finally:
            self._in_flight -= 1
            caller = state.get("caller")
            level = logging.DEBUG if scope["path"] in PUBLIC else logging.INFO  # probes come every few seconds
            _log.log(
                level,
                "%s %r %s %.0fms %s %s",
                scope["method"], scope["path"][:200], outgoing.status, (time.monotonic() - begun_s) * 1000,
                caller.actor.name if caller else "-", request_id,
            )  # fmt: skip


class _Outgoing:
    """What is sent, with the headers of every answer."""

    def __init__(self, send: Send, request_id: str, is_tls: bool) -> None:
        self.status: int | str = "-"
        self._send = send
        self._headers = {**_SECURITY, "X-Request-Id": request_id}
        if is_tls:
            self._headers["Strict-Transport-Security"] = "max-age=31536000"

    @property
    def begun(self) -> bool:
        return self.status != "-"

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message).update(self._headers)
        await self._send(message)


def _request_id(headers: Headers) -> str:
    """The one that a proxy or caller gave, if it fits into the audit trail, else a new one."""
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())


def _refuse_repeated(query: bytes) -> None:
    seen: set[str] = set()
    for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name in seen:
            raise invalid(name[:64], "is given more than once; keep one of them")
        seen.add(name)


async def _read_body(headers: Headers, receive: Receive) -> bytes:
    """The whole body, found to be JSON that has one meaning. Raises Refusal."""
    declared = headers.get("content-length", "0")
    if not declared.isascii() or not declared.isdigit() or int(declared) > MAX_BODY_BYTES:
        raise _too_large()
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            body = await _gather(receive)
    except TimeoutError:
        detail = f"the body did not arrive within {BODY_WITHIN_S:.0f} seconds"
        raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "too-slow", detail, headers={"Connection": "close"}) from None
    if body:
        if not _JSON.fullmatch(headers.get("content-type", "")):
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "not-json", "send `Content-Type: application/json`")
        try:
            json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise invalid("body", str(error) if isinstance(error, _Repeated) else "is not JSON in UTF-8") from None
    return body


async def _gather(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(HTTPStatus.BAD_REQUEST, "gone", "the caller went away before the body ended")
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise _too_large()
        if not message.get("more_body", False):
            return bytes(body)


def _too_large() -> Refusal:
    detail = f"the body may have {MAX_BODY_BYTES} bytes"
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", detail, headers={"Connection": "close"})


class _Repeated(ValueError):
    pass


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are there once: another reader might take the other value of a repeated one."""
    pairs = list(pairs)
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Repeated("has a duplicate key; keep one of them")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(name)  # NaN and Infinity are not JSON


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body for those inside, then whatever the server says."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return waiting.pop() if waiting else await receive()

    return receive_again
