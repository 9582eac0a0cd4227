"""The lint over the registry, on both databases: what is forgotten there is found, and in bounded number."""

import pytest

from extauthz.lint import registry_facts as facts
from extauthz.registry import apps, credentials, grants
from tests.stores.registry.desk import MAPS, SHOP

DAY_MS = 86_400_000


@pytest.fixture
def busy(desk):
    """`shop-web` has a key and `geocode` for ten days; `idle` has nothing, `off` is disabled, `keyless` has `TEST`."""
    desk.now = desk.store.now_ms()
    for app in ("idle", "off", "keyless"):
        desk.do(lambda tx, app=app: apps.create_app(tx, SHOP, app, "shop", "An app"))
    desk.do(lambda tx: apps.change_app(tx, SHOP, "off", disabled=True))
    desk.do(lambda tx: credentials.create_key(tx, desk.vault, SHOP, "shop-web"))
    give = lambda app, stage, until: desk.do(  # noqa: E731
        lambda tx: grants.grant(tx, MAPS, [app], ["geocode"], stage, until_ms=until)
    )
    give("shop-web", "RELEASE", desk.now + 10 * DAY_MS)
    give("keyless", "TEST", None)
    return desk


def seen(desk, apis=("geocode",), now_ms=None, days=30):
    return desk.see(facts.registry_facts, apis, now_ms or desk.now, days * DAY_MS)


def test_apps_without_grant_or_credential_are_told_unless_they_are_disabled(busy):
    found = seen(busy)
    assert [app for app, _ in found.without_grant.first] == ["idle"]
    assert [app for app, _ in found.without_credential.first] == ["idle", "keyless"]
    assert found.granted_apis == {"geocode"}


def test_grants_that_end_or_have_ended_are_told_apart(busy):
    soon, too_early, past = seen(busy), seen(busy, days=5), seen(busy, now_ms=busy.now + 11 * DAY_MS)
    assert [grant[:3] for grant in soon.ending.first] == [("shop-web", "geocode", "RELEASE")]
    assert (soon.ended.count, too_early.ending.count) == (0, 0)
    assert (past.ending.count, past.ended.count) == (0, 1)
    assert past.granted_apis == frozenset(), "the other grant is of an app without a credential"


def test_grants_of_apis_that_the_file_does_not_have_are_told(busy):
    found = seen(busy, apis=("other",))
    assert {(app, api) for app, api, *_ in found.unserved.first} == {("shop-web", "geocode"), ("keyless", "geocode")}
    assert seen(busy).unserved.count == 0


def test_of_many_entries_the_first_are_read_and_the_rest_is_counted(busy, monkeypatch):
    monkeypatch.setattr(facts, "MOST", 2)
    for number in range(4):
        busy.do(lambda tx, number=number: apps.create_app(tx, SHOP, f"idle-{number}", "shop", "An app"))
    found = seen(busy).without_grant
    assert ([app for app, _ in found.first], found.count) == (["idle", "idle-0"], 5)
