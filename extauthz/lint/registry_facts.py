"""What the lint looks at in the registry: a bounded number of entries of each kind, in one view of the database."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Select, exists, func, select

from extauthz.registry.database.tables import APP_CODES, APPS, GRANTS, KEY_PAIRS

MOST: Final = 100
"""Entries of each kind that are told; of more only that there are more."""


@dataclass(frozen=True, slots=True)
class Told:
    """Entries of one kind: the first ones, and how many there are."""

    first: tuple[tuple[Any, ...], ...]
    count: int


@dataclass(frozen=True, slots=True)
class RegistryFacts:
    """What the rules over the registry read."""

    without_grant: Told
    """Apps: id and owner."""
    without_credential: Told
    """Apps: id and owner."""
    ending: Told
    """Grants that end soon: app, API, stage and end in milliseconds since 1970."""
    ended: Told
    """Grants that have ended, as before."""
    unserved: Told
    """Grants of APIs that the configuration file does not have: app, API and stage."""
    granted_apis: frozenset[str]
    """APIs of the file that some live grant of an app with a credential opens."""


def registry_facts(view: Connection, apis: Collection[str], now_ms: int, soon_ms: int) -> RegistryFacts:
    """Read them. ``apis`` are the ids of the file; ``now_ms`` and ``soon_ms`` as in ``Subject``."""
    app, grant = (APPS.c.id, APPS.c.owner_id), (GRANTS.c.app_id, GRANTS.c.api_id, GRANTS.c.stage, GRANTS.c.until_ms)
    granted = exists().where(GRANTS.c.app_id == APPS.c.id)
    proven = exists().where(KEY_PAIRS.c.app_id == APPS.c.id) | exists().where(APP_CODES.c.app_id == APPS.c.id)
    enabled = ~APPS.c.disabled
    by_end = select(*grant).order_by(GRANTS.c.until_ms, GRANTS.c.app_id, GRANTS.c.api_id, GRANTS.c.stage)
    live = (GRANTS.c.until_ms.is_(None)) | (GRANTS.c.until_ms > now_ms)
    usable = select(GRANTS.c.api_id).join(APPS, APPS.c.id == GRANTS.c.app_id).where(live, enabled, proven).distinct()
    served = {row.api_id for row in view.execute(select(GRANTS.c.api_id).distinct())}
    unserved = sorted(served.difference(apis))[:MOST]
    return RegistryFacts(
        _told(view, select(*app).where(enabled, ~granted).order_by(APPS.c.id)),
        _told(view, select(*app).where(enabled, ~proven).order_by(APPS.c.id)),
        _told(view, by_end.where(GRANTS.c.until_ms > now_ms, GRANTS.c.until_ms <= now_ms + soon_ms)),
        _told(view, by_end.where(GRANTS.c.until_ms <= now_ms)),
        _told(view, select(*grant).where(GRANTS.c.api_id.in_(unserved)).order_by(GRANTS.c.api_id, GRANTS.c.app_id)),
        frozenset({row.api_id for row in view.execute(usable)}.intersection(apis)),
    )


def _told(view: Connection, query: Select[Any]) -> Told:
    first = tuple(tuple(row) for row in view.execute(query.limit(MOST)))
    count = len(first)
    if count == MOST:
        count = view.execute(select(func.count()).select_from(query.order_by(None).subquery())).scalar_one()
    return Told(first, count)
