"""The audit trail: who did what, with the values before and after. It is only ever added to, and holds no secret."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from extauthz.registry.database.store import Transaction
from extauthz.registry.database.tables import AUDIT
from extauthz.registry.rules import Action, Actor, demand
from extauthz.registry.text import utc_text

_LONGEST_TARGET = 200


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One action."""

    number: int
    at: str
    """ISO 8601, UTC."""
    actor: str
    action: str
    target: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    request_id: str


def record(
    tx: Transaction,
    actor: Actor,
    action: Action,
    target: str,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Add one action, in the transaction that does it. The caller leaves secrets out of ``before`` and ``after``."""
    tx.connection.execute(
        insert(AUDIT).values(
            at_ms=tx.now_ms,
            actor=actor.name,
            action=action.value,
            target=target[:_LONGEST_TARGET],
            before=_json(before),
            after=_json(after),
            request_id=tx.request_id,
        )
    )


def list_audit(
    view: Connection, actor: Actor, *, target: str | None = None, before: int | None = None, limit: int = 100
) -> list[AuditEntry]:
    """The newest actions first, those with a number below ``before``. Raises Forbidden."""
    demand(actor, Action.READ_AUDIT)
    query = select(AUDIT).order_by(AUDIT.c.number.desc()).limit(limit)
    if target is not None:
        query = query.where(AUDIT.c.target == target)
    if before is not None:
        query = query.where(AUDIT.c.number < before)
    return [
        AuditEntry(
            row.number,
            utc_text(row.at_ms) or "",
            row.actor,
            row.action,
            row.target,
            json.loads(row.before) if row.before else None,
            json.loads(row.after) if row.after else None,
            row.request_id,
        )
        for row in view.execute(query)
    ]


def _json(values: dict[str, Any] | None) -> str | None:
    return None if values is None else json.dumps(values, sort_keys=True)
