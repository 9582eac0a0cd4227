"""Owners and their apps."""

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from extauthz.registry.audit import record
from extauthz.registry.database.store import Transaction
from extauthz.registry.database.tables import APIS, APP_CODES, APPS, GRANTS, KEY_PAIRS, OWNERS, TOKENS
from extauthz.registry.errors import Changed, Conflict, Unknown
from extauthz.registry.rules import Action, Actor, Role, demand, permitted
from extauthz.registry.text import checked_id, checked_name, checked_text, utc_text

MAX_APPS_OF_AN_OWNER = 1000
"""Vendor: quota of apps for one account."""


@dataclass(frozen=True, slots=True)
class Owner:
    """An account that apps and APIs belong to."""

    id: str
    description: str
    created: str


@dataclass(frozen=True, slots=True)
class AppRecord:
    """An app as the registry tells of it. ``version`` grows with each change of the app itself."""

    id: str
    owner: str
    name: str
    description: str
    disabled: bool
    created: str
    version: int


def create_owner(tx: Transaction, actor: Actor, owner_id: str, description: str = "") -> Owner:
    """A new account. Raises Forbidden, Invalid, Conflict."""
    demand(actor, Action.CREATE_OWNER)
    checked_id("id", owner_id)
    checked_text("description", description)
    if _owner_row(tx.connection, owner_id) is not None:
        raise Conflict(f"owner `{owner_id}` exists already")
    tx.connection.execute(insert(OWNERS).values(id=owner_id, description=description, created_ms=tx.now_ms))
    owner = get_owner(tx.connection, actor, owner_id)
    record(tx, actor, Action.CREATE_OWNER, f"owner/{owner_id}", after=asdict(owner))
    return owner


def delete_owner(tx: Transaction, actor: Actor, owner_id: str) -> None:
    """Remove an account that has no apps, APIs and tokens any more. Raises Forbidden, Unknown, Conflict."""
    demand(actor, Action.DELETE_OWNER)
    owner = get_owner(tx.connection, actor, owner_id)
    for table, what in ((APPS, "apps"), (APIS, "APIs"), (TOKENS, "admin tokens")):
        if tx.connection.execute(select(table.c.id).where(table.c.owner_id == owner_id).limit(1)).first():
            raise Conflict(f"owner `{owner_id}` still has {what}; delete or move them first")
    tx.connection.execute(delete(OWNERS).where(OWNERS.c.id == owner_id))
    record(tx, actor, Action.DELETE_OWNER, f"owner/{owner_id}", before=asdict(owner))


def get_owner(view: Connection, actor: Actor, owner_id: str) -> Owner:
    """An account. Raises Unknown, also for who may not see it."""
    row = _owner_row(view, owner_id)
    if row is None or not permitted(actor, Action.READ_OWNER, app_owner=owner_id):
        raise Unknown("owner", owner_id)
    return Owner(row.id, row.description, utc_text(row.created_ms) or "")


def list_owners(view: Connection, actor: Actor, *, after: str = "", limit: int = 100) -> list[Owner]:
    """Accounts by id, from behind ``after``: those that the actor may see."""
    query = select(OWNERS).where(OWNERS.c.id > after).order_by(OWNERS.c.id).limit(limit)
    if actor.owner_id is not None:
        query = query.where(OWNERS.c.id == actor.owner_id)
    return [Owner(row.id, row.description, utc_text(row.created_ms) or "") for row in view.execute(query)]


def create_app(
    tx: Transaction, actor: Actor, app_id: str, owner_id: str, name: str, description: str = ""
) -> AppRecord:
    """A new app without credentials. Raises Forbidden, Invalid, Unknown, Conflict."""
    demand(actor, Action.CREATE_APP, app_owner=owner_id)
    checked_id("id", app_id)
    checked_name("name", name)
    checked_text("description", description)
    get_owner(tx.connection, actor, owner_id)
    if _app_row(tx.connection, app_id) is not None:
        raise Conflict(f"app `{app_id}` exists already")
    if place := tx.elsewhere("app", app_id):
        raise Conflict(f"app `{app_id}` stands in {place}, and belongs wholly to that file; choose another id")
    count = select(func.count()).select_from(APPS).where(APPS.c.owner_id == owner_id)
    if actor.role is not Role.ADMIN and tx.connection.execute(count).scalar_one() >= MAX_APPS_OF_AN_OWNER:
        raise Conflict(f"owner `{owner_id}` has {MAX_APPS_OF_AN_OWNER} apps, which is the most; delete one first")
    tx.connection.execute(
        insert(APPS).values(
            id=app_id, owner_id=owner_id, name=name, description=description, disabled=False, created_ms=tx.now_ms,
            version=1,
        )
    )  # fmt: skip
    tx.changed("app", app_id)
    app = get_app(tx.connection, actor, app_id)
    record(tx, actor, Action.CREATE_APP, f"app/{app_id}", after=asdict(app))
    return app


def change_app(
    tx: Transaction,
    actor: Actor,
    app_id: str,
    *,
    name: str | None = None,
    description: str | None = None,
    disabled: bool | None = None,
    version: int | None = None,
) -> AppRecord:
    """Change what is not None. With ``version`` only if the app still has it. Raises Changed, Unknown, Invalid."""
    before = get_app(tx.connection, actor, app_id, Action.CHANGE_APP)
    if version is not None and version != before.version:
        raise Changed("app", app_id, before.version)
    values: dict[str, str | bool] = {}
    if name is not None:
        values["name"] = checked_name("name", name)
    if description is not None:
        values["description"] = checked_text("description", description)
    if disabled is not None:
        values["disabled"] = disabled
    tx.connection.execute(update(APPS).where(APPS.c.id == app_id).values(**values, version=APPS.c.version + 1))
    tx.changed("app", app_id)
    after = get_app(tx.connection, actor, app_id)
    record(tx, actor, Action.CHANGE_APP, f"app/{app_id}", before=asdict(before), after=asdict(after))
    return after


def delete_app(tx: Transaction, actor: Actor, app_id: str, *, version: int | None = None) -> list[tuple[str, str]]:
    """Remove an app with its credentials and grants, and say which grants: (API id, stage). Raises Changed, Unknown."""
    before = get_app(tx.connection, actor, app_id, Action.DELETE_APP)
    if version is not None and version != before.version:
        raise Changed("app", app_id, before.version)
    view = tx.connection
    grants = [
        (row.api_id, row.stage)
        for row in view.execute(select(GRANTS).where(GRANTS.c.app_id == app_id).order_by(GRANTS.c.api_id))
    ]
    for api_id, stage in grants:
        tx.changed("grant", f"{app_id}/{api_id}/{stage}")
    for (app_key,) in view.execute(select(KEY_PAIRS.c.app_key).where(KEY_PAIRS.c.app_id == app_id)):
        tx.changed("key", app_key)
    for (code_hash,) in view.execute(select(APP_CODES.c.code_hash).where(APP_CODES.c.app_id == app_id)):
        tx.changed("code", code_hash.hex())
    tx.changed("app", app_id)
    view.execute(delete(APPS).where(APPS.c.id == app_id))
    removed = [f"{api_id} {stage}" for api_id, stage in grants]
    record(tx, actor, Action.DELETE_APP, f"app/{app_id}", before={**asdict(before), "grants": removed})
    return grants


def get_app(view: Connection, actor: Actor, app_id: str, action: Action = Action.READ_APP) -> AppRecord:
    """An app, to do ``action`` with it. Raises Unknown for who may not see it, Forbidden for who may only see it.

    Whoever is to change it, or what belongs to it, has it alone until the transaction ends.
    """
    row = _app_row(view, app_id, alone=action is not Action.READ_APP)
    if row is None or not permitted(actor, Action.READ_APP, app_owner=row.owner_id):
        raise Unknown("app", app_id)
    demand(actor, action, app_owner=row.owner_id)
    return _app(row)


def list_apps(
    view: Connection, actor: Actor, *, owner_id: str | None = None, after: str = "", limit: int = 100
) -> list[AppRecord]:
    """Apps by id, from behind ``after``: those that the actor may see."""
    query = select(APPS).where(APPS.c.id > after).order_by(APPS.c.id).limit(limit)
    if actor.role is not Role.ADMIN and actor.owner_id is not None:
        query = query.where(APPS.c.owner_id == actor.owner_id)
    if owner_id is not None:
        query = query.where(APPS.c.owner_id == owner_id)
    return [_app(row) for row in view.execute(query)]


def owner_of_app(view: Connection, app_id: str) -> str:
    """The account that an app belongs to, for checks of rights. Raises Unknown."""
    row = _app_row(view, app_id)
    if row is None:
        raise Unknown("app", app_id)
    return str(row.owner_id)


def _app(row: Row[tuple[object, ...]]) -> AppRecord:
    created = utc_text(row.created_ms) or ""
    return AppRecord(row.id, row.owner_id, row.name, row.description, bool(row.disabled), created, row.version)


def _app_row(view: Connection, app_id: str, alone: bool = False) -> Row[tuple[object, ...]] | None:
    query = select(APPS).where(APPS.c.id == app_id)
    return view.execute(query.with_for_update(key_share=True) if alone else query).first()


def _owner_row(view: Connection, owner_id: str) -> Row[tuple[object, ...]] | None:
    return view.execute(select(OWNERS).where(OWNERS.c.id == owner_id)).first()
