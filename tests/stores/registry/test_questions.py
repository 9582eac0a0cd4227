"""Questions backwards, over both databases: each answers what is so, and only what the asker may see."""

import pytest
from sqlalchemy import insert

from extauthz.registry import apis, apps, codes, credentials, grants, questions, requests
from extauthz.registry.database.tables import LAST_USES
from extauthz.registry.errors import Forbidden, Invalid, Unknown
from tests.stores.registry.desk import ADMIN, MAPS, MAPS_CONSUMER, READER, SHOP, SHOP_READER

DAY_MS = 86_400_000


@pytest.fixture
def busy(desk):
    """`shop-web` has `geocode` for good and `route` for ten days, `maps-own` has `geocode`, and `gone` had it."""
    desk.do(lambda tx: apis.register_api(tx, MAPS, "route", "maps"))
    desk.do(lambda tx: apps.create_app(tx, MAPS_CONSUMER, "maps-own", "maps", "Own app"))
    desk.do(lambda tx: apps.create_app(tx, SHOP, "gone", "shop", "Former app"))
    desk.now = desk.store.now_ms()
    give = lambda app, api, until=None, stage="RELEASE": desk.do(  # noqa: E731
        lambda tx: grants.grant(tx, MAPS, [app], [api], stage, until_ms=until)
    )
    give("shop-web", "geocode")
    give("shop-web", "route", desk.now + 10 * DAY_MS)
    give("maps-own", "geocode", desk.now + 40 * DAY_MS)
    give("gone", "geocode", desk.now + DAY_MS)
    desk.later = desk.now + 2 * DAY_MS
    return desk


def test_who_may_call_an_api_leaves_out_what_has_ended(busy):
    def callers(who, **options):
        return [one.app for one in busy.see(questions.who_may_call, who, "geocode", busy.later, **options)]

    assert callers(ADMIN) == callers(MAPS) == callers(READER) == ["maps-own", "shop-web"]
    assert callers(SHOP) == callers(SHOP_READER) == ["shop-web"], "a consumer sees its own apps"
    assert callers(ADMIN, stage="TEST") == []
    assert callers(ADMIN, after=("maps-own", "RELEASE")) == ["shop-web"]
    with pytest.raises(Unknown, match="API `nothing`"):
        busy.see(questions.who_may_call, ADMIN, "nothing", busy.later)


def test_what_an_app_may_call_is_told_to_its_owner_and_of_their_own_apis_to_providers(busy):
    def callable_by(who, app):
        return [one.api for one in busy.see(questions.may_call, who, app, busy.later)]

    assert callable_by(ADMIN, "shop-web") == callable_by(SHOP, "shop-web") == ["geocode", "route"]
    assert callable_by(MAPS, "shop-web") == ["geocode", "route"]
    assert callable_by(SHOP, "gone") == []
    for who, app in ((SHOP, "maps-own"), (MAPS, "gone"), (ADMIN, "nobody")):
        with pytest.raises(Unknown, match=f"app `{app}` does not exist"):
            callable_by(who, app)


def test_grants_that_end_soon_come_in_the_order_of_their_ends(busy):
    def ending(who, days, **options):
        return [(one.app, one.api) for _, one in busy.see(questions.ending_grants, who, busy.now, days, **options)]

    assert ending(ADMIN, 30) == [("gone", "geocode"), ("shop-web", "route")]
    assert ending(ADMIN, 60) == [("gone", "geocode"), ("shop-web", "route"), ("maps-own", "geocode")]
    assert ending(SHOP, 60) == [("gone", "geocode"), ("shop-web", "route")]
    assert ending(ADMIN, 60, limit=1) == [("gone", "geocode")]
    assert ending(ADMIN, 60, after=(busy.now + DAY_MS, "gone", "geocode", "RELEASE"))[0] == ("shop-web", "route")
    assert [one for _, one in busy.see(questions.ending_grants, ADMIN, busy.later, 1)] == [], "what ended ends no more"
    with pytest.raises(Invalid, match="between 1 and"):
        ending(ADMIN, 0)


def test_unused_credentials_are_old_ones_that_proved_no_app_for_as_long(desk):
    def unused(who, now_ms):
        return [(one.kind, one.id, one.last_used is None) for one in
                desk.see(questions.unused_credentials, who, now_ms, 90)]  # fmt: skip

    desk.do(lambda tx: credentials.create_key(tx, desk.vault, SHOP, "shop-web", "used-lately"))
    desk.do(lambda tx: credentials.create_key(tx, desk.vault, SHOP, "shop-web", "used-before"))
    code = desk.do(lambda tx: codes.create_code(tx, desk.vault, SHOP, "shop-web")).code.id
    now = desk.store.now_ms()
    assert unused(ADMIN, now) == [], "none is 90 days old"
    later = now + 100 * DAY_MS
    uses = [("key/used-lately", later - DAY_MS), ("key/used-before", now + 5 * DAY_MS)]
    rows = [{"credential": name, "app_id": "shop-web", "used_ms": at} for name, at in uses]
    desk.do(lambda tx: tx.connection.execute(insert(LAST_USES), rows))
    expected = [("code", code, True), ("key", "used-before", False)]
    assert unused(ADMIN, later) == unused(SHOP, later) == unused(READER, later) == expected
    assert unused(MAPS, later) == []
    found = desk.see(questions.unused_credentials, ADMIN, later, 90, after=("code", code))
    assert [one.id for one in found] == ["used-before"]


def test_why_an_app_may_or_may_not_call_an_api_now(busy):
    def verdict(app="shop-web", api="geocode", stage="RELEASE", who=ADMIN):
        found = busy.see(questions.can, who, app, api, stage, busy.later)
        assert found.may == (found.reason == "allowed")
        return found.reason, found.why

    assert verdict() == ("no_credential", "app `shop-web` has neither a key pair nor an AppCode; create one")
    busy.do(lambda tx: credentials.create_key(tx, busy.vault, SHOP, "shop-web"))
    assert verdict() == ("allowed", "granted by the provider (`maps-provider`) without an end")
    assert verdict(who=SHOP) == verdict(who=MAPS) == verdict(who=READER) == verdict()
    assert verdict("gone")[0] == "grant_expired"
    assert verdict(stage="TEST")[1].endswith("in stage TEST, only in RELEASE")
    asked = busy.do(lambda tx: requests.ask(tx, SHOP, "shop-web", "geocode", "TEST", "for maps"))
    assert verdict(stage="test") == (
        "not_granted",
        f"app `shop-web` has no grant for API `geocode` in stage TEST; access request `{asked.id}` is pending",
    )
    assert verdict("maps-own", "route")[1].endswith("; grant it, or ask for access")
    assert verdict(stage="PRE") == ("stage_not_published", "API `geocode` is published in RELEASE, TEST, not in PRE")
    busy.do(lambda tx: apps.change_app(tx, SHOP, "shop-web", disabled=True))
    assert verdict() == ("app_disabled", "app `shop-web` is disabled; enable it")


def test_a_stranger_to_both_sides_learns_nothing(busy):
    busy.do(lambda tx: apps.create_owner(tx, ADMIN, "tiles"))
    busy.do(lambda tx: apis.register_api(tx, ADMIN, "tile", "tiles"))
    for app in ("maps-own", "nobody"):
        with pytest.raises((Unknown, Forbidden), match=f"app `{app}` does not exist"):
            busy.see(questions.can, SHOP, app, "tile", "RELEASE", busy.now)
