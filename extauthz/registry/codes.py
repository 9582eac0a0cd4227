"""The AppCodes of apps: kept as keyed hashes, so that one is shown when it is made and never again."""

import uuid
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from extauthz.domain.app import hash_app_code
from extauthz.registry.apps import get_app
from extauthz.registry.audit import record
from extauthz.registry.credential_records import CodeRecord, NewCode
from extauthz.registry.credentials import MAX_OF_AN_APP, last_uses
from extauthz.registry.database.sealing import Vault
from extauthz.registry.database.store import Transaction
from extauthz.registry.database.tables import APP_CODES
from extauthz.registry.errors import Conflict, Unknown
from extauthz.registry.rules import Action, Actor
from extauthz.registry.text import checked_credential, new_app_code, utc_text


def create_code(tx: Transaction, vault: Vault, actor: Actor, app_id: str, code: str | None = None) -> NewCode:
    """Another AppCode of an app. Raises Unknown, Invalid, Conflict."""
    get_app(tx.connection, actor, app_id, Action.CREATE_CREDENTIAL)
    code = new_app_code() if code is None else checked_credential("app_code", code)
    others = list(tx.connection.execute(select(APP_CODES.c.id).where(APP_CODES.c.app_id == app_id)))
    if len(others) >= MAX_OF_AN_APP:
        raise Conflict(f"app `{app_id}` has {MAX_OF_AN_APP} AppCodes, which is the most; delete one first")
    code_hash = vault.hash(hash_app_code(code.encode()))
    if tx.connection.execute(select(APP_CODES.c.id).where(APP_CODES.c.code_hash == code_hash)).first():
        raise Conflict("this AppCode is taken; choose another one")
    if place := tx.elsewhere("code", code):
        raise Conflict(f"this AppCode stands in {place} too; choose another one")
    code_id = str(uuid.uuid4())
    tx.connection.execute(
        insert(APP_CODES).values(id=code_id, app_id=app_id, code_hash=code_hash, hint=code[-4:], created_ms=tx.now_ms)
    )
    tx.changed("code", code_hash.hex())
    made = CodeRecord(code_id, app_id, code[-4:], utc_text(tx.now_ms) or "")
    record(tx, actor, Action.CREATE_CREDENTIAL, f"code/{code_id}", after=asdict(made))
    return NewCode(made, code)


def delete_code(tx: Transaction, actor: Actor, code_id: str) -> None:
    """Remove an AppCode. Raises Unknown."""
    row = tx.connection.execute(select(APP_CODES).where(APP_CODES.c.id == code_id)).first()
    if row is None:
        raise Unknown("AppCode", code_id)
    get_app(tx.connection, actor, row.app_id, Action.DELETE_CREDENTIAL)
    if not tx.connection.execute(delete(APP_CODES).where(APP_CODES.c.id == code_id)).rowcount:
        raise Unknown("AppCode", code_id)
    tx.changed("code", row.code_hash.hex())
    record(tx, actor, Action.DELETE_CREDENTIAL, f"code/{code_id}", before=asdict(_code(row, {})))


def id_of_code(view: Connection, vault: Vault, app_id: str, code: str) -> str | None:
    """The id of an AppCode that an app has, or None."""
    hashed = vault.hash(hash_app_code(code.encode()))
    query = select(APP_CODES.c.id).where(APP_CODES.c.app_id == app_id, APP_CODES.c.code_hash == hashed)
    found: str | None = view.execute(query).scalar()
    return found


def list_codes(view: Connection, actor: Actor, app_id: str) -> list[CodeRecord]:
    """The AppCodes of an app. Raises Unknown."""
    get_app(view, actor, app_id)
    query = select(APP_CODES).where(APP_CODES.c.app_id == app_id).order_by(APP_CODES.c.created_ms, APP_CODES.c.id)
    rows = list(view.execute(query))
    uses = last_uses(view, [f"code/{row.id}" for row in rows])
    return [_code(row, uses) for row in rows]


def _code(row: Row[Any], uses: dict[str, int]) -> CodeRecord:
    created = utc_text(row.created_ms) or ""
    return CodeRecord(row.id, row.app_id, row.hint, created, utc_text(uses.get(f"code/{row.id}")))
