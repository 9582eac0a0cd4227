"""JWT: what a caller with a bad token is told, the exact bounds, and the claims that Envoy verified for us."""

import math
from typing import Any

import pytest
from jwt.exceptions import InvalidKeyError

from extauthz.auth import jwt
from extauthz.auth.jwt_claims import valid_between
from extauthz.domain import reason
from extauthz.domain.decision import Proof, Refusal
from extauthz.domain.tokens.jwk import KeySet, VerificationKey
from extauthz.domain.tokens.jwt import MAX_CLOCK_SKEW_S, ClaimHeader, JwtPlugin
from extauthz.domain.tokens.key_source import KeySource
from tests.unit.auth.one_api import EC_KEY, NOW_S, RSA_KEY, api, key_set, plugin, request, serving, token

DAY_S = 86_400
INVALID = reason.JWT_INVALID


def verify(sent: Any, now_ms: int = NOW_S * 1000, **settings: Any) -> Proof | Refusal:
    chosen = plugin(**settings)
    return jwt.authenticate(sent, api(chosen), serving(chosen), now_ms)


def outcome(claims: dict[str, Any] | None = None, now_ms: int = NOW_S * 1000, **settings: Any) -> Proof | Refusal:
    return verify(request(token(claims)), now_ms, **settings)


@pytest.mark.parametrize(
    ("claims", "settings", "refusal"),
    [
        ({"exp": "soon"}, {}, Refusal(INVALID, "claim exp is not a number")),
        ({"nbf": True}, {}, Refusal(INVALID, "claim nbf is not a number")),
        ({"iat": None}, {}, Refusal(INVALID, "claim iat is not a number")),
        ({"exp": NOW_S - 60}, {}, Refusal(reason.JWT_EXPIRED, "Fri, 15 Jan 2027 07:59:00 GMT")),
        ({"exp": NOW_S + 7 * DAY_S + 1}, {}, Refusal(INVALID, "lifetime is too long")),
        ({"nbf": NOW_S + 61}, {}, Refusal(INVALID, "claim nbf lies in the future")),
        ({"iat": NOW_S + 61}, {}, Refusal(INVALID, "claim iat lies in the future")),
        ({"iss": "a"}, {"issuers": frozenset("bc")}, Refusal(INVALID, "claim iss is not accepted")),
        ({"iss": "B"}, {"issuers": frozenset("b")}, Refusal(INVALID, "claim iss is not accepted")),
        ({}, {"issuers": frozenset("b")}, Refusal(INVALID, "claim iss is missing")),
        ({}, {"audiences": frozenset("b")}, Refusal(INVALID, "claim aud is missing")),
        ({"aud": []}, {"audiences": frozenset("b")}, Refusal(INVALID, "claim aud is not accepted")),
        ({"aud": "a"}, {"audiences": frozenset("b")}, Refusal(INVALID, "claim aud is not accepted")),
        ({}, {"required_claims": {("tier",): None}}, Refusal(INVALID, "claim tier is missing")),
        ({"tier": 1}, {"required_claims": {("tier",): (2,)}}, Refusal(INVALID, "claim tier is not accepted")),
        ({"a": {"c": 1}}, {"required_claims": {("a", "b"): None}}, Refusal(INVALID, "claim a.b is missing")),
        ({"a": {"b": 1}}, {"required_claims": {("a", "b"): (2,)}}, Refusal(INVALID, "claim a.b is not accepted")),
        ({"a": {"b": {}}}, {"claim_headers": (ClaimHeader(("a", "b"), "x-b"),)},
         Refusal(INVALID, "claim a.b does not fit in a header")),
        ({"scope": "a"}, {"scopes": frozenset("b")}, Refusal(INVALID, "scope is not sufficient")),
        ({"sub": "a\nb"}, {}, Refusal(INVALID, "claim sub is not plain text")),
        ({"name": "a\nb"}, {"claim_headers": (ClaimHeader(("name",), "x-name"),)},
         Refusal(INVALID, "claim name does not fit in a header")),
        ({}, {"prevent_jti_replay": True}, Refusal(reason.JTI_REQUIRED)),
        ({"jti": ""}, {"prevent_jti_replay": True}, Refusal(reason.JTI_REQUIRED)),
        ({"jti": 5}, {"prevent_jti_replay": True}, Refusal(reason.JTI_REQUIRED)),
    ],
)  # fmt: skip
def test_a_caller_is_told_which_claim_was_not_accepted(claims, settings, refusal):
    assert outcome(claims, **settings) == refusal


def test_an_algorithm_that_the_plug_in_does_not_list_is_refused_before_any_key_is_tried():
    chosen = JwtPlugin("p", plugin().key_source, frozenset({"ES256"}))
    refused = jwt.authenticate(request(token()), api(chosen), serving(chosen), NOW_S * 1000)
    assert refused == Refusal(INVALID, "algorithm not accepted")


def test_a_token_without_an_end_is_refused():
    sent = request("", envoy_claims={"payload": {"sub": "alice"}}.get)
    assert verify(sent, envoy_payload="payload") == Refusal(INVALID, "claim exp is missing")


@pytest.mark.parametrize(
    ("claims", "passes"),
    [({"exp": NOW_S - 59}, True), ({"exp": NOW_S - 60}, False), ({"nbf": NOW_S + 60}, True),
     ({"nbf": NOW_S + 61}, False), ({"iat": NOW_S + 60}, True), ({"iat": NOW_S + 61}, False),
     ({"exp": NOW_S + 7 * DAY_S}, True), ({"exp": NOW_S + 7 * DAY_S + 1}, False),
     ({"iat": NOW_S - 1, "exp": NOW_S + 7 * DAY_S}, False)],
)  # fmt: skip
def test_the_last_second_of_every_bound_is_inside(claims, passes):
    assert isinstance(outcome(claims), Proof) is passes


@pytest.mark.parametrize(
    ("header", "refusal"),
    [({"crit": ["b64"]}, Refusal(INVALID, "critical header not understood")),
     ({"typ": "dpop+jwt"}, Refusal(INVALID, "wrong type of token")),
     ({"kid": "nobody"}, Refusal(reason.JWT_KEY_UNKNOWN, "nobody"))],
)  # fmt: skip
def test_a_caller_is_told_what_is_wrong_with_the_head_of_a_token(header, refusal):
    assert verify(request(token(None, **header))) == refusal


def test_a_caller_is_told_that_a_signature_is_wrong_and_nothing_of_the_key():
    head, body, _ = token().split(".")
    other = token({"sub": "mallory"}).split(".")[2]
    assert verify(request(f"{head}.{body}.{other}")) == Refusal(INVALID, "signature does not match")


@pytest.mark.parametrize(
    ("text", "refusal"),
    [("a.b", Refusal(reason.JWT_MALFORMED, detail="not three parts of base64url")),
     ("W10.W10.", Refusal(reason.JWT_MALFORMED, detail="header or claims are not an object")),
     ("e30.W10.", Refusal(reason.JWT_MALFORMED, detail="header or claims are not an object")),
     ("e30.e30x.", Refusal(reason.JWT_MALFORMED, detail="JSONDecodeError")),
     ("", Refusal(reason.JWT_MISSING)),
     ("x" * 16_385, Refusal(reason.JWT_MALFORMED, detail="longer than 16384 bytes")),
     ("x" * 16_384, Refusal(reason.JWT_MALFORMED, detail="not three parts of base64url"))],
)  # fmt: skip
def test_an_operator_is_told_what_made_a_token_unreadable(text, refusal):
    assert verify(request(text)) == refusal


def test_a_token_of_another_key_of_the_set_does_not_pass_under_a_known_kid():
    chosen = JwtPlugin("p", type(plugin().key_source).fixed(key_set(RSA_KEY, EC_KEY)), frozenset({"RS256", "ES256"}))
    forged = token(None, {**EC_KEY, "kid": "rsa-1"})
    refused = jwt.authenticate(request(forged), api(chosen), serving(chosen), NOW_S * 1000)
    assert refused == Refusal(reason.JWT_KEY_UNKNOWN, "rsa-1")


def test_a_token_is_remembered_for_no_longer_than_each_of_its_times_allows():
    claims = {"exp": NOW_S + 600}
    assert valid_between(claims | {"iat": NOW_S}, plugin()) == (NOW_S - 60, NOW_S + 660)
    assert valid_between(claims | {"nbf": NOW_S + 10}, plugin()) == (NOW_S - 50, NOW_S + 660)
    assert valid_between(claims | {"iat": NOW_S, "nbf": NOW_S + 10}, plugin()) == (NOW_S - 50, NOW_S + 660)
    longest = {"exp": NOW_S + 7 * DAY_S}
    assert valid_between(longest, plugin())[0] == NOW_S
    assert valid_between(longest | {"iat": NOW_S}, plugin())[0] == NOW_S - 60
    assert valid_between({"nbf": NOW_S}, plugin(ignore_expiration=True)) == (NOW_S - 60, math.inf)


def test_a_jti_is_remembered_as_long_as_its_token_could_pass():
    (use,) = outcome({"jti": "1", "exp": NOW_S + 600}, prevent_jti_replay=True).uses
    assert use.expires_ms == (NOW_S + 600 + MAX_CLOCK_SKEW_S) * 1000
    (use,) = outcome({"jti": "1"}, prevent_jti_replay=True, ignore_expiration=True).uses
    assert use.expires_ms == (NOW_S + 7 * DAY_S + 60) * 1000


# Claims that Envoy's own filter verified.


def from_envoy(claims: dict[str, Any] | None, **settings: Any) -> Proof | Refusal:
    payloads = {"payload": claims}
    return verify(request("", envoy_claims=payloads.get), envoy_payload="payload", **settings)


HOLDING = {"sub": "alice", "iat": float(NOW_S), "exp": NOW_S + 600.0}


def test_claims_that_envoy_verified_are_a_proof_and_no_token_of_the_client_is_read():
    assert from_envoy(HOLDING) == Proof("jwt", subject="alice")
    sent = request(token({"sub": "mallory"}), envoy_claims={"payload": HOLDING}.get)
    assert verify(sent, envoy_payload="payload").subject == "alice"
    assert jwt.is_presented(sent, api(plugin(envoy_payload="payload")))


def test_where_envoys_claims_are_wanted_a_token_of_the_client_opens_nothing():
    nothing = Refusal(reason.JWT_MISSING, detail="Envoy's jwt_authn left no payload under 'payload'")
    for sent in request(token()), request(token(), envoy_claims={"other": HOLDING}.get):
        assert verify(sent, envoy_payload="payload") == nothing
        assert not jwt.is_presented(sent, api(plugin(envoy_payload="payload")))


@pytest.mark.parametrize(
    ("claims", "settings", "refused"),
    [({"exp": NOW_S - 60}, {}, reason.JWT_EXPIRED), ({"nbf": NOW_S + 61}, {}, INVALID),
     ({}, {"issuers": frozenset({"us"})}, INVALID), ({}, {"audiences": frozenset({"us"})}, INVALID),
     ({}, {"prevent_jti_replay": True}, reason.JTI_REQUIRED)],
)  # fmt: skip
def test_every_rule_about_claims_holds_for_envoys_too(claims, settings, refused):
    assert from_envoy(HOLDING | claims, **settings).reason is refused
    assert isinstance(from_envoy(HOLDING | {"exp": NOW_S - 59.0}), Proof)


def test_a_jti_that_envoy_verified_passes_once_and_may_be_any_text():
    settings = {"prevent_jti_replay": True}
    (use,) = from_envoy(HOLDING | {"jti": "1"}, **settings).uses
    (same,) = outcome({"jti": "1"}, **settings).uses
    (other,) = from_envoy(HOLDING | {"jti": "\ud800"}, **settings).uses
    assert (use.key, use.expires_ms, use.used) == (same.key, (NOW_S + 600 + MAX_CLOCK_SKEW_S) * 1000, reason.JTI_USED)
    assert other.key != use.key
    (endless,) = from_envoy(HOLDING | {"jti": "1"}, **settings, ignore_expiration=True).uses
    assert endless.expires_ms == (NOW_S + 7 * DAY_S + 60) * 1000


def test_a_second_counts_as_one_until_it_is_over():
    late = (NOW_S + 659) * 1000 + 999
    assert isinstance(outcome({"exp": NOW_S + 600}, late), Proof)
    assert isinstance(verify(request("", envoy_claims={"p": HOLDING}.get), late, envoy_payload="p"), Proof)
    assert outcome({"exp": NOW_S + 600}, late + 1).reason is reason.JWT_EXPIRED


class _Stumbling:
    """An algorithm, and a key that has it, whose library gives up instead of answering."""

    def __init__(self, error: Exception) -> None:
        self.key = None
        self._error = error

    @property
    def Algorithm(self) -> "_Stumbling":  # noqa: N802  as PyJWK names it
        return self

    def verify(self, *given: Any) -> bool:
        raise self._error


@pytest.mark.parametrize("error", [ValueError("odd"), InvalidKeyError("odd")])
def test_a_signature_that_the_library_stumbles_over_is_refused(error):
    stumbling = KeySource.fixed(KeySet((VerificationKey(None, {"RS256": _Stumbling(error)}),)))
    chosen = JwtPlugin("p", stumbling, frozenset({"RS256"}))
    refused = jwt.authenticate(request(token()), api(chosen), serving(chosen), NOW_S * 1000)
    assert refused == Refusal(INVALID, "signature does not match")


def test_a_claim_that_is_absent_keeps_no_later_one_from_its_header():
    headers = (ClaimHeader(("absent",), "x-absent"), ClaimHeader(("name",), "x-name"))
    assert outcome({"name": "Alice"}, claim_headers=headers).claim_headers == (("x-name", "Alice"),)
