"""A secret rotates without a new AppKey, and one can see which replica has the new one."""

from typing import Any

import pytest

from extauthz.config import load
from extauthz.serve.changes import changes
from tests.unit.building import NOW_MS
from tests.unit.config.writing import config, found, snapshot

NEW, OLD = "b7f0c1d29e834a56", "09ad41f7c3b28e65"
LATER = "2030-01-01T00:00:00Z"


def rotating(**previous: Any) -> dict[str, Any]:
    return config(apps={"keys": [{"app_key": "shop-key-1", "app_secret": NEW, "previous": previous}]})


def test_the_previous_secret_and_its_end_are_read(write):
    pair = snapshot(write, rotating(secret=OLD, until=LATER)).directory.key_pair(b"shop-key-1")
    assert (pair.secret, pair.previous_at(NOW_MS)) == (NEW.encode(), OLD.encode())
    assert pair.previous_at(pair.previous_until_ms) is None


@pytest.mark.parametrize(
    ("previous", "place", "told"),
    [
        ({"secret": OLD}, "previous.until", "is required"),
        ({"secret": OLD, "until": "2030-01-01T00:00:00"}, "previous.until", "needs a time zone"),
        ({"until": LATER}, "previous.secret", "is required"),
        ({"secret": NEW, "until": LATER}, "previous.secret", "is the same as `app_secret`"),
        ({"secret": "changeme", "until": LATER}, "previous.secret", "too easily guessed"),
        ({"secret": "shop-key-1", "until": LATER}, "previous.secret", "is the AppKey itself"),
        ({"secret": {"env": "NOT_SET_ANYWHERE"}, "until": LATER}, "previous.secret", "is not set"),
    ],
)
def test_a_previous_secret_with_a_mistake(write, previous, place, told):
    data = rotating()
    data["apps"][0]["keys"][0]["previous"] = previous
    first = found(write, data)[0]
    assert f"apps[0].keys[0].{place}: " in first
    assert told in first


def test_a_previous_secret_of_another_app_is_a_mistake(write):
    data = rotating(secret=OLD, until=LATER)
    data["apps"].append({"id": "other", "keys": [{"app_key": "other", "app_secret": OLD}]})
    assert "is the secret of app `shop` too" in found(write, data)[0]


def test_a_previous_secret_that_has_ended_is_warned_of(write):
    notes = load(write(rotating(secret=OLD, until="2020-01-01T00:00:00Z")), lambda: NOW_MS).notes
    assert any("previous.until: has passed" in str(note) for note in notes)


def test_the_revision_tells_replicas_with_another_secret_apart_and_shows_none(write):
    data = config(apps={"keys": [{"app_key": "shop-key-1", "app_secret": {"file": "secret"}}]})
    write(OLD, "secret")
    before, same = snapshot(write, data), snapshot(write, data)
    write(NEW, "secret")
    after = snapshot(write, data)
    assert before.revision == same.revision != after.revision
    inline = {snapshot(write, config(apps={"app_codes": [code]})).revision for code in (OLD, OLD, "c" + NEW)}
    assert len(inline) == 2


def test_what_a_reload_changed_is_told_by_name_and_without_values(write):
    data = config(apps={"keys": [{"app_key": "shop-key-1", "app_secret": {"file": "secret"}}]})
    write(OLD, "secret")
    before = load(write(data), lambda: NOW_MS)
    write(NEW, "secret")
    same_file = load(write(data), lambda: NOW_MS)
    assert changes(before, before) == ""
    assert changes(before, same_file) == "apps: 1 changed (shop)"

    data["apis"].append({**data["apis"][0], "id": "orders", "path": "/orders"})
    data["apis"][0]["methods"] = ["GET", "POST"]
    data["grants"] = [{"app": "shop", "apis": ["orders"]}]
    data["apps"].append({"id": "other", "app_codes": ["code-of-other-1"]})
    told = changes(same_file, load(write(data), lambda: NOW_MS))
    assert told == (
        "APIs: 1 added (orders), 1 changed (user); apps: 1 added (other); "
        "grants: 1 added (shop for orders in RELEASE), 1 removed (shop for user in RELEASE)"
    )
    assert OLD not in told
