"""AppCodes."""

from fastapi import APIRouter
from starlette.responses import Response

from extauthz.admin.desk import AtCreatingDesk, AtDesk
from extauthz.admin.forms import CreateCode, PathId, PathUuid
from extauthz.admin.page import Page
from extauthz.registry import codes as service
from extauthz.registry.credential_records import CodeRecord, NewCode

router = APIRouter(tags=["codes"])


@router.post("/apps/{app}/codes", status_code=201, response_model=NewCode)
def create_code(app: PathId, desk: AtCreatingDesk, form: CreateCode = CreateCode()) -> Response:
    """Create an AppCode. The answer holds it in clear, this one time."""
    return desk.create(lambda tx: service.create_code(tx, desk.vault, desk.actor, app, form.app_code))


@router.get("/apps/{app}/codes")
def list_codes(app: PathId, desk: AtDesk) -> Page[CodeRecord]:
    """List the AppCodes of an app by id and last four characters: all of them in one page."""
    return Page(items=desk.look(lambda view: service.list_codes(view, desk.actor, app)), next=None)


@router.delete("/codes/{code}", status_code=204)
def delete_code(code: PathUuid, desk: AtDesk) -> None:
    """Delete an AppCode by its id."""
    desk.change(lambda tx: service.delete_code(tx, desk.actor, code))
