"""Access requests: a consumer asks for an API, its provider approves or refuses. Approval is the grant."""

import uuid
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, or_, select, update

from extauthz.registry.apis import get_api
from extauthz.registry.apps import get_app
from extauthz.registry.audit import record
from extauthz.registry.database.store import Transaction
from extauthz.registry.database.tables import ACCESS_REQUESTS, APIS, APPS
from extauthz.registry.errors import Conflict, Invalid, Unknown
from extauthz.registry.grants import grant
from extauthz.registry.rules import Action, Actor, Role, demand, permitted
from extauthz.registry.text import MAX_WHY, checked_stage, checked_text, utc_text

PENDING = "pending"


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """What was asked for, and what became of it."""

    id: str
    app: str
    api: str
    stage: str
    why: str
    state: str
    """pending, approved, refused or withdrawn."""
    asked_by: str
    asked: str
    decided_by: str | None
    decided: str | None
    answer: str
    until: str | None


def ask(tx: Transaction, actor: Actor, app_id: str, api_id: str, stage: str, why: str) -> AccessRequest:
    """Ask for access of an own app to an API. Raises Unknown, Forbidden, Invalid, Conflict."""
    get_app(tx.connection, actor, app_id, Action.ASK_ACCESS)
    api = get_api(tx.connection, actor, api_id)
    wanted = checked_stage("stage", stage)
    if wanted.value not in api.stages:
        raise Conflict(f"API `{api_id}` is not published in stage {wanted}; it is in {', '.join(api.stages)}")
    checked_text("why", why, MAX_WHY)
    if not why.strip():
        raise Invalid("why", "must say what the access is for")
    same = (
        (ACCESS_REQUESTS.c.app_id == app_id)
        & (ACCESS_REQUESTS.c.api_id == api_id)
        & (ACCESS_REQUESTS.c.stage == wanted.value)
        & (ACCESS_REQUESTS.c.state == PENDING)
    )
    waiting = tx.connection.execute(select(ACCESS_REQUESTS.c.id).where(same)).scalar()
    if waiting is not None:
        raise Conflict(f"request `{waiting}` for the same access is pending")
    request_id = str(uuid.uuid4())
    tx.connection.execute(
        insert(ACCESS_REQUESTS).values(
            id=request_id, app_id=app_id, api_id=api_id, stage=wanted.value, why=why, state=PENDING,
            asked_by=actor.name, asked_ms=tx.now_ms,
        )
    )  # fmt: skip
    made = get_request(tx.connection, actor, request_id)
    record(tx, actor, Action.ASK_ACCESS, f"request/{request_id}", after=asdict(made))
    return made


def approve(
    tx: Transaction, actor: Actor, request_id: str, *, until_ms: int | None = None, answer: str = ""
) -> AccessRequest:
    """Make the grant that was asked for, perhaps with an end. Raises Unknown, Forbidden, Conflict, Invalid."""
    before = _pending(tx.connection, actor, request_id, Action.DECIDE_REQUEST)
    grant(tx, actor, [before.app], [before.api], before.stage, until_ms=until_ms, description=f"request {request_id}")
    return _decide(tx, actor, before, "approved", answer, until_ms)


def refuse(tx: Transaction, actor: Actor, request_id: str, answer: str) -> AccessRequest:
    """Refuse, with a reason that the consumer sees. Raises Unknown, Forbidden, Conflict, Invalid."""
    before = _pending(tx.connection, actor, request_id, Action.DECIDE_REQUEST)
    if not answer.strip():
        raise Invalid("answer", "must say why the request is refused")
    return _decide(tx, actor, before, "refused", answer, None)


def withdraw(tx: Transaction, actor: Actor, request_id: str) -> AccessRequest:
    """Take back what was asked for. Raises Unknown, Forbidden, Conflict."""
    before = _pending(tx.connection, actor, request_id, Action.WITHDRAW_REQUEST)
    return _decide(tx, actor, before, "withdrawn", "", None)


def get_request(view: Connection, actor: Actor, request_id: str) -> AccessRequest:
    """A request. Raises Unknown, also for who may not see it."""
    return _request(_row(view, actor, request_id))


def list_requests(
    view: Connection, actor: Actor, *, state: str | None = None, after: str = "", limit: int = 100
) -> list[AccessRequest]:
    """Requests by id, from behind ``after``: those about the actor's own apps and APIs."""
    query = _joined().where(ACCESS_REQUESTS.c.id > after).order_by(ACCESS_REQUESTS.c.id).limit(limit)
    if state is not None:
        query = query.where(ACCESS_REQUESTS.c.state == state)
    if actor.role is not Role.ADMIN and actor.owner_id is not None:
        query = query.where(or_(APPS.c.owner_id == actor.owner_id, APIS.c.owner_id == actor.owner_id))
    return [_request(row) for row in view.execute(query)]


def _pending(view: Connection, actor: Actor, request_id: str, action: Action) -> AccessRequest:
    row = _row(view, actor, request_id)
    demand(actor, action, app_owner=row.app_owner, api_owner=row.api_owner)
    if row.state != PENDING:
        raise Conflict(f"request `{request_id}` is {row.state} already")
    return _request(row)


def _decide(
    tx: Transaction, actor: Actor, before: AccessRequest, state: str, answer: str, until_ms: int | None
) -> AccessRequest:
    checked_text("answer", answer, MAX_WHY)
    place = (ACCESS_REQUESTS.c.id == before.id) & (ACCESS_REQUESTS.c.state == PENDING)
    values = {"state": state, "decided_by": actor.name, "decided_ms": tx.now_ms, "answer": answer, "until_ms": until_ms}
    if not tx.connection.execute(update(ACCESS_REQUESTS).where(place).values(**values)).rowcount:
        raise Conflict(f"request `{before.id}` was decided meanwhile")
    after = get_request(tx.connection, actor, before.id)
    action = Action.WITHDRAW_REQUEST if state == "withdrawn" else Action.DECIDE_REQUEST
    record(tx, actor, action, f"request/{before.id}", before=asdict(before), after=asdict(after))
    return after


def _row(view: Connection, actor: Actor, request_id: str) -> Row[Any]:
    row: Row[Any] | None = view.execute(_joined().where(ACCESS_REQUESTS.c.id == request_id)).first()
    if row is None or not permitted(actor, Action.READ_REQUEST, app_owner=row.app_owner, api_owner=row.api_owner):
        raise Unknown("request", request_id)
    return row


def _joined() -> Any:
    columns: list[Any] = [ACCESS_REQUESTS, APPS.c.owner_id.label("app_owner"), APIS.c.owner_id.label("api_owner")]
    apps, apis = APPS.c.id == ACCESS_REQUESTS.c.app_id, APIS.c.id == ACCESS_REQUESTS.c.api_id
    return select(*columns).join(APPS, apps).join(APIS, apis)


def _request(row: Row[Any]) -> AccessRequest:
    return AccessRequest(
        id=row.id,
        app=row.app_id,
        api=row.api_id,
        stage=row.stage,
        why=row.why,
        state=row.state,
        asked_by=row.asked_by,
        asked=utc_text(row.asked_ms) or "",
        decided_by=row.decided_by,
        decided=utc_text(row.decided_ms),
        answer=row.answer,
        until=utc_text(row.until_ms),
    )
