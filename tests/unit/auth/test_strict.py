"""Strict mode: what the scheme leaves open is refused, and the string to sign then says everything about a request."""

import base64
import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.auth import digest
from extauthz.auth.parameters import is_form, parse_pairs
from extauthz.auth.string_to_sign import StringToSign, signed_names
from extauthz.client import SigningOptions
from extauthz.domain import reason
from extauthz.domain.api import DigestRules, Strictness
from extauthz.domain.decision import Proof, Refusal
from extauthz.domain.request import Delivery
from extauthz.domain.routing.path import path_fault
from tests.unit.building import FORM, KEY, NOW_MS, STRICT, api, request, resigned, signed, snapshot

API = api(digest=STRICT)
KNOWN = snapshot(API)
SMALL = st.sampled_from(["", "a", "b", "a=1", "b=1", "a=2", "a=1&b=1", "b=1&a=1", "%61=1", "a=1&b", "a%26b=1",
                         "a=1%26b", "a%3D1=", "a=1%0Ax", "=1", "a=&b=1", "a=b%3D1", "%3F=1", "a=1&a=1",
                         "a=1?b=1"])  # fmt: skip
PATHS = st.sampled_from(["/", "/a", "/a%3Fa=1", "/x:/a", "/%61", "/a%0Ab", "/a:1"])
LISTS = st.lists(
    st.sampled_from(["X-Ca-Key", "x-ca-key", "X-Ca-Nonce", "X-Ca-Timestamp", "X-Ca-Stage", "X-A", "x-a", "X-B",
                     "Accept"]), max_size=6, unique_by=str.lower,
).map(",".join)  # fmt: skip
SHORT = st.sampled_from(["", "1", "/a", "a:1", " ", "\t1", "é"])


@st.composite
def signed_requests(draw):
    """Requests of few and colliding parts, each signed rightly, as an attacker who may choose what to sign would."""
    headers = {"x-ca-key": KEY, "x-ca-timestamp": str(NOW_MS), "x-ca-nonce": draw(st.sampled_from(["1", "2"]))}
    for name in "x-ca-stage", "x-a", "x-b", "accept", "date", "content-type":
        if draw(st.booleans()):
            headers[name] = draw(SHORT if name != "x-ca-stage" else st.sampled_from(["TEST", "RELEASE"]))
    if draw(st.booleans()):
        headers["content-type"] = draw(st.sampled_from([FORM, FORM + ";a=1", FORM.upper()]))
    body = draw(SMALL).encode()
    md5 = draw(st.sampled_from(["none", "right", "blank"]))
    if md5 != "none":
        headers["content-md5"] = base64.b64encode(hashlib.md5(body).digest()).decode() if md5 == "right" else " "
    listed = draw(LISTS | st.just("X-Ca-Key,X-Ca-Nonce,X-Ca-Timestamp,X-Ca-Stage"))
    headers["x-ca-signature-headers"] = ",".join(draw(st.permutations(listed.split(","))))
    query = draw(SMALL)
    sent = request(
        draw(st.sampled_from(["GET", "POST", "PUT"])),
        draw(PATHS) + (f"?{query}" if query else ""),
        headers,
        body,
        delivery=draw(st.sampled_from(Delivery)),
    )
    return resigned(sent)


def string_of(sent):
    return StringToSign(sent, signed_names(sent.headers["x-ca-signature-headers"])).primary()


def accepted(sent):
    return not path_fault(sent.path) and isinstance(digest.authenticate(sent, API, KNOWN, NOW_MS), Proof)


def meaning(sent):
    """What an upstream acts on: everything but the order and spelling of parameters, and headers nobody signed."""
    names = {name.lower for name in signed_names(sent.headers["x-ca-signature-headers"])}
    fixed = ("accept", "content-md5", "content-type", "date", "x-ca-stage", "x-ca-key", "x-ca-nonce", "x-ca-timestamp")
    form = is_form(sent.headers.get("content-type", b""))
    return (
        sent.method,
        sent.path,
        sorted(parse_pairs(sent.query.encode())),
        sorted(parse_pairs(sent.body)) if form else sent.body,
        tuple(sent.headers.get(name, b"") for name in fixed),
        tuple(sorted((name, sent.headers[name].strip()) for name in names)),
    )


@pytest.mark.long
@given(st.lists(signed_requests(), min_size=8, max_size=20))
def test_no_two_different_requests_that_strict_mode_accepts_share_a_string_to_sign(sents):
    by_string = {}
    for sent in sents:
        if accepted(sent):
            assert by_string.setdefault(string_of(sent), meaning(sent)) == meaning(sent)


@pytest.mark.long
def test_the_same_over_every_pair_of_small_requests():
    """All combinations, not a sample: method, path, query, body, type, bound or not, delivered or not."""
    by_string = {}
    taken = 0
    queries = ["", "a=1", "a", "a=", "b=1", "a=1&b=1", "a%26b=1", "a=1%26b=1", "a=1&a=1", "a%3D1", "=1"]
    bodies = [b"", b"a=1", b"b=1", b"a=1&b=1", b"a", b"a=1%26b=1", b"a=1&a=2"]
    kinds = [FORM, "application/json", ""]
    for method, path, query, body, kind, bound, delivery in itertools.product(
        ["GET", "POST"], ["/x", "/x:y"], queries, bodies, kinds, [False, True], Delivery
    ):
        headers = {"X-Ca-Key": KEY, "X-Ca-Nonce": "1", "X-Ca-Timestamp": str(NOW_MS), "content-type": kind,
                   "x-ca-signature-headers": "X-Ca-Key,X-Ca-Nonce,X-Ca-Timestamp"}  # fmt: skip
        if bound:
            headers["content-md5"] = base64.b64encode(hashlib.md5(body).digest()).decode()
        sent = resigned(request(method, path + (f"?{query}" if query else ""), headers, body, delivery=delivery))
        if accepted(sent):
            taken += 1
            assert by_string.setdefault(string_of(sent), meaning(sent)) == meaning(sent), (sent, string_of(sent))
            assert delivery is Delivery.WHOLE, "what was not delivered is not known"
    assert taken > 50


def why(sent, rules=STRICT):
    outcome = digest.authenticate(sent, api(digest=rules), KNOWN, NOW_MS)
    return (outcome.reason, outcome.fact) if isinstance(outcome, Refusal) else None


@pytest.mark.parametrize(
    ("target", "fact"),
    [
        ("/v1/orders?a=1&a=2", "a parameter is repeated"),
        ("/v1/orders?a=1%26b=2", "a parameter is ambiguous once decoded"),
        ("/v1/orders?a%3Db=1", "a parameter is ambiguous once decoded"),
        ("/v1/orders?a%26b=1", "a parameter is ambiguous once decoded"),
        ("/v1/orders?a%0Ab=1", "a parameter is ambiguous once decoded"),
        ("/v1/orders?=1", "a parameter is ambiguous once decoded"),
        ("/v1/orders?a=1%0A2", "a parameter is ambiguous once decoded"),
    ],
)
def test_an_ambiguous_parameter_is_refused(target, fact):
    assert why(signed(target=target)) == (reason.STRICT_REFUSED, fact)


@pytest.mark.parametrize("name", ["X-Ca-Timestamp", "X-Ca-Nonce", "X-Ca-Key", "X-Ca-Stage"])
def test_what_identifies_a_request_must_be_signed(name):
    sent = signed(options=SigningOptions(timestamp_ms=NOW_MS, nonce="1", stage="TEST"))
    listed = [one for one in sent.headers["x-ca-signature-headers"].split(b",") if one != name.encode()]
    changed = resigned(sent._replace(headers={**sent.headers, "x-ca-signature-headers": b",".join(listed)}))
    assert why(changed) == (reason.STRICT_REFUSED, f"{name.lower()} is not signed")


def test_a_nonce_is_required():
    sent = signed(options=SigningOptions(timestamp_ms=NOW_MS, nonce=""))
    assert why(sent) == (reason.STRICT_REFUSED, "x-ca-nonce is missing")


def test_a_listed_header_stands_once_in_the_list_and_once_in_the_request():
    sent = signed(headers={"X-A": "1"}, options=SigningOptions(timestamp_ms=NOW_MS, nonce="1", sign_headers=("X-A",)))
    listed = sent.headers["x-ca-signature-headers"]
    absent = resigned(sent._replace(headers={**sent.headers, "x-ca-signature-headers": listed + b",X-B"}))
    assert why(absent) == (reason.STRICT_REFUSED, "a signed header is missing")
    repeated = sent._replace(repeated=frozenset({"x-a"}))
    assert why(repeated) == (reason.STRICT_REFUSED, "a signed header is repeated")


@pytest.mark.parametrize("blank", ["", " ", "\t"])
def test_a_blank_content_md5_binds_no_body(blank):
    headers = {"Content-Type": "application/json", "Content-MD5": blank}
    sent = signed("POST", headers=headers, body=b"{}")
    assert why(sent) == (reason.STRICT_REFUSED, "the body is not bound by Content-MD5")


@pytest.mark.parametrize("delivery", [Delivery.PARTIAL, Delivery.NOT_DELIVERED])
def test_a_body_that_we_were_not_shown_is_not_bound(delivery):
    sent = signed("POST", headers={"Content-Type": "application/json"}, delivery=delivery)
    assert why(sent) == (reason.STRICT_REFUSED, "the body is not bound by Content-MD5")


def test_a_form_may_not_share_its_parameters_with_the_query():
    sent = signed("POST", "/v1/orders?a=1", {"Content-Type": FORM}, b"b=2")
    assert why(sent) == (reason.STRICT_REFUSED, "a form request has query parameters")


@pytest.mark.parametrize("method", ["GET", "DELETE", "get"])
def test_a_method_that_has_no_form_may_bring_none(method):
    sent = signed(method, "/v1/orders", {"Content-Type": FORM}, b"b=2")
    assert why(sent) == (reason.STRICT_REFUSED, "a form body on a method that has none")


def test_warn_lets_pass_and_says_what_strict_would_refuse():
    sent = signed(target="/v1/orders?a=1&a=2")
    proof = digest.authenticate(sent, api(digest=DigestRules(strict=Strictness.WARN)), KNOWN, NOW_MS)
    assert isinstance(proof, Proof)
    assert proof.warning == "a parameter is repeated"
    assert digest.authenticate(sent, api(digest=DigestRules()), KNOWN, NOW_MS).warning == ""


@pytest.mark.parametrize(
    ("method", "target", "headers", "body"),
    [
        ("GET", "/v1/orders?b=2&a=1", {}, b""),
        ("POST", "/v1/orders?b=2", {"Content-Type": "application/json"}, b'{"a":1}'),
        ("POST", "/v1/orders", {"Content-Type": FORM}, b"a=1&b=2"),
        ("GET", "/v1/orders?a=1", {"Content-Type": FORM}, b""),
    ],
)
def test_an_orderly_client_passes_strict_mode(method, target, headers, body):
    assert why(signed(method, target, headers, body)) is None


@pytest.mark.parametrize(
    ("method", "target", "headers", "body"),
    [("GET", "/v1/orders?msg=hello!", {}, b""), ("GET", "/v1/orders", {"X-Ca-City": "hello!"}, b""),
     ("POST", "/v1/orders", {"Content-Type": "text/plain"}, b"hello!"), ("GET", "/v1/orders", {"Accept": "a!"}, b"")],
)  # fmt: skip
def test_a_mark_that_envoy_may_have_written_for_any_byte_is_refused(method, target, headers, body):
    sent = signed(method, target, headers, body)
    assert isinstance(digest.authenticate(sent, API, KNOWN, NOW_MS), Proof)
    refusal = digest.authenticate(sent._replace(lossy=True), API, KNOWN, NOW_MS)
    assert (refusal.reason, refusal.fact) == (reason.STRICT_REFUSED, "`!` may stand for bytes that are not UTF-8")
    assert isinstance(digest.authenticate(signed(target="/v1/orders?a=1", lossy=True), API, KNOWN, NOW_MS), Proof)
