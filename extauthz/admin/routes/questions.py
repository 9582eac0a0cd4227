"""Questions backwards: who may call, what may be called, what ends, what is unused, and why."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from extauthz.admin.desk import AtDesk
from extauthz.admin.forms import Id, Stage
from extauthz.admin.page import Page, Paging
from extauthz.registry import questions as service

router = APIRouter(prefix="/questions", tags=["questions"])
Days = Annotated[int, Field(ge=1, le=service.LONGEST_DAYS)]


class OfApi(Paging):
    """Who may call an API."""

    api: Id
    stage: Stage | None = None


class OfApp(Paging):
    """What an app may call."""

    app: Id


class Ending(Paging):
    """Which grants end soon."""

    days: Days = 30


class Unused(Paging):
    """Which credentials were not used for long."""

    days: Days = 90


class Call(BaseModel):
    """Whether an app may call an API in a stage."""

    model_config = ConfigDict(extra="forbid")
    app: Id
    api: Id
    stage: Stage = "RELEASE"


@router.get("/who-may-call")
def who_may_call(paging: Annotated[OfApi, Query()], desk: AtDesk) -> Page[service.LiveGrant]:
    """Who may call this API: its live grants, by app and stage."""
    app, stage = paging.after(("", ""))
    found = desk.look(
        lambda view: service.who_may_call(
            view, desk.actor, paging.api, desk.now_ms,
            stage=paging.stage, after=(app, stage), limit=paging.limit + 1,
        )
    )  # fmt: skip
    return paging.page(found, lambda one: (one.app, one.stage))


@router.get("/may-call")
def may_call(paging: Annotated[OfApp, Query()], desk: AtDesk) -> Page[service.LiveGrant]:
    """What may this app call: its live grants, by API and stage."""
    api, stage = paging.after(("", ""))
    found = desk.look(
        lambda view: service.may_call(
            view, desk.actor, paging.app, desk.now_ms, after=(api, stage), limit=paging.limit + 1
        )
    )
    return paging.page(found, lambda one: (one.api, one.stage))


@router.get("/ending-grants")
def ending_grants(paging: Annotated[Ending, Query()], desk: AtDesk) -> Page[service.LiveGrant]:
    """Which grants end within so many days, the next one first."""
    until_ms, app, api, stage = paging.after((0, "", "", ""))
    found = desk.look(
        lambda view: service.ending_grants(
            view, desk.actor, desk.now_ms, paging.days, after=(until_ms, app, api, stage), limit=paging.limit + 1
        )
    )
    page = paging.page(found, lambda one: (one[0], one[1].app, one[1].api, one[1].stage))
    return Page(items=[grant for _, grant in page.items], next=page.next)


@router.get("/unused-credentials")
def unused_credentials(paging: Annotated[Unused, Query()], desk: AtDesk) -> Page[service.UnusedCredential]:
    """Which credentials, at least so many days old, were not used for as long."""
    kind, identity = paging.after(("", ""))
    found = desk.look(
        lambda view: service.unused_credentials(
            view, desk.actor, desk.now_ms, paging.days, after=(kind, identity), limit=paging.limit + 1
        )
    )
    return paging.page(found, lambda one: (one.kind, one.id))


@router.get("/can")
def can(call: Annotated[Call, Query()], desk: AtDesk) -> service.Verdict:
    """Why may or may not this app call this API in this stage now, as far as the registry decides it."""
    return desk.look(lambda view: service.can(view, desk.actor, call.app, call.api, call.stage, desk.now_ms))
