"""Grants: which app may call which API in which stage, until when."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from extauthz.admin.desk import AtCreatingDesk, AtDesk
from extauthz.admin.forms import CreateGrants, Id, Moment, PathId, Revocation, Stage
from extauthz.admin.page import Page, Paging
from extauthz.registry import grants as service

router = APIRouter(prefix="/grants", tags=["grants"])


class Grants(Paging):
    """Which grants."""

    app: Id | None = None
    api: Id | None = None
    ends_before: Moment | None = None


@dataclass(frozen=True, slots=True)
class Granted:
    """The grants as they are now."""

    items: list[service.GrantRecord]


@dataclass(frozen=True, slots=True)
class Revoked:
    """How many grants were taken back."""

    revoked: int


@router.post("", status_code=201, response_model=Granted)
def grant(form: CreateGrants, desk: AtCreatingDesk) -> Response:
    """Grant one API to up to 100 apps, also of other accounts, or one app up to 100 APIs: all or none.

    A grant that the same side made already gets the new end and description.
    """
    return desk.create(
        lambda tx: Granted(
            service.grant(
                tx, desk.actor, form.apps, form.apis, form.stage, until_ms=form.until, description=form.description
            )
        )
    )


@router.get("")
def list_grants(paging: Annotated[Grants, Query()], desk: AtDesk) -> Page[service.GrantRecord]:
    """List the grants of the caller's apps and APIs, by app, API and stage."""
    after = paging.after(("", "", ""))
    found = desk.look(
        lambda view: service.list_grants(
            view, desk.actor,
            app_id=paging.app, api_id=paging.api, ends_before_ms=paging.ends_before,
            after=(after[0], after[1], after[2]), limit=paging.limit + 1,
        )
    )  # fmt: skip
    return paging.page(found, lambda one: (one.app, one.api, one.stage))


@router.post("/revoke")
def revoke(form: Revocation, desk: AtDesk) -> Revoked:
    """Take grants back: all of them or none. Each side revokes only what it granted."""
    return Revoked(desk.change(lambda tx: service.revoke(tx, desk.actor, form.apps, form.apis, form.stage)))


@router.delete("/{app}/{api}/{stage}", status_code=204)
def revoke_one(app: PathId, api: PathId, stage: Stage, desk: AtDesk) -> None:
    """Take one grant back."""
    desk.change(lambda tx: service.revoke(tx, desk.actor, [app], [api], stage))
