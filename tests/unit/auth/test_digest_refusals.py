"""Digest: what a caller whose request is refused is told, what the operator is told, and where the bounds lie."""

import pytest

from extauthz.auth import digest
from extauthz.client import SigningOptions
from extauthz.domain import reason
from extauthz.domain.api import DigestRules, Strictness
from extauthz.domain.app import HMAC_SHA1
from extauthz.domain.decision import Proof, Refusal
from extauthz.domain.request import Delivery
from extauthz.domain.settings import Settings
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
         Refusal(reason.HEADER_INVALID, "X-Ca-Signature-Headers", "too long, no header names, or one name twice")),
        (changed(signed(), x_ca_timestamp=b"%d" % (NOW_MS - 900_001)),
         Refusal(reason.TIMESTAMP_EXPIRED, "", "our clock is 900001 ms ahead of the timestamp")),
        (changed(signed(), x_ca_timestamp=b"%d" % (NOW_MS + 900_001)),
         Refusal(reason.TIMESTAMP_EXPIRED, "", "our clock is -900001 ms ahead of the timestamp")),
        (signed("POST", headers={"Content-Type": FORM}, delivery=Delivery.PARTIAL),
         Refusal(reason.BODY_TOO_LARGE, "", "Envoy delivered a part of it")),
        (signed("POST", headers={"Content-Type": FORM}, delivery=Delivery.NOT_DELIVERED),
         Refusal(reason.BODY_UNAVAILABLE, "not available to verify", "body not delivered")),
        (signed(key="nobody"), Refusal(reason.APP_KEY_UNKNOWN, "", "AppKey nobody")),
        (signed(secret="wrong", headers={"Accept": "*/*"}),
         Refusal(reason.SIGNATURE_MISMATCH,
                 f"GET#*/*####X-Ca-Key:{KEY}#X-Ca-Nonce:nonce-1#X-Ca-Timestamp:{NOW_MS}#/v1/orders",
                 "app key of app demo-app")),
        (signed("POST", headers={**JSON, "Content-MD5": "DMF1ucDxtqgxw5niaXcmYQ=="}),
         Refusal(reason.CONTENT_MD5_INVALID, "does not match the body")),
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
    assert verify(changed(signed(), x_ca_key=blank)) == Refusal(reason.APP_KEY_UNKNOWN, "", "AppKey ")


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
    sent = signed("POST", "/", {"Content-Type": content_type})._replace(query=query, body=body.encode())
    outcome = verify(sent if refused else resigned(sent))
    assert outcome == MANY if refused else isinstance(outcome, Proof)


def test_a_body_that_is_bound_or_a_form_must_be_whole_even_when_the_other_is_missing():
    for headers in {"Content-Type": FORM}, {**JSON, "Content-MD5": MD5_OF_NOTHING}, {"Content-MD5": MD5_OF_NOTHING}:
        assert verify(signed(headers=headers, delivery=Delivery.NOT_DELIVERED)).reason is reason.BODY_UNAVAILABLE
    assert isinstance(verify(signed(headers=JSON, delivery=Delivery.NOT_DELIVERED)), Proof)


def test_a_signature_without_a_key_is_a_wrong_digest_and_not_a_call_without_one():
    keyless = request(headers={"x-ca-signature": "guess"})
    assert digest.is_presented(keyless, api(DIGEST))
    assert verify(keyless) == Refusal(reason.APP_KEY_UNKNOWN, "", "AppKey ")


def test_a_key_alone_is_a_digest_call_that_lacks_its_signature():
    alone = request(headers={"x-ca-key": KEY})
    assert digest.is_presented(alone, api(DIGEST))
    assert not digest.is_presented(
        request(headers={**alone.headers, "authorization": f"APPCODE {CODE}"}), api(APP_CODE)
    )
    assert not digest.is_presented(request(), api(DIGEST))


SECRET_VALUES = {"Cookie": "session=only-the-browser", "X-Forwarded-User": "added-by-a-proxy", "Host": "inner.example"}


def test_a_caller_that_lists_any_header_is_not_told_its_value():
    """A script may name a cookie that it cannot read; a header may have been added by a proxy before us."""
    options = SigningOptions(timestamp_ms=NOW_MS, nonce="n", stage="TEST", sign_headers=tuple(SECRET_VALUES))
    sent = signed(headers={**SECRET_VALUES, "Accept": "*/*"}, secret="wrong", options=options)
    told = verify(sent).fact
    assert told == (
        f"GET#*/*####Cookie:***#Host:***#X-Ca-Key:{KEY}#X-Ca-Nonce:n#X-Ca-Stage:TEST#X-Ca-Timestamp:{NOW_MS}"
        "#X-Forwarded-User:***#/v1/orders"
    )
    absent = verify(sent._replace(headers={k: v for k, v in sent.headers.items() if k != "cookie"})).fact
    assert "#Cookie:#" in absent, "that a header did not arrive is what its client has to know"


def test_an_echo_shows_path_and_parameters_as_they_were_read():
    sent = signed("POST", "/v1/%20?b=1", {"Content-Type": FORM, "Cookie": "c"}, b"a=%41", secret="wrong")
    assert verify(sent).fact.endswith("#/v1/%20?a=A&b=1")


@pytest.mark.parametrize(("body", "stated", "passes"), [
    (b"", MD5_OF_NOTHING, True), (b"", "DMF1ucDxtqgxw5niaXcmYQ==", False), (b"{}", MD5_OF_NOTHING, False),
])  # fmt: skip
def test_the_md5_of_nothing_is_compared_with_nothing(body, stated, passes):
    """Several clients in Go and JavaScript send it with every GET."""
    outcome = verify(signed("GET", headers={**JSON, "Content-MD5": stated}, body=body))
    assert isinstance(outcome, Proof) is passes
    assert passes or outcome.reason is reason.CONTENT_MD5_INVALID


@pytest.mark.parametrize(("mebibytes", "extra", "passes"), [(1, 0, True), (1, 1, False), (2, 1, True)])
def test_a_form_past_the_setting_is_too_large(mebibytes, extra, passes):
    size = 1024 * 1024 + extra
    known = snapshot(api(), settings=Settings(max_form_bytes=mebibytes << 20))
    sent = signed("POST", headers={"Content-Type": FORM}, body=b"a=" + b"x" * (size - 2))
    outcome = digest.authenticate(sent, api(), known, NOW_MS)
    too_large = Refusal(reason.BODY_TOO_LARGE, "", "a form of more than 1048576 bytes")
    assert isinstance(outcome, Proof) if passes else outcome == too_large
    assert (reason.BODY_TOO_LARGE.vpc.code, reason.BODY_TOO_LARGE.vpc.status) == ("I413RL", 413)


def test_the_operator_is_told_a_bounded_part_of_an_unknown_key():
    refusal = verify(changed(signed(), x_ca_key=b"k" * 5000 + b"\xff"))
    assert isinstance(refusal, Refusal)
    assert refusal.detail == f"AppKey {'k' * 64}"
    assert verify(changed(signed(), x_ca_key=b"\xff\n")).detail.isprintable()
