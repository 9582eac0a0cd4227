"""Tokens of the admin API: each bound to a role, and to an owner for everybody but admins. Stored as keyed hashes."""

import secrets
import uuid
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select

from extauthz.registry.apps import get_owner
from extauthz.registry.audit import record
from extauthz.registry.database.sealing import Vault
from extauthz.registry.database.store import Transaction
from extauthz.registry.database.tables import TOKENS
from extauthz.registry.errors import Conflict, Invalid, Unknown
from extauthz.registry.rules import Action, Actor, Role, demand
from extauthz.registry.text import checked_name, utc_text

PREFIX: Final = "xat_"
"""So that scanners for leaked secrets can recognize a token."""


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A token as the registry tells of it."""

    id: str
    name: str
    role: Role
    owner: str | None
    created: str
    until: str | None


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token in clear, shown once."""

    token: TokenRecord
    value: str

    def __repr__(self) -> str:
        return f"NewToken(token={self.token!r})"


def create_token(
    tx: Transaction,
    vault: Vault,
    actor: Actor,
    name: str,
    role: Role,
    owner_id: str | None,
    until_ms: int | None = None,
) -> NewToken:
    """A new token. Raises Forbidden, Invalid, Unknown, Conflict."""
    demand(actor, Action.MANAGE_TOKENS)
    checked_name("name", name)
    if (role in (Role.PROVIDER, Role.CONSUMER)) != (owner_id is not None) and role is not Role.READER:
        raise Invalid(
            "owner", f"a token with the role {role} {'needs an owner' if owner_id is None else 'has no owner'}"
        )
    if owner_id is not None:
        get_owner(tx.connection, actor, owner_id)
    if tx.connection.execute(select(TOKENS.c.id).where(TOKENS.c.name == name)).first():
        raise Conflict(f"a token is named `{name}` already; the audit trail tells tokens apart by name")
    if until_ms is not None and until_ms <= tx.now_ms:
        raise Invalid("until", "lies in the past")
    value, token_id = PREFIX + secrets.token_urlsafe(32), str(uuid.uuid4())
    tx.connection.execute(
        insert(TOKENS).values(
            id=token_id, token_hash=vault.hash(value.encode()), name=name, role=role.value, owner_id=owner_id,
            created_ms=tx.now_ms, until_ms=until_ms,
        )
    )  # fmt: skip
    made = TokenRecord(token_id, name, role, owner_id, utc_text(tx.now_ms) or "", utc_text(until_ms))
    record(tx, actor, Action.MANAGE_TOKENS, f"token/{token_id}", after=asdict(made))
    return NewToken(made, value)


def delete_token(tx: Transaction, actor: Actor, token_id: str) -> None:
    """Let a token be worth nothing from now on. Raises Forbidden, Unknown."""
    demand(actor, Action.MANAGE_TOKENS)
    row = tx.connection.execute(select(TOKENS).where(TOKENS.c.id == token_id)).first()
    if row is None:
        raise Unknown("token", token_id)
    tx.connection.execute(delete(TOKENS).where(TOKENS.c.id == token_id))
    record(tx, actor, Action.MANAGE_TOKENS, f"token/{token_id}", before=asdict(_token(row)))


def list_tokens(view: Connection, actor: Actor, *, after: str = "", limit: int = 100) -> list[TokenRecord]:
    """Tokens by id, from behind ``after``. Raises Forbidden."""
    demand(actor, Action.MANAGE_TOKENS)
    query = select(TOKENS).where(TOKENS.c.id > after).order_by(TOKENS.c.id).limit(limit)
    return [_token(row) for row in view.execute(query)]


def actor_of(view: Connection, vault: Vault, value: str, now_ms: int) -> Actor | None:
    """Who brings this token; None for nobody known, and for a token that has ended."""
    if not value.startswith(PREFIX) or len(value) > 128:
        return None
    row = view.execute(select(TOKENS).where(TOKENS.c.token_hash == vault.hash(value.encode()))).first()
    if row is None or (row.until_ms is not None and row.until_ms <= now_ms):
        return None
    return Actor(f"token:{row.name}", Role(row.role), row.owner_id)


def _token(row: Row[Any]) -> TokenRecord:
    created, until = utc_text(row.created_ms) or "", utc_text(row.until_ms)
    return TokenRecord(row.id, row.name, Role(row.role), row.owner_id, created, until)
