"""The rotation of the master key: everything that is sealed is opened and sealed with the newest one."""

from typing import Any, Final

from sqlalchemy import Row, select, update

from extauthz.registry.database.sealing import HASH_KEY_LABEL, Sealer, idempotency_label
from extauthz.registry.database.store import Store
from extauthz.registry.database.tables import IDEMPOTENCY, KEY_PAIRS, REVISION

_AT_A_TIME: Final = 500


def reseal(store: Store, sealer: Sealer) -> int:
    """Bring every sealed value to the newest master key; how many were not. Raises SealBroken, Conflict.

    A few hundred key pairs in one transaction, so that nobody waits long, and what is done stays done.
    """
    count = 0
    with store.changing() as tx:
        sealed = bytes(tx.connection.execute(select(REVISION.c.hash_key)).scalar_one())
        if not sealer.is_current(sealed):
            opened = sealer.open(sealed, HASH_KEY_LABEL)
            tx.connection.execute(update(REVISION).values(hash_key=sealer.seal(opened, HASH_KEY_LABEL)))
            count += 1
        for row in list(tx.connection.execute(select(IDEMPOTENCY))):  # a day's creations at most
            if not sealer.is_current(bytes(row.answer)):
                label = idempotency_label(row.actor, row.key)
                answer = sealer.seal(sealer.open(bytes(row.answer), label), label)
                place = (IDEMPOTENCY.c.actor == row.actor) & (IDEMPOTENCY.c.key == row.key)
                tx.connection.execute(update(IDEMPOTENCY).where(place).values(answer=answer))
                count += 1
    after = ""
    while True:
        with store.changing() as tx:
            query = select(KEY_PAIRS).where(KEY_PAIRS.c.app_key > after).order_by(KEY_PAIRS.c.app_key)
            rows = list(tx.connection.execute(query.limit(_AT_A_TIME).with_for_update()))
            for row in rows:
                changed = _changed(row, sealer)
                if changed:
                    tx.connection.execute(update(KEY_PAIRS).where(KEY_PAIRS.c.app_key == row.app_key).values(**changed))
                    tx.changed("key", row.app_key)
                count += len(changed)
        if not rows:
            return count
        after = rows[-1].app_key


def _changed(row: Row[Any], sealer: Sealer) -> dict[str, bytes]:
    """The columns of a key pair that an older master key sealed, sealed anew."""
    columns = {"secret": row.secret, "previous_secret": row.previous_secret}
    return {
        name: sealer.seal(sealer.open(bytes(sealed), row.app_key), row.app_key)
        for name, sealed in columns.items()
        if sealed is not None and not sealer.is_current(bytes(sealed))
    }
