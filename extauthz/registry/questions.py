"""Questions backwards: who may call an API, what may an app call, what ends, what is unused, and why.

Each answer shows what the asker may see and nothing else: an app to its owner, a grant to the owners of both sides.
"""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, func, literal, or_, select, tuple_, union_all

from extauthz.registry.apis import get_api
from extauthz.registry.apps import get_app
from extauthz.registry.database.tables import ACCESS_REQUESTS, APIS, APP_CODES, APPS, GRANTS, KEY_PAIRS, LAST_USES
from extauthz.registry.errors import Invalid, Unknown
from extauthz.registry.rules import Action, Actor, Role, permitted
from extauthz.registry.text import checked_stage, utc_text

DAY_MS: Final = 86_400_000
LONGEST_DAYS: Final = 3650


@dataclass(frozen=True, slots=True)
class LiveGrant:
    """A grant that lets its app call now, or would if the app were not disabled."""

    app: str
    app_owner: str
    app_disabled: bool
    api: str
    api_owner: str
    stage: str
    until: str | None
    """ISO 8601, UTC; None: it does not end."""
    side: str
    granted_by: str


@dataclass(frozen=True, slots=True)
class UnusedCredential:
    """A credential that proved no app for a while. ``id`` is the AppKey, or the id of an AppCode."""

    kind: str
    """key or code."""
    id: str
    app: str
    owner: str
    created: str
    last_used: str | None
    """ISO 8601, UTC; None: never."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an app may call an API in a stage now, as far as the registry decides it."""

    app: str
    api: str
    stage: str
    may: bool
    reason: str
    """As a check says it: allowed, app_disabled, not_granted, grant_expired; or no_credential, stage_not_published."""
    why: str
    """The same for people, with what to do about it."""
    until: str | None
    """When the grant ends or has ended, ISO 8601, UTC; None: there is none, or it does not end."""


def who_may_call(
    view: Connection,
    actor: Actor,
    api_id: str,
    now_ms: int,
    *,
    stage: str | None = None,
    after: tuple[str, str] = ("", ""),
    limit: int = 100,
) -> list[LiveGrant]:
    """The live grants of an API by app and stage, from behind ``after``. Raises Unknown, Invalid."""
    get_api(view, actor, api_id)
    query = _live(actor, now_ms).where(GRANTS.c.api_id == api_id)
    if stage is not None:
        query = query.where(GRANTS.c.stage == checked_stage("stage", stage).value)
    place = (GRANTS.c.app_id, GRANTS.c.stage)
    query = query.where(tuple_(*place) > tuple_(*map(literal, after)))
    return [_grant(row) for row in view.execute(query.order_by(*place).limit(limit))]


def may_call(
    view: Connection, actor: Actor, app_id: str, now_ms: int, *, after: tuple[str, str] = ("", ""), limit: int = 100
) -> list[LiveGrant]:
    """The live grants of an app by API and stage, from behind ``after``. Raises Unknown.

    Who may not see the app is told of the grants to their own APIs, and where there are none, nothing.
    """
    place = (GRANTS.c.api_id, GRANTS.c.stage)
    query = _live(actor, now_ms).where(GRANTS.c.app_id == app_id, tuple_(*place) > tuple_(*map(literal, after)))
    found = [_grant(row) for row in view.execute(query.order_by(*place).limit(limit))]
    if not found and after == ("", ""):
        get_app(view, actor, app_id)
    return found


def ending_grants(
    view: Connection,
    actor: Actor,
    now_ms: int,
    days: int,
    *,
    after: tuple[int, str, str, str] = (0, "", "", ""),
    limit: int = 100,
) -> list[tuple[int, LiveGrant]]:
    """The live grants that end within ``days``, the next one first, each with its end in milliseconds. Raises Invalid.

    ``after``: end, app, API and stage of the last one that is known.
    """
    query = _live(actor, now_ms).where(GRANTS.c.until_ms <= now_ms + _days(days) * DAY_MS)
    place = (GRANTS.c.until_ms, GRANTS.c.app_id, GRANTS.c.api_id, GRANTS.c.stage)
    query = query.where(tuple_(*place) > tuple_(*map(literal, after))).order_by(*place).limit(limit)
    return [(row.until_ms, _grant(row)) for row in view.execute(query)]


def unused_credentials(
    view: Connection, actor: Actor, now_ms: int, days: int, *, after: tuple[str, str] = ("", ""), limit: int = 100
) -> list[UnusedCredential]:
    """Credentials at least ``days`` old that were not used for as long, by kind and id. Raises Invalid.

    A newest AppSecret counts as its key pair; what a rotation left behind has an end of its own.
    """
    since_ms = now_ms - _days(days) * DAY_MS
    kinds = (("code", APP_CODES, APP_CODES.c.id), ("key", KEY_PAIRS, KEY_PAIRS.c.app_key))
    found = union_all(
        *(
            select(
                literal(kind).label("kind"), column.label("id"), table.c.app_id, APPS.c.owner_id, table.c.created_ms,
                LAST_USES.c.used_ms,
            )
            .join(APPS, APPS.c.id == table.c.app_id)
            .outerjoin(LAST_USES, LAST_USES.c.credential == literal(f"{kind}/") + column)
            .where(table.c.created_ms <= since_ms, func.coalesce(LAST_USES.c.used_ms, 0) <= since_ms)
            for kind, table, column in kinds
        )
    ).subquery()  # fmt: skip
    place = (found.c.kind, found.c.id)
    query = select(found).where(tuple_(*place) > tuple_(*map(literal, after))).order_by(*place).limit(limit)
    if _sees_own_only(actor):
        query = query.where(found.c.owner_id == actor.owner_id)
    return [
        UnusedCredential(
            row.kind, row.id, row.app_id, row.owner_id, utc_text(row.created_ms) or "", utc_text(row.used_ms)
        )
        for row in view.execute(query)
    ]


def can(view: Connection, actor: Actor, app_id: str, api_id: str, stage: str, now_ms: int) -> Verdict:
    """Why an app may or may not call an API in a stage now. Raises Unknown, Invalid.

    The owners of either side may ask. What the configuration demands beside the registry (a method of authentication,
    a network, IP control) shows only in a call itself.
    """
    api = get_api(view, actor, api_id)
    app = view.execute(select(APPS).where(APPS.c.id == app_id)).first()
    if app is None or not permitted(actor, Action.READ_GRANT, app_owner=app.owner_id, api_owner=api.owner):
        raise Unknown("app", app_id)
    wanted = checked_stage("stage", stage).value
    place = (GRANTS.c.app_id == app_id) & (GRANTS.c.api_id == api_id) & (GRANTS.c.stage == wanted)
    grant = view.execute(select(GRANTS).where(place)).first()
    until_ms = None if grant is None else grant.until_ms
    until = utc_text(until_ms)
    if wanted not in api.stages:
        reason, why = "stage_not_published", f"API `{api_id}` is published in {', '.join(api.stages)}, not in {wanted}"
    elif app.disabled:
        reason, why = "app_disabled", f"app `{app_id}` is disabled; enable it"
    elif grant is None:
        reason, why = "not_granted", _why_not_granted(view, app_id, api_id, wanted)
    elif until_ms is not None and until_ms <= now_ms:
        reason, why = "grant_expired", f"the grant ended at {until}; grant it again with a later end, or without one"
    elif not _has_credential(view, app_id):
        reason, why = "no_credential", f"app `{app_id}` has neither a key pair nor an AppCode; create one"
    else:
        end = "without an end" if until is None else f"until {until}"
        reason, why = "allowed", f"granted by the {grant.side} (`{grant.granted_by}`) {end}"
    return Verdict(app_id, api_id, wanted, reason == "allowed", reason, why, until)


def _why_not_granted(view: Connection, app_id: str, api_id: str, stage: str) -> str:
    why = f"app `{app_id}` has no grant for API `{api_id}` in stage {stage}"
    others = select(GRANTS.c.stage).where(GRANTS.c.app_id == app_id, GRANTS.c.api_id == api_id).order_by(GRANTS.c.stage)
    stages = list(view.execute(others).scalars())
    asked = select(ACCESS_REQUESTS.c.id).where(
        ACCESS_REQUESTS.c.app_id == app_id, ACCESS_REQUESTS.c.api_id == api_id, ACCESS_REQUESTS.c.stage == stage,
        ACCESS_REQUESTS.c.state == "pending",
    )  # fmt: skip
    waiting = view.execute(asked.limit(1)).scalar()
    if waiting is not None:
        return f"{why}; access request `{waiting}` is pending"
    return f"{why}, only in {', '.join(stages)}" if stages else f"{why}; grant it, or ask for access"


def _has_credential(view: Connection, app_id: str) -> bool:
    return any(
        view.execute(select(table.c.app_id).where(table.c.app_id == app_id).limit(1)).first()
        for table in (KEY_PAIRS, APP_CODES)
    )


def _live(actor: Actor, now_ms: int) -> Any:
    """The grants that have not ended and that the actor may see, joined with both sides."""
    columns: list[Any] = [
        GRANTS, APPS.c.owner_id.label("app_owner"), APPS.c.disabled, APIS.c.owner_id.label("api_owner"),
    ]  # fmt: skip
    query = select(*columns).join(APPS, APPS.c.id == GRANTS.c.app_id).join(APIS, APIS.c.id == GRANTS.c.api_id)
    query = query.where(or_(GRANTS.c.until_ms.is_(None), GRANTS.c.until_ms > now_ms))
    if _sees_own_only(actor):
        query = query.where(or_(APPS.c.owner_id == actor.owner_id, APIS.c.owner_id == actor.owner_id))
    return query


def _sees_own_only(actor: Actor) -> bool:
    return actor.role is not Role.ADMIN and not (actor.role is Role.READER and actor.owner_id is None)


def _days(days: int) -> int:
    if not 1 <= days <= LONGEST_DAYS:
        raise Invalid("days", f"must be between 1 and {LONGEST_DAYS}")
    return days


def _grant(row: Row[Any]) -> LiveGrant:
    return LiveGrant(
        app=row.app_id,
        app_owner=row.app_owner,
        app_disabled=bool(row.disabled),
        api=row.api_id,
        api_owner=row.api_owner,
        stage=row.stage,
        until=utc_text(row.until_ms),
        side=row.side,
        granted_by=row.granted_by,
    )
