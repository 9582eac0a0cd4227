"""Who may do what: role x ownership x action, over both databases; and what a refused call must not change."""

import pytest

from extauthz.registry import apis, apps, audit, codes, credentials, grants, requests, tokens
from extauthz.registry.errors import Conflict, Forbidden, Invalid, Unknown
from extauthz.registry.rules import RULES, Action, Actor, Role, permitted
from tests.stores.registry.desk import (
    ADMIN,
    MAPS,
    MAPS_CONSUMER,
    READER,
    SHOP,
    SHOP_PROVIDER,
    SHOP_READER,
)

DAY_MS = 86_400_000
# What each person may do: the app belongs to `shop`, the API to `maps`, which does not let consumers grant themselves.
PEOPLE = {
    "admin": ADMIN, "shop's consumer": SHOP, "shop's provider": SHOP_PROVIDER, "maps' provider": MAPS,
    "maps' consumer": MAPS_CONSUMER, "reader of all": READER, "shop's reader": SHOP_READER,
}  # fmt: skip
ACTS = {
    "create owner": lambda desk, who: desk.do(lambda tx: apps.create_owner(tx, who, "new")),
    "create app of shop": lambda desk, who: desk.do(lambda tx: apps.create_app(tx, who, "new", "shop", "New app")),
    "read app": lambda desk, who: desk.see(apps.get_app, who, "shop-web"),
    "change app": lambda desk, who: desk.do(lambda tx: apps.change_app(tx, who, "shop-web", disabled=True)),
    "delete app": lambda desk, who: desk.do(lambda tx: apps.delete_app(tx, who, "shop-web")),
    "create key": lambda desk, who: desk.do(lambda tx: credentials.create_key(tx, desk.vault, who, "shop-web")),
    "rotate key": lambda desk, who: desk.do(lambda tx: credentials.rotate_key(tx, desk.vault, who, "shop-key-0001")),
    "reveal secret": lambda desk, who: desk.do(
        lambda tx: credentials.reveal_secret(tx, desk.vault, who, "shop-key-0001")
    ),
    "create code": lambda desk, who: desk.do(lambda tx: codes.create_code(tx, desk.vault, who, "shop-web")),
    "register API of maps": lambda desk, who: desk.do(lambda tx: apis.register_api(tx, who, "new", "maps")),
    "change API": lambda desk, who: desk.do(lambda tx: apis.change_api(tx, who, "geocode", self_grant=True)),
    "delete API": lambda desk, who: desk.do(lambda tx: apis.delete_api(tx, who, "geocode")),
    "read API": lambda desk, who: desk.see(apis.get_api, who, "geocode"),
    "grant": lambda desk, who: desk.do(lambda tx: grants.grant(tx, who, ["shop-web"], ["geocode"], "TEST")),
    "revoke provider's grant": lambda desk, who: desk.do(
        lambda tx: grants.revoke(tx, who, ["shop-web"], ["geocode"], "RELEASE")
    ),
    "ask": lambda desk, who: desk.do(lambda tx: requests.ask(tx, who, "shop-web", "geocode", "TEST", "for maps")),
    "approve": lambda desk, who: desk.do(lambda tx: requests.approve(tx, who, desk.request)),
    "withdraw": lambda desk, who: desk.do(lambda tx: requests.withdraw(tx, who, desk.request)),
    "make token": lambda desk, who: desk.do(
        lambda tx: tokens.create_token(tx, desk.vault, who, "ops team", Role.ADMIN, None)
    ),
    "read audit": lambda desk, who: desk.see(audit.list_audit, who),
}  # fmt: skip
MAY = {
    "create owner": {"admin"},
    "create app of shop": {"admin", "shop's consumer"},
    "read app": {"admin", "shop's consumer", "shop's provider", "reader of all", "shop's reader"},
    "change app": {"admin", "shop's consumer"},
    "delete app": {"admin", "shop's consumer"},
    "create key": {"admin", "shop's consumer"},
    "rotate key": {"admin", "shop's consumer"},
    "reveal secret": {"admin", "shop's consumer"},
    "create code": {"admin", "shop's consumer"},
    "register API of maps": {"admin", "maps' provider"},
    "change API": {"admin", "maps' provider"},
    "delete API": {"admin", "maps' provider"},
    "read API": set(PEOPLE),
    "grant": {"admin", "maps' provider"},
    "revoke provider's grant": {"admin", "maps' provider"},
    "ask": {"admin", "shop's consumer"},
    "approve": {"admin", "maps' provider"},
    "withdraw": {"admin", "shop's consumer"},
    "make token": {"admin"},
    "read audit": {"admin", "reader of all"},
}


@pytest.fixture
def stocked(desk):
    """With a key, a grant that the provider made, and a request that waits."""
    desk.do(lambda tx: credentials.create_key(tx, desk.vault, SHOP, "shop-web", "shop-key-0001"))
    desk.do(lambda tx: grants.grant(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
    desk.request = desk.do(lambda tx: requests.ask(tx, SHOP, "shop-web", "geocode", "RELEASE", "for maps")).id
    return desk


@pytest.mark.parametrize("act", ACTS)
def test_each_role_may_do_what_the_table_says_and_nothing_else(stocked, refuses, act):
    for person, who in PEOPLE.items():
        if person not in MAY[act]:
            refuses(stocked, (Forbidden, Unknown), lambda who=who: ACTS[act](stocked, who))


@pytest.mark.parametrize(("act", "person"), [(act, person) for act in ACTS for person in sorted(MAY[act])])
def test_each_role_can_do_what_it_may(stocked, act, person):
    ACTS[act](stocked, PEOPLE[person])


def test_every_action_is_in_the_table():
    assert set(RULES) == set(Action)
    assert all(permitted(ADMIN, action) for action in Action)
    nobody = Actor("nobody", Role.CONSUMER, None)
    assert not any(permitted(nobody, action) for action in Action if action is not Action.READ_API)


def test_a_provider_grants_another_accounts_app_by_its_id_alone(desk):
    made = desk.do(lambda tx: grants.grant(tx, MAPS, ["shop-web"], ["geocode"], "release"))
    assert [(one.app, one.api, one.stage, one.side) for one in made] == [("shop-web", "geocode", "RELEASE", "provider")]
    assert desk.see(grants.list_grants, SHOP) == made, "the consumer sees what it was given"


def test_a_consumer_grants_itself_only_where_the_apis_owner_allows_it(desk, refuses):
    def act():
        return desk.do(lambda tx: grants.grant(tx, SHOP, ["shop-web"], ["geocode"], "RELEASE"))

    refuses(desk, Forbidden, act, "does not let consumers grant themselves; ask its provider")
    desk.do(lambda tx: apis.change_api(tx, MAPS, "geocode", self_grant=True))
    assert act()[0].side == "consumer"


def test_each_side_revokes_only_what_it_granted(desk, refuses):
    desk.do(lambda tx: apis.change_api(tx, MAPS, "geocode", self_grant=True))
    desk.do(lambda tx: grants.grant(tx, SHOP, ["shop-web"], ["geocode"], "RELEASE"))
    desk.do(lambda tx: grants.grant(tx, MAPS, ["shop-web"], ["geocode"], "TEST"))
    revoke = {who: lambda stage, who=who: desk.do(lambda tx: grants.revoke(tx, who, ["shop-web"], ["geocode"], stage))
              for who in (SHOP, MAPS)}  # fmt: skip
    refuses(desk, Forbidden, lambda: revoke[MAPS]("RELEASE"), "made by the consumer, who alone can revoke it")
    refuses(desk, Forbidden, lambda: revoke[SHOP]("TEST"), "made by the provider")
    assert (revoke[SHOP]("RELEASE"), revoke[MAPS]("TEST")) == (1, 1)
    assert desk.see(grants.list_grants, ADMIN) == []


def test_a_hundred_apps_are_granted_in_one_call_or_none_of_them(desk, refuses):
    ids = [f"app-{number:03}" for number in range(100)]
    for app_id in ids:
        desk.do(lambda tx, app_id=app_id: apps.create_app(tx, SHOP, app_id, "shop", "One of many"))

    def act(app_ids):
        return desk.do(lambda tx: grants.grant(tx, MAPS, app_ids, ["geocode"], "RELEASE"))

    refuses(desk, Unknown, lambda: act([*ids[:99], "nobody"]))
    refuses(desk, Invalid, lambda: act([*ids, "shop-web"]), "at most 100")
    assert len(act(ids)) == 100


def test_a_grant_for_a_stage_that_is_not_published_is_refused(desk, refuses):
    refuses(desk, Conflict, lambda: desk.do(lambda tx: grants.grant(tx, MAPS, ["shop-web"], ["geocode"], "PRE")),
            "not published in stage PRE")  # fmt: skip


def test_a_grant_may_end_but_not_in_the_past(desk, refuses):
    now = desk.store.now_ms()
    act = lambda until: desk.do(  # noqa: E731
        lambda tx: grants.grant(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE", until_ms=until)
    )
    refuses(desk, Invalid, lambda: act(now - 1), "lies in the past")
    assert act(now + DAY_MS)[0].until.endswith("Z")
    assert act(None)[0].until is None, "granting again changes the end"


def test_deleting_an_app_removes_its_grants_and_says_which(stocked):
    assert stocked.do(lambda tx: apps.delete_app(tx, SHOP, "shop-web")) == [("geocode", "RELEASE")]
    assert stocked.see(grants.list_grants, ADMIN) == []


def test_an_approval_is_the_grant_and_both_sides_see_it(desk):
    asked = desk.do(lambda tx: requests.ask(tx, SHOP, "shop-web", "geocode", "TEST", "for maps"))
    assert [one.state for one in desk.see(requests.list_requests, MAPS)] == ["pending"]
    until = desk.store.now_ms() + DAY_MS
    approved = desk.do(lambda tx: requests.approve(tx, MAPS, asked.id, until_ms=until, answer="welcome"))
    assert (approved.state, approved.decided_by, approved.answer) == ("approved", "maps-provider", "welcome")
    granted = desk.see(grants.list_grants, SHOP)
    assert [(one.api, one.stage, one.until, one.side) for one in granted] == [
        ("geocode", "TEST", approved.until, "provider")
    ]
    assert desk.see(requests.get_request, SHOP, asked.id) == approved


def test_a_request_is_decided_once_and_a_refusal_has_a_reason(desk, refuses):
    ask = lambda: desk.do(lambda tx: requests.ask(tx, SHOP, "shop-web", "geocode", "TEST", "for maps"))  # noqa: E731
    asked = ask()
    refuses(desk, Conflict, ask, "is pending")
    refuses(desk, Invalid, lambda: desk.do(lambda tx: requests.refuse(tx, MAPS, asked.id, " ")), "must say why")
    refused = desk.do(lambda tx: requests.refuse(tx, MAPS, asked.id, "not in this contract"))
    assert (refused.state, refused.answer) == ("refused", "not in this contract")
    refuses(desk, Conflict, lambda: desk.do(lambda tx: requests.approve(tx, MAPS, asked.id)), "is refused already")
    assert desk.see(grants.list_grants, ADMIN) == []
    assert ask().state == "pending", "and it may be asked again"
