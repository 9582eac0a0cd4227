"""Access requests: asked by consumers, decided by providers."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from extauthz.admin.desk import AtCreatingDesk, AtDesk
from extauthz.admin.forms import Approval, AskAccess, PathUuid, Refused
from extauthz.admin.page import Page, Paging
from extauthz.registry import requests as service

router = APIRouter(prefix="/access-requests", tags=["access requests"])


class Requests(Paging):
    """Which requests."""

    state: Literal["pending", "approved", "refused", "withdrawn"] | None = None


@router.post("", status_code=201, response_model=service.AccessRequest)
def ask(form: AskAccess, desk: AtCreatingDesk) -> Response:
    """Ask for access of an own app to an API."""
    return desk.create(
        lambda tx: service.ask(tx, desk.actor, form.app, form.api, form.stage, form.why),
        lambda made: f"/v1/access-requests/{made.id}",
    )


@router.get("")
def list_requests(paging: Annotated[Requests, Query()], desk: AtDesk) -> Page[service.AccessRequest]:
    """List the requests about the caller's apps and APIs, by id."""
    (after,) = paging.after(("",))
    found = desk.look(
        lambda view: service.list_requests(view, desk.actor, state=paging.state, after=after, limit=paging.limit + 1)
    )
    return paging.page(found, lambda one: (one.id,))


@router.get("/{request}")
def get_request(request: PathUuid, desk: AtDesk) -> service.AccessRequest:
    """Look up a request."""
    return desk.look(lambda view: service.get_request(view, desk.actor, request))


@router.post("/{request}/approve")
def approve(request: PathUuid, desk: AtDesk, form: Approval = Approval()) -> service.AccessRequest:
    """Make the grant that was asked for, perhaps with an end."""
    return desk.change(lambda tx: service.approve(tx, desk.actor, request, until_ms=form.until, answer=form.answer))


@router.post("/{request}/refuse")
def refuse(request: PathUuid, form: Refused, desk: AtDesk) -> service.AccessRequest:
    """Refuse, with a reason that the consumer sees."""
    return desk.change(lambda tx: service.refuse(tx, desk.actor, request, form.answer))


@router.post("/{request}/withdraw")
def withdraw(request: PathUuid, desk: AtDesk) -> service.AccessRequest:
    """Take back what was asked for."""
    return desk.change(lambda tx: service.withdraw(tx, desk.actor, request))
