"""When credentials were last used: noted beside the path of a check, written in bulk, late, and bounded."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from extauthz.registry.database.store import Store
from extauthz.registry.database.tables import LAST_USES
from extauthz.registry.replica.folder import Use

_TOGETHER: Final = 100


def write_uses(store: Store, uses: Mapping[str, Use]) -> None:
    """Keep the latest use of each credential, and every network that it came by. No part of any revision."""
    names = sorted(uses)  # in one order, so that two hosts do not wait for each other in a circle
    insert: Any = sqlite.insert if store.is_sqlite else postgresql.insert
    for start in range(0, len(names), _TOGETHER):
        some = names[start : start + _TOGETHER]
        with store.changing() as tx:
            query = select(LAST_USES).where(LAST_USES.c.credential.in_(some))
            known = {row.credential: row for row in tx.connection.execute(query)}
            rows = [_row(name, uses[name], known.get(name)) for name in some]
            adding = insert(LAST_USES).values(rows)
            columns = {name: adding.excluded[name] for name in ("app_id", "used_ms", "networks")}
            tx.connection.execute(adding.on_conflict_do_update(index_elements=["credential"], set_=columns))


def _row(credential: str, use: Use, known: Any) -> dict[str, Any]:
    networks = {*use.networks, *(known.networks.split(",") if known and known.app_id == use.app_id else ())} - {""}
    used_ms = use.used_ms if known is None else max(use.used_ms, known.used_ms)
    return {
        "credential": credential, "app_id": use.app_id, "used_ms": used_ms, "networks": ",".join(sorted(networks))
    }  # fmt: skip
