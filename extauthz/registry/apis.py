"""The APIs that the registry knows: which there are, who provides them, and whether consumers may grant themselves."""

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from extauthz.domain.request import Stage
from extauthz.registry.apps import get_owner
from extauthz.registry.audit import record
from extauthz.registry.database.store import Transaction
from extauthz.registry.database.tables import APIS, GRANTS
from extauthz.registry.errors import Conflict, Invalid, Unknown
from extauthz.registry.rules import Action, Actor, Role, demand
from extauthz.registry.text import checked_id, checked_stage, utc_text


@dataclass(frozen=True, slots=True)
class ApiRecord:
    """An API as the registry tells of it."""

    id: str
    group: str
    owner: str
    stages: tuple[str, ...]
    self_grant: bool
    """Whether consumers may grant it to their own apps."""
    created: str


def register_api(
    tx: Transaction,
    actor: Actor,
    api_id: str,
    owner_id: str,
    *,
    group: str = "",
    stages: tuple[str, ...] = (Stage.RELEASE.value,),
    self_grant: bool = False,
) -> ApiRecord:
    """Make an API known, so that it can be granted. Raises Forbidden, Invalid, Unknown, Conflict."""
    demand(actor, Action.REGISTER_API, api_owner=owner_id)
    checked_id("id", api_id)
    if group:
        checked_id("group", group)
    if tx.connection.execute(select(APIS.c.id).where(APIS.c.id == api_id)).first():
        raise Conflict(f"API `{api_id}` is registered already")
    _demand_owner(tx.connection, actor, owner_id)
    tx.connection.execute(
        insert(APIS).values(
            id=api_id, group_id=group, owner_id=owner_id, stages=_stages(stages), self_grant=self_grant,
            created_ms=tx.now_ms,
        )
    )  # fmt: skip
    made = get_api(tx.connection, actor, api_id)
    record(tx, actor, Action.REGISTER_API, f"api/{api_id}", after=asdict(made))
    return made


def change_api(
    tx: Transaction,
    actor: Actor,
    api_id: str,
    *,
    stages: tuple[str, ...] | None = None,
    self_grant: bool | None = None,
    group: str | None = None,
) -> ApiRecord:
    """Change what is not None. Raises Unknown, Forbidden, Invalid, Conflict."""
    before = get_api(tx.connection, actor, api_id, Action.CHANGE_API)
    values: dict[str, Any] = {}
    if stages is not None:
        values["stages"] = _stages(stages)
        _refuse_orphans(tx.connection, api_id, values["stages"].split(","))
    if self_grant is not None:
        values["self_grant"] = self_grant
    if group is not None:
        values["group_id"] = checked_id("group", group) if group else ""
    if values:
        tx.connection.execute(update(APIS).where(APIS.c.id == api_id).values(**values))
    after = get_api(tx.connection, actor, api_id)
    record(tx, actor, Action.CHANGE_API, f"api/{api_id}", before=asdict(before), after=asdict(after))
    return after


def delete_api(tx: Transaction, actor: Actor, api_id: str) -> list[tuple[str, str]]:
    """Remove an API with its grants, and say which: (app id, stage). Raises Unknown, Forbidden."""
    before = get_api(tx.connection, actor, api_id, Action.DELETE_API)
    order = (GRANTS.c.app_id, GRANTS.c.stage)
    rows = tx.connection.execute(select(GRANTS).where(GRANTS.c.api_id == api_id).order_by(*order))
    grants = [(row.app_id, row.stage) for row in rows]
    for app_id, stage in grants:
        tx.changed("grant", f"{app_id}/{api_id}/{stage}")
    tx.connection.execute(delete(APIS).where(APIS.c.id == api_id))
    removed = [f"{app_id} {stage}" for app_id, stage in grants]
    record(tx, actor, Action.DELETE_API, f"api/{api_id}", before={**asdict(before), "grants": removed})
    return grants


def get_api(view: Connection, actor: Actor, api_id: str, action: Action = Action.READ_API) -> ApiRecord:
    """An API, to do ``action`` with it. Raises Unknown, Forbidden."""
    row = view.execute(select(APIS).where(APIS.c.id == api_id)).first()
    if row is None:
        raise Unknown("API", api_id)
    demand(actor, action, api_owner=row.owner_id)
    return _api(row)


def list_apis(
    view: Connection, actor: Actor, *, owner_id: str | None = None, after: str = "", limit: int = 100
) -> list[ApiRecord]:
    """APIs by id, from behind ``after``: everybody may see which there are."""
    demand(actor, Action.READ_API)
    query = select(APIS).where(APIS.c.id > after).order_by(APIS.c.id).limit(limit)
    if owner_id is not None:
        query = query.where(APIS.c.owner_id == owner_id)
    return [_api(row) for row in view.execute(query)]


def _api(row: Row[Any]) -> ApiRecord:
    stages = tuple(row.stages.split(","))
    return ApiRecord(row.id, row.group_id, row.owner_id, stages, bool(row.self_grant), utc_text(row.created_ms) or "")


def _stages(stages: tuple[str, ...]) -> str:
    if not stages:
        raise Invalid("stages", f"must name at least one of {', '.join(Stage)}")
    return ",".join(dict.fromkeys(checked_stage("stages", stage).value for stage in stages))


def _refuse_orphans(view: Connection, api_id: str, stages: list[str]) -> None:
    query = select(GRANTS.c.stage).where(GRANTS.c.api_id == api_id, GRANTS.c.stage.not_in(stages)).limit(1)
    granted = view.execute(query).scalar()
    if granted is not None:
        raise Conflict(f"API `{api_id}` is granted in stage {granted}; revoke those grants first")


def _demand_owner(view: Connection, actor: Actor, owner_id: str) -> None:
    if actor.role is Role.ADMIN:
        get_owner(view, actor, owner_id)
