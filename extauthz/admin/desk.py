"""One request at work in the registry: who asks, and each change in one transaction that also records it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, Header
from pydantic import TypeAdapter
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from extauthz.admin.caller import Caller
from extauthz.admin.idempotency import Answer, Repeatable
from extauthz.admin.problem import invalid
from extauthz.registry.database.sealing import Vault
from extauthz.registry.database.store import Store, Transaction
from extauthz.registry.rules import Actor

Result = TypeVar("Result")
_KEY: Final = re.compile(r"[!-~]{1,100}")
_TAG: Final = re.compile(r'"([1-9][0-9]{0,8})"')
_NO_VERSION: Final = -1


@dataclass(frozen=True, slots=True)
class OpenRegistry:
    """A registry and what opens its secrets."""

    store: Store
    vault: Vault


class Desk:
    """What a handler works with."""

    def __init__(self, request: Request, idempotency_key: str | None = None) -> None:
        self._registry: OpenRegistry = request.app.state.registry
        self._caller: Caller = request.state.caller
        self._request_id: str = request.state.request_id
        self._idempotency_key = idempotency_key
        self._request = b"\n".join((request.method.encode(), request.url.path.encode(), request.state.body))

    @property
    def actor(self) -> Actor:
        """Who asks."""
        return self._caller.actor

    @property
    def vault(self) -> Vault:
        """What opens and seals secrets."""
        return self._registry.vault

    @property
    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return self._registry.store.now_ms()

    def look(self, look: Callable[[Connection], Result]) -> Result:
        """Look something up, in a view of one moment."""
        with self._registry.store.reading() as view:
            return look(view)

    def change(self, act: Callable[[Transaction], Result]) -> Result:
        """Change something: all of it, or on any error nothing."""
        with self._registry.store.changing(self._request_id) as tx:
            return act(tx)

    def create(
        self, act: Callable[[Transaction], Any], location: Callable[[Any], str] | None = None, status: int = 201
    ) -> Response:
        """Create something and answer with it; a repetition with the same idempotency key gets the same answer."""
        with self._registry.store.changing(self._request_id) as tx:
            if self._idempotency_key is None:
                return _response(_made(act(tx), location, status), replayed=False)
            repeatable = Repeatable(tx, self.vault, self._caller.key, self._idempotency_key, self._request)
            earlier = repeatable.earlier()
            if earlier is not None:
                return _response(earlier, replayed=True)
            made = _made(act(tx), location, status)
            repeatable.keep(made)
        return _response(made, replayed=False)


def _made(result: Any, location: Callable[[Any], str] | None, status: int) -> Answer:
    return Answer(status, "" if location is None else location(result), TypeAdapter(type(result)).dump_json(result))


def _response(answer: Answer, replayed: bool) -> Response:
    headers = {"Location": answer.location} if answer.location else {}
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    return Response(answer.body, answer.status, headers, "application/json")


async def _desk(request: Request) -> Desk:
    return Desk(request)


async def _creating_desk(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            description="Repeat a creation with the same key, within a day, and get the same answer.",
            pattern=f"^{_KEY.pattern}$",
            examples=["5f0c2b1e-6a3d-4f4e-9d0a-2f1f4c9a7f10"],
        ),
    ] = None,
) -> Desk:
    return Desk(request, idempotency_key)


def _if_match(
    if_match: Annotated[
        str | None, Header(description="Do it only if the app still has this ETag.", examples=['"3"'])
    ] = None,
) -> int | None:
    """The version that an app must still have; None: any. A tag that no app of ours can have matches none."""
    if if_match is None or if_match.strip() == "*":
        return None
    if "," in if_match:
        raise invalid("If-Match", "must be one entity tag, as the ETag of the app was")
    found = _TAG.fullmatch(if_match.strip())
    return int(found[1]) if found else _NO_VERSION


AtDesk = Annotated[Desk, Depends(_desk)]
"""For a handler that looks up or changes."""
AtCreatingDesk = Annotated[Desk, Depends(_creating_desk)]
"""For a handler that creates, and may be asked twice."""
IfMatch = Annotated[int | None, Depends(_if_match)]
