"""Digest: what a caller whose request is refused is told, what the operator is told, and where the bounds lie."""

import pytest

from extauthz.auth import digest
from extauthz.client import SigningOptions
from extauthz.domain import reason
from extauthz.domain.api import DigestRules, Strictness
from extauthz.domain.app import HMAC_SHA1
from extauthz.domain.decision import Proof, Refusal
from extauthz.domain.request import Delivery
from tests.unit.building import (
    APP_CODE,
    BOTH_ALGORITHMS,
    CODE,
    DIGEST,
    FORM,
    KEY,
    NOW_MS,
    api,
    request,
    resigned,
    signed,
    snapshot,
)

KNOWN = snapshot(api())
JSON = {"Content-Type": "application/json"}
MD5_OF_NOTHING = "1B2M2Y8AsgTpgAmY7PhCfg=="


def verify(sent, rules=BOTH_ALGORITHMS):
    return digest.authenticate(sent, api(digest=rules), KNOWN, NOW_MS)


def changed(sent, **headers):
    """The request with other headers (``x_ca_key`` for ``x-ca-key``), its signature as it was."""
    return sent._replace(headers={**sent.headers, **{name.replace("_", "-"): one for name, one in headers.items()}})


@pytest.mark.parametrize(
    ("sent", "refusal"),
    [
        (signed()._replace(repeated=frozenset({"x-ca-stage", "x-ca-nonce", "accept"})),
         Refusal(reason.HEADER_REPEATED, "x-ca-nonce")),
        (changed(signed(), x_ca_signature=b" \t"), Refusal(reason.SIGNATURE_MISSING)),
        (changed(signed(), x_ca_signature_method=b"HmacMD5"),
         Refusal(reason.SIGNATURE_METHOD_REFUSED, "is not accepted", "unknown algorithm")),
        (changed(signed(), x_ca_signature_headers=b"a b"),
         Refusal(reason.HEADER_INVALID, "X-Ca-Signature-Headers", "a name in it is none, or it is too long")),
        (changed(signed(), x_ca_timestamp=b"%d" % (NOW_MS - 900_001)),
         Refusal(reason.TIMESTAMP_EXPIRED, "", "our clock is 900001 ms ahead of the timestamp")),
        (changed(signed(), x_ca_timestamp=b"%d" % (NOW_MS + 900_001)),
         Refusal(reason.TIMESTAMP_EXPIRED, "", "our clock is -900001 ms ahead of the timestamp")),
        (signed("POST", headers={"Content-Type": FORM}, delivery=Delivery.PARTIAL),
         Refusal(reason.BODY_UNAVAILABLE, "too large to verify", "body partial")),
        (signed("POST", headers={"Content-Type": FORM}, delivery=Delivery.NOT_DELIVERED),
         Refusal(reason.BODY_UNAVAILABLE, "not available to verify", "body not delivered")),
        (signed(key="nobody"), Refusal(reason.APP_KEY_UNKNOWN)),
        (signed(secret="wrong", headers={"Accept": "*/*"}),
         Refusal(reason.SIGNATURE_MISMATCH,
                 f"GET#*/*####X-Ca-Key:{KEY}#X-Ca-Nonce:nonce-1#X-Ca-Timestamp:{NOW_MS}#/v1/orders",
                 "app key of app demo-app")),
        (signed("POST", headers={**JSON, "Content-MD5": MD5_OF_NOTHING}),
         Refusal(reason.CONTENT_MD5_INVALID, "the body is empty")),
        (signed("POST", headers={**JSON, "Content-MD5": MD5_OF_NOTHING}, body=b"{}"),
         Refusal(reason.CONTENT_MD5_INVALID, "does not match the body")),
    ],
)  # fmt: skip
def test_a_refused_caller_is_told_what_is_wrong_and_the_operator_more(sent, refusal):
    assert verify(sent) == refusal


def test_an_algorithm_that_the_api_does_not_take_is_named_to_the_operator():
    sent = signed(options=SigningOptions(HMAC_SHA1, NOW_MS))
    assert verify(sent, DigestRules()) == Refusal(reason.SIGNATURE_METHOD_REFUSED, "is not accepted", HMAC_SHA1)


def test_of_several_headers_that_had_to_be_signed_the_first_by_name_is_told():
    rules = DigestRules(require_signed=frozenset({"x-ca-key", "x-tenant", "x-region"}))
    assert verify(signed(), rules) == Refusal(reason.SIGNED_HEADER_REQUIRED, "x-region")


def test_a_strict_refusal_names_the_app_to_the_operator():
    rules = DigestRules(strict=Strictness.ON)
    assert verify(signed(target="/?a=1&a=2"), rules) == Refusal(
        reason.STRICT_REFUSED, "a parameter is repeated", "app demo-app"
    )


def test_an_echo_of_bytes_that_are_no_text_is_still_an_answer():
    refusal = verify(changed(signed(secret="wrong"), accept=b"\xff"))
    assert refusal.reason is reason.SIGNATURE_MISMATCH
    assert refusal.fact.startswith("GET#\N{REPLACEMENT CHARACTER}#")


@pytest.mark.parametrize("blank", [b"", b" ", b"\t"])
def test_a_blank_header_is_as_good_as_none(blank):
    assert verify(changed(signed(), x_ca_signature=blank)) == Refusal(reason.SIGNATURE_MISSING)
    nonce, timestamp = DigestRules(require_nonce=True), DigestRules(require_timestamp=True)
    assert verify(changed(signed(), x_ca_nonce=blank), nonce) == Refusal(reason.NONCE_REQUIRED)
    assert verify(changed(signed(), x_ca_timestamp=blank), timestamp) == Refusal(reason.TIMESTAMP_REQUIRED)
    assert verify(changed(signed(), x_ca_key=blank)) == Refusal(reason.APP_KEY_UNKNOWN)


def test_a_request_that_brings_all_that_is_required_passes():
    rules = DigestRules(require_timestamp=True, require_nonce=True, require_signed=frozenset({"x-ca-nonce"}))
    assert isinstance(verify(signed(), rules), Proof)


@pytest.mark.parametrize("name", ["x_ca_key", "x_ca_timestamp", "x_ca_nonce", "x_ca_signature_method"])
def test_blanks_around_a_header_of_the_scheme_do_not_count(name):
    """Envoy cuts them off; a client that signs without them must pass behind any proxy that does not."""
    sent = changed(signed(), x_ca_signature_method=b"HmacSHA256")
    listed = changed(sent, x_ca_signature_headers=b"Accept")
    padded = resigned(changed(listed, **{name: b" " + listed.headers[name.replace("_", "-")] + b"\t"}))
    proof = verify(padded)
    assert isinstance(proof, Proof)
    assert proof.uses[0].key == verify(resigned(listed)).uses[0].key


def test_a_timestamp_of_fifteen_digits_is_late_and_one_of_sixteen_is_no_timestamp():
    assert verify(changed(signed(), x_ca_timestamp=b"9" * 15)).reason is reason.TIMESTAMP_EXPIRED
    assert verify(changed(signed(), x_ca_timestamp=b"9" * 16)) == Refusal(reason.TIMESTAMP_INVALID)


MANY = Refusal(reason.BODY_UNAVAILABLE, "too many parameters", "more than 5000 parameters")


@pytest.mark.parametrize(
    ("in_query", "in_body", "content_type", "refused"),
    [(5_000, 0, FORM, False), (5_001, 0, FORM, True),
     (5_000, 0, "text/plain", False), (5_001, 0, "text/plain", True),
     (0, 5_000, FORM, False), (0, 5_001, FORM, True), (2_500, 2_500, FORM, False), (2_501, 2_501, FORM, True),
     (0, 5_001, "application/json", False)],
)  # fmt: skip
def test_five_thousand_parameters_are_the_most_that_are_sorted_for_a_stranger(in_query, in_body, content_type, refused):
    query, body = ("&".join(["a=1"] * many) for many in (in_query, in_body))
    outcome = verify(signed("POST", f"/?{query}", {"Content-Type": content_type}, body.encode()))
    assert outcome == MANY if refused else isinstance(outcome, Proof)


def test_a_body_that_is_bound_or_a_form_must_be_whole_even_when_the_other_is_missing():
    for headers in {"Content-Type": FORM}, {**JSON, "Content-MD5": MD5_OF_NOTHING}, {"Content-MD5": MD5_OF_NOTHING}:
        assert verify(signed(headers=headers, delivery=Delivery.NOT_DELIVERED)).reason is reason.BODY_UNAVAILABLE
    assert isinstance(verify(signed(headers=JSON, delivery=Delivery.NOT_DELIVERED)), Proof)


def test_a_signature_without_a_key_is_a_wrong_digest_and_not_a_call_without_one():
    keyless = request(headers={"x-ca-signature": "guess"})
    assert digest.is_presented(keyless, api(DIGEST))
    assert verify(keyless) == Refusal(reason.APP_KEY_UNKNOWN)


def test_a_key_alone_is_a_digest_call_that_lacks_its_signature():
    alone = request(headers={"x-ca-key": KEY})
    assert digest.is_presented(alone, api(DIGEST))
    assert not digest.is_presented(
        request(headers={**alone.headers, "authorization": f"APPCODE {CODE}"}), api(APP_CODE)
    )
    assert not digest.is_presented(request(), api(DIGEST))
