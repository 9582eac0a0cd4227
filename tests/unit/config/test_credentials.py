"""An AppSecret or AppCode that cannot be meant as it stands is a mistake, which never quotes it."""

from typing import Any

import pytest

from tests.unit.config.writing import config, found, snapshot

GOOD_SECRET = "b7f0c1d29e834a56"
WRAPPED = [
    (f" {GOOD_SECRET}", "white space"),
    (f"{GOOD_SECRET} ", "white space"),
    (f"{GOOD_SECRET}\n\n", "line break"),
    (f"{GOOD_SECRET}\n{GOOD_SECRET}", "line break"),
    (f"{GOOD_SECRET}\t", "U+0009"),
    (f"\ufeff{GOOD_SECRET}", "byte order mark"),
    (f"{GOOD_SECRET}\u200b", "U+200B"),
    (f"{GOOD_SECRET}\u00a0", "U+00A0"),
    (f'"{GOOD_SECRET}"', "without quotes"),
    (f"'{GOOD_SECRET}'", "without quotes"),
    (f"`{GOOD_SECRET}`", "without quotes"),
    (f"\u201c{GOOD_SECRET}\u201d", "without quotes"),
    (f'"{GOOD_SECRET}', "without quotes"),
    (f"APPCODE {GOOD_SECRET}", "the credential alone"),
    (f"appcode {GOOD_SECRET}", "the credential alone"),
    (f"APPCODE: {GOOD_SECRET}", "the credential alone"),
    (f"appcode={GOOD_SECRET}", "the credential alone"),
    (f"Authorization: APPCODE {GOOD_SECRET}", "the credential alone"),
    (f"Bearer {GOOD_SECRET}", "the credential alone"),
    ("${SHOP_SECRET}", "{env: NAME}"),
    ("$SHOP_SECRET", "{env: NAME}"),
    ("{{ shop_secret }}", "{env: NAME}"),
    ("<shop secret here>", "{env: NAME}"),
    ("env:SHOP_SECRET", "{env: NAME}"),
    ("short7c", "it must have 8 to 128"),
    ("7" + GOOD_SECRET * 8, "it must have 8 to 128"),
    ("aaaaaaaaaaaaaaaa", "too easily guessed"),
    ("abababababababab", "too easily guessed"),
    ("1234567890123456", "too easily guessed"),
    ("abcdefghijklmnop", "too easily guessed"),
    ("changeme", "too easily guessed"),
    ("change-me-please", "too easily guessed"),
    ("CHANGE_ME_1234", "too easily guessed"),
    ("password", "too easily guessed"),
    ("P@ssw0rd1", "too easily guessed"),
    ("secret123", "too easily guessed"),
    ("secretsecret", "too easily guessed"),
    ("your-app-secret", "too easily guessed"),
    ("REPLACE_ME_NOW", "too easily guessed"),
]  # fmt: skip


def credentials(kind: str, written: Any) -> dict[str, Any]:
    if kind == "app_secret":
        return config(apps={"keys": [{"app_key": "shop-key-1", "app_secret": written}]})
    return config(apps={"app_codes": [written]})


@pytest.mark.parametrize(("value", "cure"), WRAPPED)
def test_a_credential_that_no_caller_would_send_is_a_mistake_wherever_it_comes_from(write, monkeypatch, value, cure):
    monkeypatch.setenv("SHOP", value)
    write(f"{value}\n", "shop.txt")  # this line feed is dropped, no other
    for way in (value, {"env": "SHOP"}, {"file": "shop.txt"}):
        for kind, place in (("app_secret", "keys[0].app_secret: "), ("app_code", "app_codes[0]: ")):
            (only,) = found(write, credentials(kind, way))
            assert cure in only
            assert place in only
            assert value not in only
            assert GOOD_SECRET not in only


@pytest.mark.parametrize("value", [GOOD_SECRET, "demo-app-secret-0001", "appSecret", "a9/+Zq==xPp2",
                                   "code-8374659283746592", "correct horse battery", "x'y\"z-73a9b1c"])  # fmt: skip
def test_a_credential_that_callers_can_hold_is_taken(write, value):
    assert snapshot(write, credentials("app_secret", value)).directory.key_pair(b"shop-key-1").secret == value.encode()


def test_a_line_feed_at_the_end_of_a_file_is_no_part_of_the_secret(write):
    write(f"{GOOD_SECRET}\r\n", "shop.txt")
    known = snapshot(write, credentials("app_secret", {"file": "shop.txt"})).directory
    assert known.key_pair(b"shop-key-1").secret == GOOD_SECRET.encode()


def test_an_app_code_that_cannot_stand_in_a_header_is_a_mistake(write):
    for code in ("two words here", "schlüssel-73a9b1c"):
        assert "ASCII characters only, and no space" in found(write, credentials("app_code", code))[0]


def test_two_apps_never_have_one_secret(write):
    keys = [{"app_key": "other-key", "app_secret": GOOD_SECRET}]
    data = config()
    data["apps"].append({"id": "other", "keys": keys})
    (only,) = found(write, data)
    assert "apps[1].keys[0].app_secret: is the secret of app `shop` too" in only
    assert GOOD_SECRET not in only


def test_what_a_call_shows_is_not_a_secret(write):
    same = {"keys": [{"app_key": "shop-key-0001", "app_secret": "shop-key-0001"}]}
    assert "is the AppKey itself" in found(write, config(apps=same))[0]
    data = config(apps={"app_codes": [GOOD_SECRET]})
    assert "is a secret of app `shop` too" in found(write, data)[0]
    data["apps"].insert(0, {"id": "first", "app_codes": [GOOD_SECRET]})
    data["apps"][1].pop("app_codes")
    assert "is an AppCode too" in found(write, data)[0]
