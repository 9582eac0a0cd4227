"""AppKey/AppSecret pairs."""

from dataclasses import dataclass, field

from fastapi import APIRouter
from starlette.responses import Response

from extauthz.admin.desk import AtCreatingDesk, AtDesk
from extauthz.admin.forms import CreateKey, PathCredential, PathId, Rotation
from extauthz.admin.page import Page
from extauthz.registry import credentials as service
from extauthz.registry.credential_records import KeyRecord, NewKey

router = APIRouter(tags=["keys"])


@dataclass(frozen=True, slots=True)
class Revealed:
    """The newest AppSecret of a key pair, in clear."""

    app_key: str
    app_secret: str = field(repr=False)


@router.post("/apps/{app}/keys", status_code=201, response_model=NewKey)
def create_key(app: PathId, desk: AtCreatingDesk, form: CreateKey = CreateKey()) -> Response:
    """Create a key pair. The answer holds its AppSecret, this one time."""
    return desk.create(
        lambda tx: service.create_key(tx, desk.vault, desk.actor, app, form.app_key, form.app_secret),
        lambda made: f"/v1/keys/{made.key.app_key}",
    )


@router.get("/apps/{app}/keys")
def list_keys(app: PathId, desk: AtDesk) -> Page[KeyRecord]:
    """List the key pairs of an app, the default one first: all of them in one page."""
    return Page(items=desk.look(lambda view: service.list_keys(view, desk.actor, app)), next=None)


@router.get("/keys/{app_key}")
def get_key(app_key: PathCredential, desk: AtDesk) -> KeyRecord:
    """Look up a key pair, without its secrets."""
    return desk.look(lambda view: service.get_key(view, desk.actor, app_key))


@router.post("/keys/{app_key}/rotate", status_code=200, response_model=NewKey)
def rotate_key(app_key: PathCredential, desk: AtCreatingDesk, form: Rotation = Rotation()) -> Response:
    """Give a key pair a new AppSecret, shown this one time; the one before stays valid for `overlap_s` seconds."""
    overlap_ms = form.overlap_s * 1000
    return desk.create(
        lambda tx: service.rotate_key(tx, desk.vault, desk.actor, app_key, overlap_ms, form.app_secret), status=200
    )


@router.post("/keys/{app_key}/end-previous")
def end_previous_secret(app_key: PathCredential, desk: AtDesk) -> KeyRecord:
    """Let only the newest AppSecret be valid from now on."""
    return desk.change(lambda tx: service.end_previous_secret(tx, desk.actor, app_key))


@router.post("/keys/{app_key}/reveal")
def reveal_secret(app_key: PathCredential, desk: AtDesk) -> Revealed:
    """Show the newest AppSecret; the audit trail keeps who asked."""
    return Revealed(app_key, desk.change(lambda tx: service.reveal_secret(tx, desk.vault, desk.actor, app_key)))


@router.delete("/keys/{app_key}", status_code=204)
def delete_key(app_key: PathCredential, desk: AtDesk) -> None:
    """Delete a key pair; the default one goes with its app only."""
    desk.change(lambda tx: service.delete_key(tx, desk.actor, app_key))
