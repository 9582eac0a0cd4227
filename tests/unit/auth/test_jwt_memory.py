"""A token that comes again costs no public-key operation, and never holds longer than it would have."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.auth.jwt import authenticate
from extauthz.auth.jwt_claims import claims_refusal, valid_between
from extauthz.domain import reason
from extauthz.domain.decision import Proof, Refusal
from extauthz.domain.tokens.jwk import KeySet, VerificationKey
from extauthz.domain.tokens.jwt import MAX_CLOCK_SKEW_S, JwtPlugin
from extauthz.domain.tokens.key_source import KeySource
from tests.unit.auth.one_api import EC_KEY, NOW_S, RSA_KEY, api, key_set, plugin, request, serving, token


class CountingKeys(dict[str, Any]):
    """The keys of one VerificationKey; counts how often one is taken out to verify with."""

    taken = 0

    def __getitem__(self, algorithm: str) -> Any:
        self.taken += 1
        return super().__getitem__(algorithm)


def counting_source() -> tuple[KeySource, CountingKeys]:
    key = key_set().keys[0]
    keys = CountingKeys(key.keys)
    return KeySource.fixed(KeySet((VerificationKey(key.kid, keys),))), keys


def outcome(jwt_plugin: JwtPlugin, text: str, now_s: float = NOW_S) -> Proof | Refusal:
    return authenticate(request(text), api(jwt_plugin), serving(jwt_plugin), int(now_s * 1000))


def refused(jwt_plugin: JwtPlugin, text: str, now_s: float = NOW_S) -> Any:
    result = outcome(jwt_plugin, text, now_s)
    return result.reason if isinstance(result, Refusal) else None


def test_a_repeated_token_is_verified_once():
    source, keys = counting_source()
    remembering, text = plugin(source), token()
    first = outcome(remembering, text)
    assert isinstance(first, Proof)
    assert all(outcome(remembering, text) == first for _ in range(20))
    assert keys.taken == 1


def test_a_memory_of_none_verifies_each_time():
    source, keys = counting_source()
    forgetful, text = plugin(source, remembered=0), token()
    for _ in range(3):
        assert isinstance(outcome(forgetful, text), Proof)
    assert keys.taken == 3


def test_a_remembered_token_ends_when_it_ends():
    remembering, text = plugin(), token({"exp": NOW_S + 100})
    assert refused(remembering, text) is None
    assert refused(remembering, text, NOW_S + 159) is None, "within the clock skew"
    assert refused(remembering, text, NOW_S + 160) is reason.JWT_EXPIRED
    assert len(serving(remembering).gateway.tokens["p"]) == 0


def test_a_clock_that_is_set_back_makes_a_remembered_token_come_from_the_future():
    remembering, text = plugin(), token({"nbf": NOW_S})
    assert refused(remembering, text) is None
    assert refused(remembering, text, NOW_S - 61) is reason.JWT_INVALID


def test_a_change_of_keys_forgets_at_once():
    source = KeySource(key_set())
    remembering, text = plugin(source), token()
    assert refused(remembering, text) is None
    source.current = key_set(EC_KEY)
    assert refused(remembering, text) is reason.JWT_KEY_UNKNOWN
    source.current = None
    assert refused(remembering, text) is reason.JWT_KEYS_UNAVAILABLE


def test_a_new_plug_in_begins_without_memory():
    old, text = plugin(audiences=frozenset({"a"})), token({"aud": "a"})
    assert refused(old, text) is None
    assert refused(plugin(old.key_source, audiences=frozenset({"b"})), text) is reason.JWT_INVALID


def test_a_token_that_differs_in_one_character_is_another_token():
    remembering, text = plugin(), token()
    assert refused(remembering, text) is None
    for position in range(0, len(text), 7):
        other = text[:position] + ("A" if text[position] != "A" else "B") + text[position + 1 :]
        assert refused(remembering, other) is not None


def test_a_token_that_passes_once_is_named_anew_each_time():
    once, text = plugin(prevent_jti_replay=True), token({"jti": "j1"})
    first, second = outcome(once, text), outcome(once, text)
    assert isinstance(first, Proof)
    assert isinstance(second, Proof)
    assert len(first.uses) == 1
    assert first.uses[0].key == second.uses[0].key
    assert first.uses[0].expires_ms == (NOW_S + 600 + MAX_CLOCK_SKEW_S) * 1000, "as long as it could be accepted"


times = st.integers(-10_000, 10_000) | st.floats(-10_000, 10_000)


offsets = st.integers(-9_000, 9_000)


@given(
    exp=st.none() | times,
    nbf=st.none() | times,
    iat=st.none() | times,
    skew=st.integers(0, 600),
    longest=st.integers(1, 20_000),
    ignore=st.booleans(),
    first=offsets,
    later=offsets,
)
def test_the_remembered_interval_says_exactly_what_the_rules_say(
    exp: float | None,
    nbf: float | None,
    iat: float | None,
    skew: int,
    longest: int,
    ignore: bool,
    first: int,
    later: int,
):
    stated = {"exp": exp, "nbf": nbf, "iat": iat}
    claims = {name: value + NOW_S for name, value in stated.items() if value is not None}
    judged = replace(plugin(), clock_skew_s=skew, max_lifetime_s=longest, ignore_expiration=ignore)
    if claims_refusal(claims, judged, NOW_S + first) is not None:
        return
    start, end = valid_between(claims, judged)
    holds = claims_refusal(claims, judged, NOW_S + later) is None
    assert (start <= NOW_S + later < end) is holds


def test_the_interval_of_a_token_without_end_has_none():
    assert valid_between({}, plugin(ignore_expiration=True)) == (-math.inf, math.inf)


@pytest.mark.parametrize("kid", [None, "rsa-1"])
def test_a_known_or_missing_kid_asks_for_no_refresh(kid: str | None):
    source = KeySource(key_set())
    outcome(plugin(source), token({"iat": NOW_S}, RSA_KEY, kid=kid)[:-8] + "AAAAAAAA")
    assert source.refresh_wanted is False


def test_an_unknown_kid_asks_for_a_refresh_and_is_refused_at_once():
    source = KeySource(key_set())
    assert refused(plugin(source), token(kid="new")) is reason.JWT_KEY_UNKNOWN
    assert source.refresh_wanted is True
