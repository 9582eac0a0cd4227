"""The audit trail: who did what."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from extauthz.admin.desk import AtDesk
from extauthz.admin.page import Page, Paging
from extauthz.registry import audit as service

router = APIRouter(prefix="/audit", tags=["audit"])


class Trail(Paging):
    """Which entries."""

    target: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9._/-]{1,200}$", examples=["app/shop-web"])] = None


@router.get("")
def list_audit(paging: Annotated[Trail, Query()], desk: AtDesk) -> Page[service.AuditEntry]:
    """List what was done, the newest first, or only to one target: `app/ID`, `key/APPKEY`, `grant/APP/API/STAGE`."""
    (before,) = paging.after((0,))
    found = desk.look(
        lambda view: service.list_audit(
            view, desk.actor, target=paging.target, before=before or None, limit=paging.limit + 1
        )
    )
    return paging.page(found, lambda entry: (entry.number,))
