"""`shadow`: an end is required, nothing unknown is named, no unverified token gets through, and it is warned of."""

import pytest

from extauthz.config import load
from tests.unit.building import NOW_MS
from tests.unit.config.writing import config, found, snapshot
from tests.unit.lint.seeds import JWK

UNTIL = "2023-12-31T00:00:00Z"


def with_shadow(*entries, **changes):
    return config(shadow=list(entries), **changes)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"api": "user"}, "shadow[0].until: is required"),
        ({"api": "user", "until": "2023-12-31"}, "needs a time zone"),
        ({"api": "user", "until": "9999-12-31T00:00:00Z"}, "shadow[0].until: is more than 366 days ahead"),
        ({"api": "usr", "until": UNTIL}, "shadow[0].api: API `usr` does not exist; did you mean `user`"),
        ({"app": "shp", "until": UNTIL}, "shadow[0].app: app `shp` does not exist; did you mean `shop`"),
        ({"api": "user", "methods": ["PUT"], "until": UNTIL}, "shadow[0].methods[0]: API `user` has no method PUT"),
        ({"until": UNTIL}, "shadow[0]: needs exactly one of"),
        ({"app": "shop", "methods": ["GET"], "until": UNTIL}, "shadow[0]: needs exactly one of"),
        ({"api": "user", "app": "shop", "until": UNTIL}, "shadow[0]: needs exactly one of"),
    ],
)
def test_a_mistake_is_told_with_its_cure(write, entry, told):
    (only,) = found(write, with_shadow(entry))
    assert told in only


@pytest.mark.parametrize("place", ["query", "cookie"])
def test_an_api_whose_tokens_cannot_be_taken_off_is_not_put_into_shadow(write, place):
    tokens = {"id": "tokens", "type": "jwt", "jwk": JWK, "parameter": "token", "parameter_location": place}
    data = with_shadow({"api": "user", "until": UNTIL}, plugins=[tokens])
    data["apis"][0] |= {"auth": {"internet": {"any_of": ["digest", "jwt"]}}, "plugins": ["tokens"]}
    (only,) = found(write, data)
    assert f"it stands in the {place}" in only


def test_an_app_of_the_registry_may_be_named(write):
    data = with_shadow({"app": "mobile", "until": UNTIL})
    data["registry"] = {"database": "sqlite:///registry.db", "unsealed": True}
    assert snapshot(write, data).gateway.shadow.covers_app("mobile", NOW_MS)


def test_what_is_in_shadow_is_warned_of_until_and_after_its_end(write):
    file = write(with_shadow({"api": "user", "methods": ["GET"], "until": UNTIL}))
    on = [note.message for note in load(file, lambda: NOW_MS).notes if note.path[0] == "shadow"]
    assert on == ["API `user` by GET is in shadow until 2023-12-31T00:00:00+00:00: what is wrong passes"]
    later = load(file, lambda: 1_900_000_000_000)
    assert ["denies again" in note.message for note in later.notes if note.path[0] == "shadow"] == [True]


def test_without_entries_nothing_is_in_shadow(write):
    held = snapshot(write, config())
    assert held.gateway.shadow is None
    assert not held.gateway.settings.marks_shadow
    assert held.gateway.revision != snapshot(write, with_shadow({"api": "user", "until": UNTIL})).gateway.revision
