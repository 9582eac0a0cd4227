"""Changes through the API: repeated ones, racing ones, and lists that are read page by page."""

import pytest
from sqlalchemy import select, update

from extauthz.admin.idempotency import KEPT_MS, forget_old
from extauthz.registry import apps, audit, credentials, tokens
from extauthz.registry.database.reseal import reseal
from extauthz.registry.database.sealing import Sealer, Vault
from extauthz.registry.database.store import Store, vault_of
from extauthz.registry.database.tables import IDEMPOTENCY, KEY_PAIRS
from tests.stores.admin.conftest import Api
from tests.stores.registry.conftest import MASTER_KEY
from tests.stores.registry.desk import ADMIN, SHOP

KEYS = "/v1/apps/shop-web/keys"
AGAIN = {"headers": {"Idempotency-Key": "one"}}


def keys_of(api):
    return api.desk.see(credentials.list_keys, ADMIN, "shop-web")


def test_a_repeated_creation_gets_the_answer_it_got_first_and_is_done_once(api):
    first, second = api.call("POST", KEYS, **AGAIN), api.call("POST", KEYS, **AGAIN)
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json() == first.json(), "with the AppSecret, which is shown once otherwise"
    assert second.headers["location"] == first.headers["location"]
    assert (first.headers.get("idempotency-replayed"), second.headers["idempotency-replayed"]) == (None, "true")
    assert len(keys_of(api)) == 1
    assert api.call("POST", KEYS).json() != first.json(), "without a key there is no memory"


def test_a_key_is_for_one_request_of_one_caller(api):
    first = api.call("POST", KEYS, **AGAIN, who=SHOP)
    other_body = api.call("POST", KEYS, {"app_key": "another-key-1"}, **AGAIN, who=SHOP)
    assert (other_body.status_code, other_body.json()["field"]) == (422, "Idempotency-Key")
    assert api.call("POST", "/v1/apps/shop-web/codes", **AGAIN, who=SHOP).status_code == 422
    admins = api.call("POST", KEYS, **AGAIN)
    assert (admins.status_code, admins.json() == first.json()) == (201, False)
    assert api.call("POST", KEYS, headers={"Idempotency-Key": "two words"}).status_code == 422


def test_what_was_refused_is_not_remembered(api):
    form = {"id": "late", "owner": "later", "name": "Late app"}
    assert api.call("POST", "/v1/apps", form, **AGAIN).status_code == 404
    api.call("POST", "/v1/owners", {"id": "later"})
    assert api.call("POST", "/v1/apps", form, **AGAIN).status_code == 201


def test_creations_at_the_same_moment_with_one_key_are_one(api):
    answers = api.together([("POST", KEYS, None, AGAIN)] * 6)
    assert {one.status_code for one in answers} == {201}
    assert len({one.text for one in answers}) == 1
    assert len(keys_of(api)) == 1


def test_an_answer_is_kept_sealed_and_for_a_day(api):
    def kept():
        with api.desk.store.reading() as view:
            return list(view.execute(select(IDEMPOTENCY)))

    secret = api.call("POST", KEYS, **AGAIN).json()["app_secret"]
    assert secret.encode() not in b"".join(bytes(row.answer) for row in kept())
    newer = Sealer([bytes(32), MASTER_KEY])
    reseal(api.desk.store, newer)
    with api.desk.store.reading() as view:
        api.desk.vault.sealer = Vault(newer, newer.seal(b"", "hash key")).sealer
        assert vault_of(view, Sealer([bytes(32)])), "the old master key is not needed any more"
    assert api.call("POST", KEYS, **AGAIN).json()["app_secret"] == secret
    api.desk.do(lambda tx: tx.connection.execute(update(IDEMPOTENCY).values(created_ms=tx.now_ms - KEPT_MS - 1)))
    assert api.call("POST", KEYS, **AGAIN).json()["app_secret"] != secret
    api.desk.do(lambda tx: tx.connection.execute(update(IDEMPOTENCY).values(created_ms=tx.now_ms - KEPT_MS - 1)))
    forget_old(api.desk.store)
    assert kept() == []


def test_of_two_admins_who_change_one_app_one_is_told_and_the_app_is_what_the_other_one_made_it(api):
    tag = api.call("GET", "/v1/apps/shop-web").headers["etag"]
    names = [f"Name {number}" for number in range(4)]
    options = {"headers": {"If-Match": tag}}
    answers = api.together([("PATCH", "/v1/apps/shop-web", {"name": name}, options) for name in names])
    assert sorted(one.status_code for one in answers) == [200, 412, 412, 412]
    won = next(one for one in answers if one.status_code == 200)
    lost = next(one for one in answers if one.status_code == 412)
    now = api.call("GET", "/v1/apps/shop-web")
    assert now.json() == won.json()
    assert now.headers["etag"] == won.headers["etag"] == lost.headers["etag"] == '"2"'
    assert "read it again" in lost.json()["detail"]
    changes = [entry for entry in api.desk.see(audit.list_audit, ADMIN) if entry.action == "change_app"]
    assert [(entry.before["version"], entry.after["name"]) for entry in changes] == [(1, won.json()["name"])]


def test_the_audit_trail_of_racing_changes_is_one_chain(api):
    api.together([("PATCH", "/v1/apps/shop-web", {"name": f"Name {number}"}, {}) for number in range(5)])
    changes = [entry for entry in api.desk.see(audit.list_audit, ADMIN) if entry.action == "change_app"][::-1]
    assert [entry.before for entry in changes[1:]] == [entry.after for entry in changes[:-1]]
    assert [entry.after["version"] for entry in changes] == [2, 3, 4, 5, 6]


def test_of_two_rotations_at_once_the_later_one_keeps_the_secret_of_the_earlier_one(api):
    api.desk.do(lambda tx: credentials.create_key(tx, api.desk.vault, SHOP, "shop-web", "shop-key-0001"))
    answers = api.together([("POST", "/v1/keys/shop-key-0001/rotate", {"overlap_s": 60}, {})] * 2)
    shown = {one.json()["app_secret"] for one in answers}
    with api.desk.store.reading() as view:
        row = view.execute(select(KEY_PAIRS)).one()
    opened = {api.desk.vault.sealer.open(bytes(one), row.app_key).decode() for one in (row.secret, row.previous_secret)}
    assert opened == shown


@pytest.mark.parametrize("tag", ['"2"', 'W/"1"', "1", '"x"', '"99999999999999999999"'])
def test_another_etag_than_the_apps_matches_nothing(api, tag):
    before = api.desk.everything()
    for method, form in (("PATCH", {"disabled": True}), ("DELETE", None)):
        answer = api.call(method, "/v1/apps/shop-web", form, headers={"If-Match": tag})
        assert (answer.status_code, answer.headers["etag"]) == (412, '"1"')
    assert api.desk.everything() == before
    assert api.call("DELETE", "/v1/apps/shop-web", headers={"If-Match": "*"}).status_code == 200


def test_every_page_of_a_list_together_is_the_list(api):
    for number in range(7):
        api.desk.do(lambda tx, number=number: apps.create_app(tx, SHOP, f"app-{number}", "shop", "One of many"))
    everything = api.desk.see(apps.list_apps, ADMIN)

    def walk(path: str) -> list[dict]:
        items, cursor = [], ""
        for _ in range(50):
            page = api.call("GET", f"{path}&limit=3{cursor}").json()
            assert "items" in page, page
            items += page["items"]
            if page["next"] is None:
                return items
            assert len(page["items"]) == 3
            cursor = f"&cursor={page['next']}"
        raise AssertionError("the list does not end")

    assert [one["id"] for one in walk("/v1/apps?owner=shop")] == [one.id for one in everything]
    api.call("POST", "/v1/grants", {"apps": [one.id for one in everything], "apis": ["geocode"]})
    assert [one["app"] for one in walk("/v1/grants?api=geocode")] == [one.id for one in everything]
    assert [one["app"] for one in walk("/v1/questions/who-may-call?api=geocode")] == [one.id for one in everything]
    numbers = [one["number"] for one in walk("/v1/audit?")]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[-1] == 1


def test_a_batch_of_grants_is_whole_or_not_at_all(api):
    form = {"apps": ["shop-web", "nobody"], "apis": ["geocode"]}
    before = api.desk.everything()
    assert api.call("POST", "/v1/grants", form).status_code == 404
    assert api.desk.everything() == before


def test_a_token_that_was_deleted_or_has_ended_is_worth_nothing(api):
    made = api.call("POST", "/v1/tokens", {"name": "short lived", "role": "reader"}).json()
    bearer = {"headers": {"Authorization": f"Bearer {made['value']}"}}
    assert api.call("GET", "/v1/apps", **bearer).status_code == 200
    assert api.call("POST", "/v1/tokens", {"name": "short lived", "role": "reader"}).status_code == 409
    api.call("DELETE", f"/v1/tokens/{made['token']['id']}")
    assert api.call("GET", "/v1/apps", **bearer).status_code == 401
    until_ms = api.desk.store.now_ms() + 3_600_000
    ended = api.desk.do(
        lambda tx: tokens.create_token(tx, api.desk.vault, ADMIN, "an hour", ADMIN.role, None, until_ms)
    ).value
    api.desk.store.now_ms = lambda: until_ms
    assert api.call("GET", "/v1/apps", headers={"Authorization": f"Bearer {ended}"}).status_code == 401


def test_an_owner_who_still_has_a_token_is_kept_and_the_token_is_why(api):
    for owner in ("empty", "busy"):
        api.call("POST", "/v1/owners", {"id": owner})
    api.call("POST", "/v1/tokens", {"name": "busy reader", "role": "reader", "owner": "busy"})
    assert api.call("DELETE", "/v1/owners/empty").status_code == 204
    kept = api.call("DELETE", "/v1/owners/busy")
    assert (kept.status_code, "still has admin tokens" in kept.json()["detail"]) == (409, True)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_request_that_waits_too_long_for_somebody_elses_lock_is_a_503_and_changes_nothing(desk, database):
    impatient = Store(database, statement_limit_s=0.3)
    desk.store, patient = impatient, desk.store
    api = Api(desk)
    try:
        with patient.changing() as tx:
            apps.change_app(tx, ADMIN, "shop-web", name="Held for now")
            answer = api.call("PATCH", "/v1/apps/shop-web", {"name": "Too late"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert api.call("GET", "/v1/apps/shop-web").json()["name"] == "Held for now"
    finally:
        api.close()
        impatient.close()
        desk.store = patient
