"""Admin tokens."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from extauthz.admin.desk import AtCreatingDesk, AtDesk
from extauthz.admin.forms import CreateToken, PathUuid
from extauthz.admin.page import Page, Paging
from extauthz.registry import tokens as service
from extauthz.registry.rules import Role

router = APIRouter(prefix="/tokens", tags=["tokens"])


@router.post("", status_code=201, response_model=service.NewToken)
def create_token(form: CreateToken, desk: AtCreatingDesk) -> Response:
    """Create an admin token. The answer holds it in clear, this one time."""
    return desk.create(
        lambda tx: service.create_token(tx, desk.vault, desk.actor, form.name, Role(form.role), form.owner, form.until)
    )


@router.get("")
def list_tokens(paging: Annotated[Paging, Query()], desk: AtDesk) -> Page[service.TokenRecord]:
    """List admin tokens by id."""
    (after,) = paging.after(("",))
    found = desk.look(lambda view: service.list_tokens(view, desk.actor, after=after, limit=paging.limit + 1))
    return paging.page(found, lambda token: (token.id,))


@router.delete("/{token}", status_code=204)
def delete_token(token: PathUuid, desk: AtDesk) -> None:
    """Let a token be worth nothing from now on."""
    desk.change(lambda tx: service.delete_token(tx, desk.actor, token))
