"""Finding the mistake in a signature: each is named, none is called certain that was not made, and it takes no time."""

import random

import pytest

from extauthz.auth import digest
from extauthz.auth.string_to_sign import StringToSign
from extauthz.domain.app import HMAC_SHA256
from extauthz.domain.decision import Proof
from extauthz.domain.settings import Settings
from extauthz.explain.diagnosis.changes import Secret
from extauthz.explain.diagnosis.mistakes.draft import case_of
from extauthz.explain.diagnosis.mistakes.table import MISTAKES
from extauthz.explain.diagnosis.search import BUDGET_S, search
from extauthz.wire.request import read_request
from tests.mistaken_client import FORM, MADE, OTHER_SECRET, SECRET, Call, Client, random_call, signed_by
from tests.unit.auth.test_vectors import OURS, SDK
from tests.unit.building import NOW_MS, api, from_vector, request, snapshot
from tests.unit.wire.test_sdk_cases import CASES, message_of

SECRETS = [Secret(SECRET.encode()), Secret(OTHER_SECRET.encode(), "the secret of another AppKey of the app")]
AMPLE_S = 5.0


def arrived_of(sent):
    """The request as it arrives: HTTP takes off blanks at the edges of a value."""
    headers = sent.headers if "Host" in dict(sent.headers) else [("host", "api.example.com"), *sent.headers]
    stripped = [(n, v.strip(b" \t\n") if isinstance(v, bytes) else v.strip(" \t\n")) for n, v in headers]
    return request(sent.method, sent.target, stripped, sent.body)


def searched(sent, budget_s=AMPLE_S, secrets=SECRETS):
    arrived = arrived_of(sent)
    return search(case_of(arrived), arrived.headers["x-ca-signature"], HMAC_SHA256, secrets, budget_s)


def named(change):
    return {made.mistake.name for made in change}


def accepted(sent):
    return isinstance(digest.authenticate(arrived_of(sent), api(), snapshot(api()), NOW_MS), Proof)


def broken(dice, count):
    """A random request with this many random mistakes, each of which shows; the names and what was sent."""
    while True:
        call, both = random_call(dice), None
        names = dice.sample(sorted(MADE), count)
        makes = [dice.choice(MADE[name]) for name in names]
        both = sent_with(call, makes)
        alone = [sent_with(call, [make]) for make in makes]
        if any(accepted(one) for one in [both, *alone]):
            continue
        if count > 1 and any(signature(one) == signature(both) for one in alone):
            continue  # one of them hides the other
        return set(names), both


def sent_with(call, makes):
    client = Client(call)
    for make in makes:
        make(client)
    return client.send()


def signature(sent):
    return dict(sent.headers)["X-Ca-Signature"]


@pytest.mark.parametrize("name", [mistake.name for mistake in MISTAKES])
def test_a_mistake_is_named_when_a_client_makes_it(name):
    for make in MADE[name]:
        dice, tries = random.Random(f"{name}{MADE[name].index(make)}"), 0
        while accepted(sent := sent_with(random_call(dice), [make])):
            tries += 1
            assert tries < 500, "no request shows it"
        result = searched(sent)
        assert {name} in [named(change) for change in result.found]
        if result.certain:
            assert result.string == sent.string or name in ("string_charset", *NOT_IN_THE_STRING)


NOT_IN_THE_STRING = ("hashed_before_hmac",)


def test_there_is_a_client_for_each_mistake_and_words_for_its_cure():
    assert len(MISTAKES) >= 25
    assert {mistake.name for mistake in MISTAKES} == set(MADE)
    for mistake in MISTAKES:
        assert mistake.wrong.endswith(".")
        assert mistake.cure.endswith((".", ")"))
    told = {language for mistake in MISTAKES for language in mistake.languages}
    assert {"Java", "Go", "Python", "PHP", "JS"} <= told


def named_first(requests, mistakes):
    """How many of so many requests have their mistakes named first. No wrong one may be called certain."""
    dice, first = random.Random(14), 0
    for _ in range(requests):
        names, sent = broken(dice, mistakes)
        result = searched(sent)
        first += bool(result.found) and named(result.found[0]) == names
        assert not result.certain or named(result.found[0]) == names
    return first


@pytest.mark.long
def test_of_300_requests_with_one_mistake_it_names_95_percent_first_and_is_never_certain_of_a_wrong_one():
    assert named_first(requests=300, mistakes=1) >= 285


@pytest.mark.long
def test_of_150_requests_with_two_mistakes_it_names_80_percent_first_and_is_never_certain_of_wrong_ones():
    assert named_first(requests=150, mistakes=2) >= 120


def test_a_search_ends_when_its_time_is_up_however_long_the_request():
    for form in ([], [(f"key{number}", "x" * 190) for number in range(4_900)]):
        sent = signed_by(Call("POST", form=form, query=[("a", "1")]), "other_secret")
        result = searched(sent, BUDGET_S, SECRETS[:1])
        assert not result.found
        # One more string is built after the time is up, and a collection of garbage may fall into it.
        assert result.seconds < BUDGET_S + 0.1


def test_what_matches_no_known_mistake_is_not_explained():
    sent = signed_by(Call(query=[("a", "1")]), "other_secret")
    result = searched(sent, AMPLE_S, SECRETS[:1])
    assert (result.found, result.certain, result.cut) == ((), False, False)
    sent.headers[-1] = ("X-Ca-Signature", "nothing like a signature")
    assert searched(sent).tried == 0


def test_a_right_signature_shows_no_mistake():
    assert not searched(signed_by(Call(query=[("a", "1")], form=[("b", "")]))).found


def test_no_words_of_a_finding_hold_a_secret():
    dice = random.Random(3)
    for name in ("secret_white_space", "secret_ampersand", "secret_encoded", "other_secret", "hmac_arguments_swapped"):
        result = searched(signed_by(random_call(dice), name))
        assert result.found
        assert SECRET not in repr(result)
        assert OTHER_SECRET not in repr(result)
    assert SECRET not in repr(SECRETS)


@pytest.mark.parametrize("vector", [*SDK, *OURS], ids=lambda one: one["id"])
def test_the_parts_of_a_request_make_its_primary_string(vector):
    arrived = from_vector(vector)
    case = case_of(arrived)
    assert case.head.text() + case.tail.text() == StringToSign(arrived, case.names).primary()


def test_the_parts_of_any_request_make_its_primary_string():
    dice = random.Random(4)
    for _ in range(300):
        arrived = arrived_of(signed_by(random_call(dice)))
        case = case_of(arrived)
        assert case.head.text() + case.tail.text() == StringToSign(arrived, case.names).primary()


RECORDED = {
    "F10-codepoint-order-go": "parameters_sorted_by_code_point",
    "F12-form-gbk-core": "parameter_charset",
}
"""Recorded cases of real clients whose signature is wrong, and the mistake."""


@pytest.mark.parametrize("name", RECORDED)
def test_the_mistake_of_a_recorded_client_is_named(name):
    arrived = read_request(message_of(CASES[name]), None, Settings())
    result = search(case_of(arrived), arrived.headers["x-ca-signature"], HMAC_SHA256, SECRETS[:1])
    assert named(result.found[0]) == {RECORDED[name]}


def test_a_form_is_what_the_client_says_it_is():
    assert case_of(request("POST", "/a", {"content-type": FORM}, b"a=1")).tail.form
    assert not case_of(request("POST", "/a", {"content-type": "text/plain"}, b"a=1")).tail.form
    assert case_of(request("GET", "/a", {"x-ca-signature-headers": "not a name"})) is None
