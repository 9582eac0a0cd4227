"""AppKey/AppSecret pairs of apps. A secret is shown when it is made, and by a reveal that the audit trail keeps."""

from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select, update

from extauthz.registry.apps import get_app
from extauthz.registry.audit import record
from extauthz.registry.credential_records import KeyRecord, NewKey
from extauthz.registry.database.sealing import SealBroken, Vault
from extauthz.registry.database.store import Transaction
from extauthz.registry.database.tables import KEY_PAIRS, LAST_USES
from extauthz.registry.errors import Conflict, Invalid, Unknown
from extauthz.registry.rules import Action, Actor
from extauthz.registry.text import (
    checked_credential,
    checked_secret,
    new_app_key,
    new_secret,
    utc_text,
)

MAX_OVERLAP_MS: Final = 90 * 86_400_000
"""How long at most the secret before a rotation stays valid."""
MAX_OF_AN_APP: Final = 50
"""Key pairs, and AppCodes, of one app."""


def create_key(
    tx: Transaction, vault: Vault, actor: Actor, app_id: str, app_key: str | None = None, secret: str | None = None
) -> NewKey:
    """Another key pair of an app; its first one is the default. Raises Unknown, Invalid, Conflict."""
    get_app(tx.connection, actor, app_id, Action.CREATE_CREDENTIAL)
    app_key = new_app_key() if app_key is None else checked_credential("app_key", app_key)
    secret = new_secret() if secret is None else checked_secret("app_secret", secret)
    others = list(tx.connection.execute(select(KEY_PAIRS.c.app_key).where(KEY_PAIRS.c.app_id == app_id)))
    if len(others) >= MAX_OF_AN_APP:
        raise Conflict(f"app `{app_id}` has {MAX_OF_AN_APP} key pairs, which is the most; delete one first")
    if tx.connection.execute(select(KEY_PAIRS.c.app_id).where(KEY_PAIRS.c.app_key == app_key)).first():
        raise Conflict(f"AppKey `{app_key}` is taken; choose another one")
    if place := tx.elsewhere("key", app_key):
        raise Conflict(f"AppKey `{app_key}` stands in {place} too; choose another one")
    tx.connection.execute(
        insert(KEY_PAIRS).values(
            app_key=app_key, app_id=app_id, is_default=not others, secret=vault.sealer.seal(secret.encode(), app_key),
            created_ms=tx.now_ms,
        )
    )  # fmt: skip
    tx.changed("key", app_key)
    made = get_key(tx.connection, actor, app_key)
    record(tx, actor, Action.CREATE_CREDENTIAL, f"key/{app_key}", after=_told(made))
    return NewKey(made, secret)


def rotate_key(
    tx: Transaction, vault: Vault, actor: Actor, app_key: str, overlap_ms: int = 0, secret: str | None = None
) -> NewKey:
    """Give a key pair a new secret; the one before it stays valid for ``overlap_ms``. Raises Unknown, Invalid."""
    if not 0 <= overlap_ms <= MAX_OVERLAP_MS:
        raise Invalid("overlap", f"must be between 0 and {MAX_OVERLAP_MS // 86_400_000} days")
    row = _key_row(tx.connection, actor, app_key, Action.ROTATE_CREDENTIAL)
    before = _key(row)
    secret = new_secret() if secret is None else checked_secret("app_secret", secret)
    kept = {"previous_secret": row.secret, "previous_until_ms": tx.now_ms + overlap_ms}
    dropped = {"previous_secret": None, "previous_until_ms": None}
    tx.connection.execute(
        update(KEY_PAIRS)
        .where(KEY_PAIRS.c.app_key == app_key)
        .values(
            secret=vault.sealer.seal(secret.encode(), app_key),
            rotated_ms=tx.now_ms,
            **(kept if overlap_ms else dropped),
        )
    )
    tx.changed("key", app_key)
    after = get_key(tx.connection, actor, app_key)
    record(tx, actor, Action.ROTATE_CREDENTIAL, f"key/{app_key}", before=_told(before), after=_told(after))
    return NewKey(after, secret)


def set_secrets(
    tx: Transaction,
    vault: Vault,
    actor: Actor,
    app_key: str,
    secret: str,
    previous: str | None = None,
    previous_until_ms: int | None = None,
) -> bool:
    """Let a key pair have these secrets and no others, and say whether it did not. Raises Unknown, Invalid.

    ``previous`` is valid too, until ``previous_until_ms``.
    """
    checked_secret("app_secret", secret)
    if previous is not None:
        checked_secret("previous", previous)
    row = _key_row(tx.connection, actor, app_key, Action.ROTATE_CREDENTIAL)
    wanted = (secret, previous, previous_until_ms)
    if _secrets(vault, row, tx.now_ms) == wanted:
        return False
    tx.connection.execute(
        update(KEY_PAIRS)
        .where(KEY_PAIRS.c.app_key == app_key)
        .values(
            secret=vault.sealer.seal(secret.encode(), app_key),
            rotated_ms=tx.now_ms,
            previous_secret=None if previous is None else vault.sealer.seal(previous.encode(), app_key),
            previous_until_ms=previous_until_ms,
        )
    )
    tx.changed("key", app_key)
    after = get_key(tx.connection, actor, app_key)
    record(tx, actor, Action.ROTATE_CREDENTIAL, f"key/{app_key}", before=_told(_key(row)), after=_told(after))
    return True


def end_previous_secret(tx: Transaction, actor: Actor, app_key: str) -> KeyRecord:
    """Let only the newest secret of a key pair be valid from now on. Raises Unknown, Conflict."""
    row = _key_row(tx.connection, actor, app_key, Action.ROTATE_CREDENTIAL)
    if row.previous_secret is None:
        raise Conflict(f"AppKey `{app_key}` has no previous secret")
    tx.connection.execute(
        update(KEY_PAIRS).where(KEY_PAIRS.c.app_key == app_key).values(previous_secret=None, previous_until_ms=None)
    )
    tx.changed("key", app_key)
    after = get_key(tx.connection, actor, app_key)
    record(tx, actor, Action.ROTATE_CREDENTIAL, f"key/{app_key}", before=_told(_key(row)), after=_told(after))
    return after


def reveal_secret(tx: Transaction, vault: Vault, actor: Actor, app_key: str) -> str:
    """The newest secret of a key pair in clear; the audit trail keeps that it was shown. Raises Unknown, SealBroken."""
    row = _key_row(tx.connection, actor, app_key, Action.REVEAL_SECRET)
    record(tx, actor, Action.REVEAL_SECRET, f"key/{app_key}")
    return vault.sealer.open(row.secret, app_key).decode()


def delete_key(tx: Transaction, actor: Actor, app_key: str) -> None:
    """Remove a key pair; the default one only with its app (vendor: DeleteAppKey). Raises Unknown, Conflict."""
    row = _key_row(tx.connection, actor, app_key, Action.DELETE_CREDENTIAL)
    if row.is_default:
        raise Conflict(f"AppKey `{app_key}` is the default one of its app; rotate it, or delete the app")
    tx.connection.execute(delete(KEY_PAIRS).where(KEY_PAIRS.c.app_key == app_key))
    tx.changed("key", app_key)
    record(tx, actor, Action.DELETE_CREDENTIAL, f"key/{app_key}", before=_told(_key(row)))


def get_key(view: Connection, actor: Actor, app_key: str) -> KeyRecord:
    """A key pair without its secrets. Raises Unknown."""
    return _key(
        _key_row(view, actor, app_key, Action.READ_APP), last_uses(view, [f"key/{app_key}", f"previous/{app_key}"])
    )


def list_keys(view: Connection, actor: Actor, app_id: str) -> list[KeyRecord]:
    """The key pairs of an app, the default one first. Raises Unknown."""
    get_app(view, actor, app_id)
    order = (KEY_PAIRS.c.is_default.desc(), KEY_PAIRS.c.created_ms, KEY_PAIRS.c.app_key)
    rows = list(view.execute(select(KEY_PAIRS).where(KEY_PAIRS.c.app_id == app_id).order_by(*order)))
    uses = last_uses(view, [f"{kind}/{row.app_key}" for row in rows for kind in ("key", "previous")])
    return [_key(row, uses) for row in rows]


def _key_row(view: Connection, actor: Actor, app_key: str, action: Action) -> Row[Any]:
    row = view.execute(select(KEY_PAIRS).where(KEY_PAIRS.c.app_key == app_key)).first()
    if row is not None:
        get_app(view, actor, row.app_id, action)
        if action is not Action.READ_APP:  # whoever had the app until now may have rotated the key, or removed it
            row = view.execute(select(KEY_PAIRS).where(KEY_PAIRS.c.app_key == app_key)).first()
    if row is None:
        raise Unknown("AppKey", app_key)
    return row


def _secrets(vault: Vault, row: Row[Any], now_ms: int) -> tuple[str, str | None, int | None] | None:
    """Which secrets of a key pair are valid, and until when the older one is. None: they cannot be opened."""
    is_over = row.previous_until_ms is None or row.previous_until_ms <= now_ms
    try:
        secret = vault.sealer.open(row.secret, row.app_key).decode()
        if is_over:
            return secret, None, None
        return secret, vault.sealer.open(row.previous_secret, row.app_key).decode(), row.previous_until_ms
    except SealBroken:
        return None


def _key(row: Row[Any], uses: dict[str, int] | None = None) -> KeyRecord:
    used = uses or {}
    return KeyRecord(
        app_key=row.app_key,
        app=row.app_id,
        is_default=bool(row.is_default),
        created=utc_text(row.created_ms) or "",
        rotated=utc_text(row.rotated_ms),
        previous_until=utc_text(row.previous_until_ms),
        last_used=utc_text(used.get(f"key/{row.app_key}")),
        previous_last_used=utc_text(used.get(f"previous/{row.app_key}")),
    )


def last_uses(view: Connection, credentials: list[str]) -> dict[str, int]:
    """When credentials were last used, in milliseconds since 1970, by kind and name; those that were."""
    if not credentials:
        return {}
    query = select(LAST_USES.c.credential, LAST_USES.c.used_ms).where(LAST_USES.c.credential.in_(credentials))
    return {row.credential: row.used_ms for row in view.execute(query)}


def _told(key: KeyRecord) -> dict[str, Any]:
    """What the audit trail keeps of a key pair."""
    return {name: value for name, value in asdict(key).items() if not name.endswith("last_used")}
