"""Every error of the admin API as a problem (RFC 9457), with the request id that log and audit trail have."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from extauthz.registry.database.sealing import SealBroken
from extauthz.registry.database.store import is_full
from extauthz.registry.errors import Changed, Conflict, Forbidden, Invalid, RegistryError, Unknown

MEDIA_TYPE: Final = "application/problem+json"
_TYPE: Final = "urn:extauthz:problem:"
_CURES: Final = {
    "missing": "is required",
    "extra_forbidden": "is not known here",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "int_parsing": "must be a whole number",
}


class Mistake(BaseModel):
    """One value that cannot be used."""

    field: str
    detail: str


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    field: str | None = Field(None, description="the value that cannot be used: the first one of `errors`")
    errors: list[Mistake] | None = Field(None, description="every value that cannot be used")
    request_id: str


@dataclass(eq=False)
class Refusal(Exception):
    """An answer that is no success. Raised by whoever finds out, told by ``answer``."""

    status: HTTPStatus
    kind: str
    """The last part of the problem's type."""
    detail: str
    mistakes: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


TOLD: Final = (
    Refusal,
    RegistryError,
    RequestValidationError,
    HTTPException,
    SealBroken,
    DBAPIError,
    PoolTimeoutError,
)
"""What ``refusal_of`` knows."""


def invalid(name: str, detail: str) -> Refusal:
    """A value of the request that cannot be used."""
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", detail, [(name, detail)])


def refusal_of(error: Exception) -> Refusal | None:
    """How an error is told; None for one that nobody expected. No text of a database or library gets out."""
    match error:
        case Refusal():
            return error
        case Invalid():
            return invalid(error.field, error.message)
        case RequestValidationError():
            return _of_validation(error)
        case Unknown():
            return Refusal(HTTPStatus.NOT_FOUND, "not-found", str(error))
        case Forbidden():
            return Refusal(HTTPStatus.FORBIDDEN, "forbidden", str(error))
        case Conflict():
            return Refusal(HTTPStatus.CONFLICT, "conflict", str(error))
        case Changed():
            return Refusal(
                HTTPStatus.PRECONDITION_FAILED, "changed", str(error), headers={"ETag": f'"{error.version}"'}
            )
        case SealBroken():
            return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "sealed", str(error))
        case DBAPIError() if is_full(error):
            detail = "the registry's database has no room left; nothing was changed"
            return Refusal(HTTPStatus.INSUFFICIENT_STORAGE, "full", detail)
        case DBAPIError() | PoolTimeoutError():
            detail = "the registry's database cannot be reached, or takes too long; try again"
            return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", detail, headers={"Retry-After": "1"})
        case HTTPException():
            return _of_routing(error)
    return None


UNEXPECTED: Final = Refusal(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "internal",
    "something went wrong that should not; the log has it by the request id",
)


def answer(refusal: Refusal, request_id: str) -> Response:
    """The response that tells of a refusal."""
    body: dict[str, Any] = {
        "type": _TYPE + refusal.kind,
        "title": refusal.status.phrase,
        "status": refusal.status.value,
        "detail": refusal.detail,
    }
    if refusal.mistakes:
        body["field"] = refusal.mistakes[0][0]
        body["errors"] = [{"field": name, "detail": detail} for name, detail in refusal.mistakes]
    body["request_id"] = request_id
    return Response(json.dumps(body), refusal.status, dict(refusal.headers), MEDIA_TYPE)


def _of_validation(error: RequestValidationError) -> Refusal:
    """Where values are wrong and why, never the values: one of them may be a secret."""
    mistakes = [
        (
            ".".join(map(str, one["loc"][1:])) or str(one["loc"][0]),
            _CURES.get(one["type"]) or one["msg"].removeprefix("Value error, "),
        )
        for one in error.errors()
    ]
    detail = "; ".join(f"{name}: {message}" for name, message in mistakes)
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", detail, mistakes)


def _of_routing(error: HTTPException) -> Refusal:
    if error.status_code == HTTPStatus.NOT_FOUND:
        return Refusal(HTTPStatus.NOT_FOUND, "no-such-route", "there is no such route; /v1/openapi.json lists them")
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "")
        detail = f"this route does not take the method; it takes {allowed}"
        return Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "method-not-allowed", detail, headers={"Allow": allowed})
    return Refusal(HTTPStatus(error.status_code), "refused", str(error.detail))
