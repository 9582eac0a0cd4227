"""The admin API as one ASGI application: the edge around the routes."""

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import cache, partial
from typing import Any, Final

from anyio import to_thread
from fastapi import APIRouter, FastAPI, Security
from fastapi.security import HTTPBearer
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

import extauthz
from extauthz.admin.caller import Callers, Judge
from extauthz.admin.desk import OpenRegistry
from extauthz.admin.edge import Edge
from extauthz.admin.idempotency import forget_old
from extauthz.admin.openapi import complete
from extauthz.admin.problem import TOLD, UNEXPECTED, answer, refusal_of
from extauthz.admin.routes import apis, apps, audit, codes, grants, keys, owners, questions, requests, tokens
from extauthz.registry.database.tables import REVISION
from extauthz.registry.errors import Conflict

THREADS: Final = 12
"""Requests at work in the database at once: no more than its pool has connections."""
_FORGET_EVERY_S: Final = 600.0
_KINDS: Final = (owners, apps, keys, codes, apis, grants, requests, tokens, audit, questions)
_METHODS: Final = ("get", "post", "put", "patch", "delete")
_log: Final = logging.getLogger("extauthz.admin")


def build_app(
    registry: OpenRegistry,
    provider: Judge | None = None,
    background: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
) -> ASGIApp:
    """The application. ``provider`` judges the bearer tokens of an identity provider, if there is one.

    ``background``: what runs, until cancelled, while the application does.
    """
    app = FastAPI(
        title="extauthz admin API",
        version=extauthz.__version__,
        summary="Apps, keys and grants, changed while the service runs.",
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    app.state.registry = registry
    app.state.background = [partial(_forget, registry), *background]
    bearer = HTTPBearer(auto_error=False, description="An admin token, or one of the identity provider.")
    v1 = APIRouter(prefix="/v1", dependencies=[Security(bearer)])  # told here, enforced at the edge
    for kind in _KINDS:
        v1.include_router(kind.router)
    app.include_router(v1)
    for path, handler in (("/healthz", _healthz), ("/readyz", _readyz)):
        app.add_api_route(path, handler, include_in_schema=False)
    describe = app.openapi
    app.openapi = cache(lambda: complete(describe()))  # type: ignore[method-assign]
    for error in TOLD:
        app.add_exception_handler(error, _tell)
    app.add_exception_handler(Exception, _tell)  # raised again once it is told, so that the edge logs it
    return Edge(app, Callers(registry.store, registry.vault, provider))


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    to_thread.current_default_thread_limiter().total_tokens = THREADS
    tasks = [asyncio.create_task(work()) for work in app.state.background]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _forget(registry: OpenRegistry) -> None:
    while True:
        try:
            await to_thread.run_sync(forget_old, registry.store)
        except (SQLAlchemyError, Conflict) as error:
            _log.warning("old idempotency keys are not removed: %s", type(error).__name__)
        await asyncio.sleep(_FORGET_EVERY_S)


async def _tell(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.status_code == 405:
        error = HTTPException(405, headers={"Allow": _allowed(request)})
    return answer(refusal_of(error) or UNEXPECTED, request.state.request_id)


def _allowed(request: Request) -> str:
    """All methods of a path; the framework names those of the first route only."""
    methods = [
        method.upper()
        for path, operations in request.app.openapi()["paths"].items()
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), request.url.path)
        for method in operations
        if method in _METHODS
    ]
    return ", ".join(sorted(set(methods))) or "GET"


async def _healthz() -> Response:
    return JSONResponse({"status": "alive"})


def _readyz(request: Request) -> Response:
    registry: OpenRegistry = request.app.state.registry
    try:
        with registry.store.reading() as view:
            view.execute(select(REVISION.c.number)).one()
    except SQLAlchemyError as error:
        return JSONResponse({"status": "not ready", "database": type(error).__name__}, 503)
    return JSONResponse({"status": "ready"})
