"""Grants: which app may call which API in which stage, until when, and who said so (vendor: SetApisAuthorities)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from extauthz.domain.request import Stage
from extauthz.registry.apis import ApiRecord, get_api
from extauthz.registry.apps import owner_of_app
from extauthz.registry.audit import record
from extauthz.registry.database.store import Transaction
from extauthz.registry.database.tables import APIS, APPS, GRANTS
from extauthz.registry.errors import Conflict, Forbidden, Invalid, Unknown
from extauthz.registry.rules import Action, Actor, Role, Side, demand, permitted
from extauthz.registry.text import MAX_AT_ONCE, checked_stage, checked_text, utc_text


@dataclass(frozen=True, slots=True)
class GrantRecord:
    """A grant as the registry tells of it."""

    app: str
    api: str
    stage: str
    until: str | None
    """ISO 8601, UTC; None: it does not end."""
    side: Side
    granted_by: str
    description: str
    created: str


def grant(
    tx: Transaction,
    actor: Actor,
    app_ids: Sequence[str],
    api_ids: Sequence[str],
    stage: str,
    *,
    until_ms: int | None = None,
    description: str = "",
) -> list[GrantRecord]:
    """Grant one API to up to 100 apps, or one app up to 100 APIs: all of them or, on any error, none.

    A grant that is there already gets the new end and description, if the same side made it. Raises Unknown, Forbidden,
    Invalid, Conflict.
    """
    if not app_ids or not api_ids:
        raise Invalid("apis" if app_ids else "apps", "must name at least one")
    if len(app_ids) > 1 and len(api_ids) > 1:
        raise Invalid("apis", "either one API for several apps, or several APIs for one app")
    if max(len(app_ids), len(api_ids)) > MAX_AT_ONCE:
        raise Invalid("apis" if len(api_ids) > 1 else "apps", f"at most {MAX_AT_ONCE} in one call")
    if until_ms is not None and until_ms <= tx.now_ms:
        raise Invalid("until", "lies in the past")
    checked_text("description", description)
    wanted = checked_stage("stage", stage)
    return [
        _grant_one(tx, actor, app_id, api_id, wanted, until_ms, description)
        for app_id in dict.fromkeys(app_ids)
        for api_id in dict.fromkeys(api_ids)
    ]


def _grant_one(
    tx: Transaction, actor: Actor, app_id: str, api_id: str, stage: Stage, until_ms: int | None, description: str
) -> GrantRecord:
    side, api = _side(tx.connection, actor, app_id, api_id)
    if stage.value not in api.stages:
        raise Conflict(f"API `{api_id}` is not published in stage {stage}; it is in {', '.join(api.stages)}")
    before = _row(tx.connection, app_id, api_id, stage)
    if before is not None and before.side != side.value and actor.role is not Role.ADMIN:
        raise Conflict(f"app `{app_id}` has API `{api_id}` in stage {stage} from its {before.side} already")
    values = {"until_ms": until_ms, "description": description, "granted_by": actor.name, "side": side.value}
    place = (GRANTS.c.app_id == app_id) & (GRANTS.c.api_id == api_id) & (GRANTS.c.stage == stage.value)
    if before is None:
        tx.connection.execute(
            insert(GRANTS).values(app_id=app_id, api_id=api_id, stage=stage.value, created_ms=tx.now_ms, **values)
        )
    else:
        tx.connection.execute(update(GRANTS).where(place).values(**values))
    tx.changed("grant", f"{app_id}/{api_id}/{stage}")
    row = _row(tx.connection, app_id, api_id, stage)
    if row is None:
        raise Unknown("grant", f"{app_id}/{api_id}/{stage}")
    made = _grant(row)
    action = Action.GRANT_AS_PROVIDER if side is Side.PROVIDER else Action.GRANT_AS_CONSUMER
    told = None if before is None else asdict(_grant(before))
    record(tx, actor, action, f"grant/{app_id}/{api_id}/{stage}", before=told, after=asdict(made))
    return made


def revoke(tx: Transaction, actor: Actor, app_ids: Sequence[str], api_ids: Sequence[str], stage: str) -> int:
    """Take grants back: all of them or, on any error, none. Each side revokes only what it granted.

    Raises Unknown when one is not there, Forbidden when the other side made it.
    """
    if max(len(app_ids), len(api_ids)) > MAX_AT_ONCE:
        raise Invalid("apis" if len(api_ids) > 1 else "apps", f"at most {MAX_AT_ONCE} in one call")
    wanted = checked_stage("stage", stage)
    pairs = [(app_id, api_id) for app_id in dict.fromkeys(app_ids) for api_id in dict.fromkeys(api_ids)]
    for app_id, api_id in pairs:
        _revoke_one(tx, actor, app_id, api_id, wanted)
    return len(pairs)


def _revoke_one(tx: Transaction, actor: Actor, app_id: str, api_id: str, stage: Stage) -> None:
    name = f"{app_id}/{api_id}/{stage}"
    row = _row(tx.connection, app_id, api_id, stage)
    if row is None or not _may_see(actor, row):
        raise Unknown("grant", name)
    by_provider = row.side == Side.PROVIDER.value
    action = Action.REVOKE_PROVIDER_GRANT if by_provider else Action.REVOKE_CONSUMER_GRANT
    if not permitted(actor, action, app_owner=row.app_owner, api_owner=row.api_owner):
        raise Forbidden(f"this grant was made by the {row.side}, who alone can revoke it")
    place = (GRANTS.c.app_id == app_id) & (GRANTS.c.api_id == api_id) & (GRANTS.c.stage == stage.value)
    if not tx.connection.execute(delete(GRANTS).where(place)).rowcount:
        raise Unknown("grant", name)
    tx.changed("grant", name)
    record(tx, actor, action, f"grant/{name}", before=asdict(_grant(row)))


def list_grants(
    view: Connection,
    actor: Actor,
    *,
    app_id: str | None = None,
    api_id: str | None = None,
    ends_before_ms: int | None = None,
    after: tuple[str, str, str] = ("", "", ""),
    limit: int = 100,
) -> list[GrantRecord]:
    """Grants by app, API and stage, from behind ``after``: those of the actor's own apps and APIs."""
    query = _joined().order_by(GRANTS.c.app_id, GRANTS.c.api_id, GRANTS.c.stage).limit(limit)
    app, api, stage = after
    query = query.where(
        or_(
            GRANTS.c.app_id > app,
            (GRANTS.c.app_id == app) & (GRANTS.c.api_id > api),
            (GRANTS.c.app_id == app) & (GRANTS.c.api_id == api) & (GRANTS.c.stage > stage),
        )
    )
    if app_id is not None:
        query = query.where(GRANTS.c.app_id == app_id)
    if api_id is not None:
        query = query.where(GRANTS.c.api_id == api_id)
    if ends_before_ms is not None:
        query = query.where(GRANTS.c.until_ms < ends_before_ms)
    if actor.role is not Role.ADMIN and actor.owner_id is not None:
        query = query.where(or_(APPS.c.owner_id == actor.owner_id, APIS.c.owner_id == actor.owner_id))
    return [_grant(row) for row in view.execute(query)]


def _side(view: Connection, actor: Actor, app_id: str, api_id: str) -> tuple[Side, ApiRecord]:
    """As which side the actor may make this grant. Raises Unknown, Forbidden."""
    api = get_api(view, actor, api_id)
    app_owner = owner_of_app(view, app_id)
    if permitted(actor, Action.GRANT_AS_PROVIDER, api_owner=api.owner):
        return Side.PROVIDER, api
    if not permitted(actor, Action.READ_APP, app_owner=app_owner) and actor.role is Role.CONSUMER:
        raise Unknown("app", app_id)
    demand(actor, Action.GRANT_AS_CONSUMER, app_owner=app_owner, api_owner=api.owner)
    if not api.self_grant:
        raise Forbidden(f"API `{api_id}` does not let consumers grant themselves; ask its provider for access")
    return Side.CONSUMER, api


def _may_see(actor: Actor, row: Row[Any]) -> bool:
    return permitted(actor, Action.READ_GRANT, app_owner=row.app_owner, api_owner=row.api_owner)


def _joined() -> Any:
    columns: list[Any] = [GRANTS, APPS.c.owner_id.label("app_owner"), APIS.c.owner_id.label("api_owner")]
    return select(*columns).join(APPS, APPS.c.id == GRANTS.c.app_id).join(APIS, APIS.c.id == GRANTS.c.api_id)


def _row(view: Connection, app_id: str, api_id: str, stage: Stage) -> Row[Any] | None:
    query = _joined().where(GRANTS.c.app_id == app_id, GRANTS.c.api_id == api_id, GRANTS.c.stage == stage.value)
    found: Row[Any] | None = view.execute(query).first()
    return found


def _grant(row: Row[Any]) -> GrantRecord:
    return GrantRecord(
        app=row.app_id,
        api=row.api_id,
        stage=row.stage,
        until=utc_text(row.until_ms),
        side=Side(row.side),
        granted_by=row.granted_by,
        description=row.description,
        created=utc_text(row.created_ms) or "",
    )
