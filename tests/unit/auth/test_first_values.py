"""A header sent more than once: SDKs sign its first value, so that is a reading too, a bounded and counted one."""

from dataclasses import replace

import pytest

from extauthz.auth import digest
from extauthz.auth.string_to_sign import FIRST_VALUES, READINGS, StringToSign, signed_names
from extauthz.client import SigningOptions
from extauthz.domain import reason
from extauthz.domain.api import DigestRules, Strictness
from extauthz.domain.decision import Proof, Refusal
from tests.unit.building import FORM, NOW_MS, api, request, resigned, signed, snapshot

KNOWN = snapshot(api())
NAMED = SigningOptions(timestamp_ms=NOW_MS, nonce="1", sign_headers=("X-Tag",))


def verify(sent, rules=DigestRules()):  # noqa: B008
    return digest.authenticate(sent, api(digest=rules), KNOWN, NOW_MS)


def sent_twice(signed_once, name, *more):
    """The signed request with further values of a header behind the first, as Envoy shows it in ``header_map``."""
    first = signed_once.headers[name]
    return signed_once._replace(
        headers={**signed_once.headers, name: b",".join([first, *more])},
        repeated=signed_once.repeated | {name},
        firsts={**signed_once.firsts, name: first},
    )


def joined_by_envoy(signed_once, name, *more):
    """The same where Envoy joined the values before anyone could see them."""
    return signed_once._replace(headers={**signed_once.headers, name: b",".join([signed_once.headers[name], *more])})


ONCE = signed(headers={"X-Tag": "a, b", "Accept": "text/html, */*"}, options=NAMED)


@pytest.mark.parametrize(
    "sent",
    [
        sent_twice(ONCE, "x-tag", b"c"),
        sent_twice(ONCE, "x-tag", b"c", b"d"),
        sent_twice(ONCE, "accept", b"application/json"),
        sent_twice(sent_twice(ONCE, "accept", b"application/json"), "x-tag", b"c"),
        joined_by_envoy(ONCE, "accept", b"application/json"),
        joined_by_envoy(joined_by_envoy(ONCE, "accept", b"application/json"), "x-tag", b"c"),
        sent_twice(ONCE._replace(headers={**ONCE.headers, "x-other": b"1"}), "x-other", b"2"),
    ],
)
def test_the_first_value_of_a_header_that_came_more_than_once_may_be_the_signed_one(sent):
    proof = verify(sent)
    assert isinstance(proof, Proof)
    assert proof.reading == (FIRST_VALUES if sent.headers["accept"] != b"text/html, */*" or "x-tag" in sent.repeated
                             else "primary")  # fmt: skip


def test_all_values_joined_are_the_first_reading_still():
    twice = request(headers=[*ONCE.headers.items(), ("x-tag", "c")])
    assert verify(resigned(twice)).reading == "primary"


def test_a_value_with_commas_is_not_cut_where_envoy_showed_what_was_repeated():
    accept = signed(headers={"X-Tag": "a", "Accept": "text/html,text/plain,*/*"}, options=NAMED)
    assert verify(sent_twice(accept, "x-tag", b"b")).reading == FIRST_VALUES


def test_it_goes_together_with_a_decoded_path():
    plain = signed(target="/v1/a b", headers={"X-Tag": "a"}, options=NAMED)
    assert verify(sent_twice(plain._replace(path="/v1/a%20b"), "x-tag", b"b")).reading == "decoded_path+first_values"


@pytest.mark.parametrize("value", [b"b", b"a,b", b"a, ", b""])
def test_no_other_value_than_the_first_will_do(value):
    forged = signed(headers={"X-Tag": value.decode()}, options=NAMED)
    sent = sent_twice(forged._replace(headers={**forged.headers, "x-tag": b"a"}), "x-tag", b"b", b"c")
    assert verify(sent).reason is reason.SIGNATURE_MISMATCH


@pytest.mark.parametrize("name", ["x-ca-key", "x-ca-timestamp", "x-ca-nonce", "x-ca-stage", "date", "content-type"])
def test_a_header_of_the_scheme_stays_refused_when_it_is_repeated(name):
    sent = signed(
        headers={"Date": "today", "Content-Type": "a/b"}, options=replace(NAMED, stage="TEST", sign_headers=())
    )
    assert verify(sent_twice(sent, name, b"x")) == Refusal(reason.HEADER_REPEATED, name)
    assert isinstance(verify(joined_by_envoy(sent, name, b"x")), Refusal)


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "Host"])
def test_of_a_credential_every_value_has_to_be_signed(name):
    options = replace(NAMED, sign_headers=(name,))
    sent = signed(headers={name: "a"}, options=options)
    for other in (sent_twice(sent, name.lower(), b"b"), joined_by_envoy(sent, name.lower(), b"b")):
        assert verify(other).reason is reason.SIGNATURE_MISMATCH


def test_what_an_api_requires_to_be_signed_is_signed_with_all_its_values():
    rules = DigestRules(require_signed=frozenset({"x-tag"}))
    assert verify(sent_twice(ONCE, "x-tag", b"c"), rules).reason is reason.SIGNATURE_MISMATCH
    assert verify(sent_twice(ONCE, "accept", b"c"), rules).reading == FIRST_VALUES


def test_strict_mode_refuses_it_and_warn_counts_it():
    for sent in sent_twice(ONCE, "x-tag", b"c"), joined_by_envoy(ONCE, "accept", b"a/b"):
        assert verify(sent, DigestRules(strict=Strictness.ON)).reason is reason.SIGNATURE_MISMATCH
        assert verify(sent, DigestRules(strict=Strictness.WARN)).warning
    assert verify(joined_by_envoy(ONCE, "accept", b"a/b"), DigestRules(strict=Strictness.WARN)).warning == (
        "signed as first_values"
    )


def test_there_are_never_more_readings_than_the_six():
    headers = {"X-Tag": "1", "Accept": "a,b", "Content-Type": FORM, "X-Ca-Signature-Headers": "X-Tag"}
    sent = sent_twice(request("POST", "/%20?a=1", headers, b"a=2"), "x-tag", b"2")
    string = StringToSign(sent, signed_names(sent.headers["x-ca-signature-headers"]))
    readings = list(string.others())
    assert [reading.name for reading in readings] == list(READINGS[1:])
    heads = {id(reading.head) for reading in readings}
    assert len(heads) == 2, "what readings have in common is hashed once"
