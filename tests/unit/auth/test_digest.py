"""Digest: what a signature covers, and what is refused before and after it is looked at."""

import hmac

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from extauthz.auth import digest
from extauthz.client import SigningOptions
from extauthz.domain import reason
from extauthz.domain.api import DigestRules
from extauthz.domain.app import HMAC_SHA1, HMAC_SHA256
from extauthz.domain.decision import Proof, Refusal
from extauthz.domain.header_names import DIGEST_CREDENTIAL
from extauthz.domain.request import Delivery
from tests.unit.building import BOTH_ALGORITHMS, FORM, KEY, NOW_MS, api, request, resigned, signed, snapshot

API = api()
KNOWN = snapshot(API)
NAMES = st.from_regex(r"x-[a-z][a-z0-9-]{0,8}", fullmatch=True).filter(lambda name: not name.startswith("x-ca-"))
VALUES = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=12).map(str.strip)
ENCODED = st.text("abcXYZ019-._~%+=&", max_size=20).filter(lambda text: "%" not in text) | st.sampled_from(
    ["a=%E4%B8%AD", "%61=1", "a=1%2B1", "a=%26&b=%3D", "%F0%9F%98%80=1&%EF%BC%A1=2", "a=%00", "%zz=%", "&&", "=", "=v"]
)

EITHER = st.booleans()


@st.composite
def requests(draw, kinds=("none", "form", "json"), bound=EITHER):
    """Anything a client may sign: method, path, query, headers to sign, body, algorithm, nonce, stage."""
    segments = draw(st.lists(st.text("abcXYZ019-_~", min_size=1, max_size=6) | st.just("%E8%8C%B6"), max_size=3))
    query = draw(ENCODED)
    headers = draw(st.dictionaries(NAMES, VALUES, max_size=3))
    kind = draw(st.sampled_from(kinds))
    body = b""
    if kind == "form":
        headers["Content-Type"] = FORM + draw(st.sampled_from(["", ";charset=utf-8"]))
        body = draw(ENCODED).encode()
    elif kind == "json":
        headers["Content-Type"] = "application/json"
        body = draw(st.binary(min_size=1, max_size=30))
    options = SigningOptions(
        algorithm=draw(st.sampled_from([HMAC_SHA256, HMAC_SHA1])),
        timestamp_ms=NOW_MS + draw(st.integers(-900_000, 900_000)),
        nonce=draw(st.sampled_from(["", "n-1", "n-2"])),
        stage=draw(st.sampled_from([None, "TEST", "release"])),
        sign_headers=tuple(draw(st.lists(st.sampled_from(sorted(headers)), unique=True)) if headers else ()),
        content_md5=draw(bound),
    )
    method = draw(st.sampled_from(["GET", "POST", "PUT", "DELETE", "get"]))
    target = "/" + "/".join(segments) + (f"?{query}" if query else "")
    return signed(method, target, headers, body, options)


def verify(sent, rules=BOTH_ALGORITHMS, now_ms=NOW_MS):
    return digest.authenticate(sent, api(digest=rules), KNOWN, now_ms)


def why(sent, rules=BOTH_ALGORITHMS, now_ms=NOW_MS):
    outcome = verify(sent, rules, now_ms)
    return outcome.reason if isinstance(outcome, Refusal) else None


@pytest.mark.long
@given(requests())
def test_what_our_client_signs_our_verifier_accepts(sent):
    proof = verify(sent)
    assert isinstance(proof, Proof)
    assert proof.reading == "primary"
    assert proof.app.id == "demo-app"


@given(requests(), st.data())
def test_no_changed_byte_of_a_signed_part_passes(sent, data):
    """Every byte of what the string to sign is made of, and of the signature itself, one at a time."""
    names = [one.strip().lower() for one in sent.headers["x-ca-signature-headers"].decode().split(",")]
    places = ["path", *(name for name in [*names, "accept", "content-type", "content-md5", "x-ca-signature"])]
    place = data.draw(st.sampled_from([one for one in places if one == "path" or sent.headers.get(one)]))
    before = sent.path[1:].encode() if place == "path" else sent.headers[place]
    assume(before)
    index = data.draw(st.integers(0, len(before) - 1))
    other = data.draw(st.integers(0x21, 0x7E).filter(lambda byte: byte != before[index] and chr(byte) not in "%?#"))
    after = before[:index] + bytes([other]) + before[index + 1 :]
    if place == "path":
        changed = sent._replace(path="/" + after.decode("utf-8", "replace"))
    else:
        assume(place != "x-ca-signature-method" or after.lower() != before.lower())
        changed = sent._replace(headers={**sent.headers, place: after})
    assert isinstance(verify(changed), Refusal)


@given(requests())
def test_no_added_parameter_passes(sent):
    changed = sent._replace(query=sent.query + ("&" if sent.query else "") + "added=1")
    assert why(changed) is reason.SIGNATURE_MISMATCH


@given(requests(["json"], st.just(True)), st.integers(0, 29), st.integers(1, 255))
def test_no_changed_byte_of_a_bound_body_passes(sent, index, flip):
    at = index % len(sent.body)
    body = sent.body[:at] + bytes([sent.body[at] ^ flip]) + sent.body[at + 1 :]
    assert why(sent._replace(body=body)) is reason.CONTENT_MD5_INVALID


@given(requests())
def test_another_method_is_another_request(sent):
    assert why(sent._replace(method="PATCH")) is reason.SIGNATURE_MISMATCH


@given(st.dictionaries(st.sampled_from([*DIGEST_CREDENTIAL, "accept", "content-md5"]), st.binary()))
def test_no_guess_is_a_proof(headers):
    assert isinstance(verify(request(headers=headers)), Refusal)


@pytest.mark.parametrize("name", ["x-ca-key", "x-ca-signature", "x-ca-timestamp", "x-ca-nonce", "x-ca-stage",
                                  "x-ca-signature-headers", "x-ca-signature-method", "content-md5", "content-type",
                                  "date"])  # fmt: skip
def test_a_header_of_the_scheme_stands_once(name):
    sent = signed()
    twice = sent._replace(repeated=frozenset({name}))
    assert why(twice) is reason.HEADER_REPEATED


def test_an_ordinary_header_may_be_repeated():
    assert why(signed()._replace(repeated=frozenset({"accept-language"}))) is None


def test_a_line_feed_after_the_signature_is_forgiven_because_a_vendor_sdk_sends_it():
    sent = signed()
    assert (
        why(sent._replace(headers={**sent.headers, "x-ca-signature": sent.headers["x-ca-signature"] + b"\n"})) is None
    )


@pytest.mark.parametrize("spelling", [b"HmacSHA256", b"HMACSHA256", b"hmacsha256", b""])
def test_the_default_algorithm_may_be_named_in_any_case_or_not_at_all(spelling):
    sent = signed()
    headers = {**sent.headers, "x-ca-signature-method": spelling}
    assert why(sent._replace(headers=headers)) is None


@pytest.mark.parametrize("spelling", [b"HmacMD5", b"none", b"HmacSHA256,HmacSHA1", b"\xff"])
def test_an_unknown_algorithm_is_refused(spelling):
    sent = signed()
    assert why(sent._replace(headers={**sent.headers, "x-ca-signature-method": spelling})) is (
        reason.SIGNATURE_METHOD_REFUSED
    )


def test_sha1_needs_the_apis_consent():
    sent = signed(options=SigningOptions(HMAC_SHA1, NOW_MS))
    assert why(sent, DigestRules()) is reason.SIGNATURE_METHOD_REFUSED
    assert why(sent) is None


def test_a_sha256_signature_does_not_pass_as_sha1():
    sent = signed()
    assert why(sent._replace(headers={**sent.headers, "x-ca-signature-method": b"HmacSHA1"})) is (
        reason.SIGNATURE_MISMATCH
    )


@pytest.mark.parametrize("stated", [b"1e12", b"-1", b"+1700000000000", b"1700000000000.0", b"9" * 16, "１７".encode(),
                                    b"0x10", b"1_700_000_000_000"])  # fmt: skip
def test_a_timestamp_is_a_plain_number_of_milliseconds(stated):
    sent = signed()
    assert why(sent._replace(headers={**sent.headers, "x-ca-timestamp": stated})) is reason.TIMESTAMP_INVALID


def test_without_a_timestamp_only_where_the_api_allows_it():
    sent = signed()
    bare = {name: value for name, value in sent.headers.items() if name != "x-ca-timestamp"}
    assert why(sent._replace(headers=bare), DigestRules(require_timestamp=True)) is reason.TIMESTAMP_REQUIRED
    assert why(sent._replace(headers=bare)) is reason.SIGNATURE_MISMATCH  # it was signed, so taking it away shows


def test_a_required_nonce_must_be_there():
    sent = signed(options=SigningOptions(timestamp_ms=NOW_MS, nonce=""))
    assert why(sent, DigestRules(require_nonce=True)) is reason.NONCE_REQUIRED
    assert why(sent) is None


def test_a_required_signed_header_must_be_listed():
    rules = DigestRules(require_signed=frozenset({"x-tenant"}))
    assert why(signed(headers={"X-Tenant": "a"}), rules) is reason.SIGNED_HEADER_REQUIRED
    listed = SigningOptions(timestamp_ms=NOW_MS, sign_headers=("X-Tenant",))
    assert why(signed(headers={"X-Tenant": "a"}, options=listed), rules) is None


@pytest.mark.parametrize("listed", [b"x-ca-key,/v1/orders", b"x ca key", b"a\nb", b"x-ca-key:", b"\xe6\x9d\xad"])
def test_a_list_with_something_that_is_no_header_name_is_refused(listed):
    sent = signed()
    assert why(sent._replace(headers={**sent.headers, "x-ca-signature-headers": listed})) is reason.HEADER_INVALID


@pytest.mark.parametrize("delivery", [Delivery.PARTIAL, Delivery.NOT_DELIVERED])
@pytest.mark.parametrize("headers", [{"Content-Type": FORM}, {"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}])
def test_a_proof_that_covers_the_body_needs_all_of_it(delivery, headers):
    sent = signed("POST", headers=headers)
    cut = delivery is Delivery.PARTIAL
    assert why(sent._replace(delivery=delivery)) is (reason.BODY_TOO_LARGE if cut else reason.BODY_UNAVAILABLE)


def test_a_body_that_nobody_bound_may_be_missing():
    sent = signed("POST", headers={"Content-Type": "application/json"}, options=SigningOptions(timestamp_ms=NOW_MS))
    assert why(sent._replace(delivery=Delivery.NOT_DELIVERED)) is None


def test_an_unknown_key_is_called_so():
    assert why(signed(key="demo-app-key-9999")) is reason.APP_KEY_UNKNOWN


def test_an_unknown_key_is_computed_like_a_known_one(monkeypatch):
    """Both cost one HMAC for each reading, so that time does not tell them apart."""
    form = {"target": "/v1/%20?k=1", "method": "POST", "headers": {"Content-Type": FORM}, "body": b"k=2"}
    requests = [signed(**form, key=key, secret="wrong") for key in (KEY, "demo-app-key-9999")]
    costs, real = [], hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda *given: costs.append(1) or real(*given))
    for sent in requests:
        costs.append(0)
        verify(sent)
    assert costs == [0, 1, 1, 1, 1, 0, 1, 1, 1, 1]


def test_a_nonce_is_kept_as_long_as_its_signed_timestamp_could_be_accepted():
    ahead = signed(options=SigningOptions(timestamp_ms=NOW_MS + 900_000, nonce="n"))
    (use,) = verify(ahead).uses
    assert use.expires_ms == NOW_MS + 1_800_000


def test_a_nonce_without_a_signed_timestamp_is_kept_for_two_windows():
    sent = signed()
    listed = {**sent.headers, "x-ca-signature-headers": b"X-Ca-Key"}
    (use,) = verify(resigned(sent._replace(headers=listed))).uses
    assert use.expires_ms == NOW_MS + 1_800_000


def test_one_nonce_of_two_keys_or_two_apis_is_two_nonces():
    known = snapshot(API, keys={KEY: "demo-app-secret-0001", "other-key": "demo-app-secret-0001"})
    keys = set()
    for key, name in (KEY, "orders"), ("other-key", "orders"), (KEY, "reports"):
        (use,) = digest.authenticate(signed(key=key), api(id=name), known, NOW_MS).uses
        keys.add(use.key)
    assert len(keys) == 3
