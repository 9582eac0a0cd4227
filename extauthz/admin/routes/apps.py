"""Apps: the identities that call APIs."""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from extauthz.admin.desk import AtCreatingDesk, AtDesk, IfMatch
from extauthz.admin.forms import AppChange, CreateApp, Id, PathId
from extauthz.admin.page import Page, Paging
from extauthz.registry import apps as service

router = APIRouter(prefix="/apps", tags=["apps"])
_TAGGED: Final[dict[int | str, dict[str, Any]]] = {
    200: {"headers": {"ETag": {"schema": {"type": "string"}, "description": "for `If-Match`"}}}
}


class Apps(Paging):
    """Which apps."""

    owner: Id | None = None


@dataclass(frozen=True, slots=True)
class RemovedGrant:
    """A grant that went with its app or API."""

    app: str
    api: str
    stage: str


@dataclass(frozen=True, slots=True)
class Removed:
    """What a deletion took along."""

    grants: list[RemovedGrant]


@router.post("", status_code=201, response_model=service.AppRecord)
def create_app(form: CreateApp, desk: AtCreatingDesk) -> Response:
    """Create an app, without credentials yet."""
    return desk.create(
        lambda tx: service.create_app(tx, desk.actor, form.id, form.owner, form.name, form.description),
        lambda made: f"/v1/apps/{made.id}",
    )


@router.get("")
def list_apps(paging: Annotated[Apps, Query()], desk: AtDesk) -> Page[service.AppRecord]:
    """List the apps that the caller may see, by id."""
    (after,) = paging.after(("",))
    found = desk.look(
        lambda view: service.list_apps(view, desk.actor, owner_id=paging.owner, after=after, limit=paging.limit + 1)
    )
    return paging.page(found, lambda app: (app.id,))


@router.get("/{app}", responses=_TAGGED)
def get_app(app: PathId, desk: AtDesk, response: Response) -> service.AppRecord:
    """Look up an app."""
    found = desk.look(lambda view: service.get_app(view, desk.actor, app))
    response.headers["ETag"] = f'"{found.version}"'
    return found


@router.patch("/{app}", responses=_TAGGED)
def change_app(app: PathId, form: AppChange, version: IfMatch, desk: AtDesk, response: Response) -> service.AppRecord:
    """Rename, describe, disable or enable an app; with `If-Match` only if nobody changed it meanwhile."""
    changed = desk.change(
        lambda tx: service.change_app(
            tx, desk.actor, app,
            name=form.name, description=form.description, disabled=form.disabled, version=version,
        )
    )  # fmt: skip
    response.headers["ETag"] = f'"{changed.version}"'
    return changed


@router.delete("/{app}")
def delete_app(app: PathId, version: IfMatch, desk: AtDesk) -> Removed:
    """Delete an app with its credentials and grants, and say which grants."""
    grants = desk.change(lambda tx: service.delete_app(tx, desk.actor, app, version=version))
    return Removed([RemovedGrant(app, api, stage) for api, stage in grants])
