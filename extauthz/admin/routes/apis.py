"""The APIs that can be granted."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from extauthz.admin.desk import AtCreatingDesk, AtDesk
from extauthz.admin.forms import ApiChange, Id, PathId, RegisterApi
from extauthz.admin.page import Page, Paging
from extauthz.admin.routes.apps import Removed, RemovedGrant
from extauthz.registry import apis as service

router = APIRouter(prefix="/apis", tags=["apis"])


class Apis(Paging):
    """Which APIs."""

    owner: Id | None = None


@router.post("", status_code=201, response_model=service.ApiRecord)
def register_api(form: RegisterApi, desk: AtCreatingDesk) -> Response:
    """Make an API of the configuration known, so that it can be granted."""
    return desk.create(
        lambda tx: service.register_api(
            tx, desk.actor, form.id, form.owner,
            group=form.group, stages=tuple(form.stages), self_grant=form.self_grant,
        ),
        lambda made: f"/v1/apis/{made.id}",
    )  # fmt: skip


@router.get("")
def list_apis(paging: Annotated[Apis, Query()], desk: AtDesk) -> Page[service.ApiRecord]:
    """List APIs by id."""
    (after,) = paging.after(("",))
    found = desk.look(
        lambda view: service.list_apis(view, desk.actor, owner_id=paging.owner, after=after, limit=paging.limit + 1)
    )
    return paging.page(found, lambda api: (api.id,))


@router.get("/{api}")
def get_api(api: PathId, desk: AtDesk) -> service.ApiRecord:
    """Look up an API."""
    return desk.look(lambda view: service.get_api(view, desk.actor, api))


@router.patch("/{api}")
def change_api(api: PathId, form: ApiChange, desk: AtDesk) -> service.ApiRecord:
    """Change the stages or group of an API, or whether consumers may grant themselves."""
    stages = None if form.stages is None else tuple(form.stages)
    return desk.change(
        lambda tx: service.change_api(tx, desk.actor, api, stages=stages, self_grant=form.self_grant, group=form.group)
    )


@router.delete("/{api}")
def delete_api(api: PathId, desk: AtDesk) -> Removed:
    """Delete an API from the registry with every grant of it, and say which."""
    grants = desk.change(lambda tx: service.delete_api(tx, desk.actor, api))
    return Removed([RemovedGrant(app, api, stage) for app, stage in grants])
