"""While an AppSecret is being rotated both sign, the older one until its end; nothing else does."""

import pytest

from extauthz.auth import digest
from extauthz.domain import reason
from extauthz.domain.app import KeyPair
from extauthz.domain.decision import Proof, Refusal
from extauthz.domain.settings import Settings
from extauthz.domain.snapshot import Snapshot
from extauthz.domain.snapshot.directory import build_directory
from extauthz.domain.snapshot.gateway import build_gateway
from tests.unit.building import APP, KEY, NOW_MS, api, signed

API = api()
UNTIL_MS = NOW_MS + 1000


def known(previous=b"the-older-secret", until_ms=UNTIL_MS):
    pair = KeyPair(APP.id, KEY, b"the-newer-secret", previous, until_ms)
    return Snapshot(build_gateway("test", NOW_MS, Settings(), [API]), build_directory("test", [APP], [pair], [], []))


@pytest.mark.parametrize(
    ("secret", "now_ms", "passes"),
    [
        ("the-newer-secret", NOW_MS, True),
        ("the-newer-secret", UNTIL_MS, True),
        ("the-older-secret", NOW_MS, True),
        ("the-older-secret", UNTIL_MS - 1, True),
        ("the-older-secret", UNTIL_MS, False),
        ("some-other-secret", NOW_MS, False),
    ],
)
def test_the_older_secret_signs_until_its_end_beside_the_newer_one(secret, now_ms, passes):
    outcome = digest.authenticate(signed(secret=secret), API, known(), now_ms)
    if passes:
        assert isinstance(outcome, Proof)
        assert outcome.app is APP
    else:
        assert isinstance(outcome, Refusal)
        assert outcome.reason is reason.SIGNATURE_MISMATCH


def test_a_key_without_a_previous_secret_or_without_its_end_knows_one_secret():
    for previous, until_ms in ((None, UNTIL_MS), (b"the-older-secret", None)):
        outcome = digest.authenticate(signed(secret="the-older-secret"), API, known(previous, until_ms), NOW_MS)
        assert isinstance(outcome, Refusal)


def test_neither_secret_is_in_the_repr_of_a_key():
    assert "secret" not in repr(KeyPair(APP.id, KEY, b"the-newer-secret", b"the-older-secret", UNTIL_MS)).replace(
        "demo-app-secret", ""
    )
