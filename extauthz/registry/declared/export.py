"""The registry written as what a file declares. AppSecrets only where they are asked for, and then it is recorded."""

from collections.abc import Callable

from sqlalchemy import func, select

from extauthz.registry.audit import record
from extauthz.registry.database.sealing import Vault
from extauthz.registry.database.store import Transaction
from extauthz.registry.database.tables import APIS, APP_CODES, APPS, GRANTS, KEY_PAIRS, OWNERS
from extauthz.registry.declared.values import (
    Declared,
    DeclaredApi,
    DeclaredApp,
    DeclaredGrant,
    DeclaredKey,
    DeclaredOwner,
)
from extauthz.registry.rules import Action, Actor, demand


def export(tx: Transaction, vault: Vault, actor: Actor, *, with_secrets: bool) -> tuple[Declared, int]:
    """Everything but AppCodes, and how many of those there are: only hashes of them are kept.

    With secrets, the audit trail tells of each one. Raises Forbidden, SealBroken.
    """
    demand(actor, Action.REVEAL_SECRET if with_secrets else Action.READ_AUDIT)
    view = tx.connection
    owners = tuple(DeclaredOwner(row.id, row.description) for row in view.execute(select(OWNERS).order_by(OWNERS.c.id)))
    apis = tuple(
        DeclaredApi(row.id, row.owner_id, row.group_id, tuple(row.stages.split(",")), bool(row.self_grant))
        for row in view.execute(select(APIS).order_by(APIS.c.id))
    )
    keys = _keys(tx, vault, actor, with_secrets)
    apps = tuple(
        DeclaredApp(row.id, row.owner_id, row.name, row.description, bool(row.disabled), keys(row.id))
        for row in view.execute(select(APPS).order_by(APPS.c.id))
    )
    order = (GRANTS.c.app_id, GRANTS.c.api_id, GRANTS.c.stage)
    grants = tuple(
        DeclaredGrant(row.app_id, row.api_id, row.stage, row.until_ms, row.description, ())
        for row in view.execute(select(GRANTS).order_by(*order))
    )
    codes = view.execute(select(func.count()).select_from(APP_CODES)).scalar_one()
    return Declared(owners, apis, apps, grants), codes


def _keys(
    tx: Transaction, vault: Vault, actor: Actor, with_secrets: bool
) -> Callable[[str], tuple[DeclaredKey, ...] | None]:
    """What gives the key pairs of an app, the default one first."""
    by_app: dict[str, list[DeclaredKey]] = {}
    order = (KEY_PAIRS.c.is_default.desc(), KEY_PAIRS.c.created_ms, KEY_PAIRS.c.app_key)
    for row in tx.connection.execute(select(KEY_PAIRS).order_by(*order)).all():
        key = DeclaredKey(row.app_key)
        if with_secrets:
            record(tx, actor, Action.REVEAL_SECRET, f"key/{row.app_key}")
            secret = vault.sealer.open(row.secret, row.app_key).decode()
            is_over = row.previous_until_ms is None or row.previous_until_ms <= tx.now_ms
            previous = None if is_over else vault.sealer.open(row.previous_secret, row.app_key).decode()
            key = DeclaredKey(row.app_key, secret, previous, None if is_over else row.previous_until_ms)
        by_app.setdefault(row.app_id, []).append(key)
    return lambda app_id: tuple(by_app[app_id]) if app_id in by_app else None
