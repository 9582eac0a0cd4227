"""Owners: the accounts that apps and APIs belong to."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from extauthz.admin.desk import AtCreatingDesk, AtDesk
from extauthz.admin.forms import CreateOwner, PathId
from extauthz.admin.page import Page, Paging
from extauthz.registry import apps as service

router = APIRouter(prefix="/owners", tags=["owners"])


@router.post("", status_code=201, response_model=service.Owner)
def create_owner(form: CreateOwner, desk: AtCreatingDesk) -> Response:
    """Create an account."""
    return desk.create(
        lambda tx: service.create_owner(tx, desk.actor, form.id, form.description), lambda made: f"/v1/owners/{made.id}"
    )


@router.get("")
def list_owners(paging: Annotated[Paging, Query()], desk: AtDesk) -> Page[service.Owner]:
    """List the accounts that the caller may see, by id."""
    (after,) = paging.after(("",))
    found = desk.look(lambda view: service.list_owners(view, desk.actor, after=after, limit=paging.limit + 1))
    return paging.page(found, lambda owner: (owner.id,))


@router.get("/{owner}")
def get_owner(owner: PathId, desk: AtDesk) -> service.Owner:
    """Look up an account."""
    return desk.look(lambda view: service.get_owner(view, desk.actor, owner))


@router.delete("/{owner}", status_code=204)
def delete_owner(owner: PathId, desk: AtDesk) -> None:
    """Delete an account that has no apps, APIs and tokens any more."""
    desk.change(lambda tx: service.delete_owner(tx, desk.actor, owner))
