"""Where a token may stand, and what its claims must say."""

from typing import Any

import pytest

from extauthz.auth.jwt import authenticate, is_presented
from extauthz.domain import reason
from extauthz.domain.decision import Proof, Refusal
from extauthz.domain.request import Request
from extauthz.domain.tokens.jwk import KeySet
from extauthz.domain.tokens.jwt import ClaimHeader, JwtPlugin, TokenPlace
from extauthz.domain.tokens.key_source import KeySource
from tests.unit.auth.one_api import EC_KEY, NOW_S, api, key_set, plugin, request, serving, token

COOKIE = {"place": TokenPlace.COOKIE, "parameter": "session"}
QUERY = {"place": TokenPlace.QUERY, "parameter": "token"}


def outcome(jwt_plugin: JwtPlugin, sent: Request) -> Proof | Refusal:
    assert is_presented(sent, api(jwt_plugin))
    return authenticate(sent, api(jwt_plugin), serving(jwt_plugin), NOW_S * 1000)


def why(jwt_plugin: JwtPlugin, claims: dict[str, Any], **more: Any) -> Any:
    result = outcome(jwt_plugin, request(token(claims, **more)))
    return result.reason if isinstance(result, Refusal) else None


@pytest.mark.parametrize("value", ["Bearer {}", "bearer {}", "BEARER  {} ", "{}", " {}"])
def test_a_token_in_authorization_with_or_without_the_word_bearer(value: str):
    sent = request("", headers={"authorization": value.format(token()).encode()})
    assert isinstance(outcome(plugin(), sent), Proof)


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "APPCODE abc", "Basic abc", "basic abc", "Digest a=b"])
def test_credentials_of_other_schemes_are_no_token(value: str):
    assert not is_presented(request("", headers={"authorization": value.encode()}), api(plugin())) or value == "Bearer"


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        ({"parameter": "x-token"}, {"headers": {"x-token": b"T"}}),
        ({"parameter": "x-token"}, {"headers": {"x-token": b"Bearer T"}}),
        (QUERY, {"query": "a=1&token=T"}),
        (COOKIE, {"headers": {"cookie": b"a=1; session=T; b=2"}}),
        (COOKIE, {"headers": {"cookie": b'session="T"'}}),
        (COOKIE, {"headers": {"cookie": b"a=1,session=T"}}),
    ],
)
def test_a_token_in_another_header_the_query_or_a_cookie(settings: dict[str, Any], sent: dict[str, Any]):
    text = token()
    headers = {name: value.replace(b"T", text.encode()) for name, value in sent.get("headers", {}).items()}
    assert isinstance(
        outcome(plugin(**settings), request("", query=sent.get("query", "").replace("T", text), headers=headers)), Proof
    )


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        (QUERY, {"query": "token=a&token=a"}),
        (QUERY, {"query": "token=a&%74oken=b"}),
        (COOKIE, {"headers": {"cookie": b"session=a; session=b"}}),
        (COOKIE, {"headers": {"cookie": b"session=a,session=b"}}),
    ],
)
def test_two_tokens_in_one_place_are_refused(settings: dict[str, Any], sent: dict[str, Any]):
    assert outcome(plugin(**settings), request("", **sent)) == Refusal(reason.JWT_INVALID, "more than one token")


def test_a_header_that_came_twice_is_refused_even_where_both_are_equal():
    sent = request(token())._replace(repeated=frozenset({"authorization"}))
    assert outcome(plugin(), sent) == Refusal(reason.HEADER_REPEATED, "authorization")


@pytest.mark.parametrize(
    ("required", "claims", "passes"),
    [
        ({("tenant",): ("acme", "beta")}, {"tenant": "beta"}, True),
        ({("tenant",): ("acme", "beta")}, {"tenant": "gamma"}, False),
        ({("tenant",): ("acme",)}, {"tenant": ["x", "acme"]}, True),
        ({("tenant",): ("acme",)}, {"tenant": []}, False),
        ({("tenant",): ("acme",)}, {}, False),
        ({("tenant",): ("acme",)}, {"tenant": None}, False),
        ({("verified",): (True,)}, {"verified": True}, True),
        ({("verified",): (True,)}, {"verified": 1}, False),
        ({("verified",): (True,)}, {"verified": "true"}, False),
        ({("level",): (1,)}, {"level": True}, False),
        ({("level",): (1,)}, {"level": 1.0}, False),
        ({("any",): None}, {"any": False}, True),
        ({("any",): None}, {"any": None}, False),
        ({("any",): None}, {}, False),
        ({("realm", "roles"): ("admin",)}, {"realm": {"roles": ["user", "admin"]}}, True),
        ({("realm", "roles"): ("admin",)}, {"realm": {"roles": ["user"]}}, False),
        ({("realm", "roles"): ("admin",)}, {"realm.roles": ["admin"]}, False),
        ({("realm", "roles"): ("admin",)}, {"realm": ["roles"], "roles": ["admin"]}, False),
        ({("realm", "roles"): ("admin",)}, {"realm": [{"roles": ["admin"]}]}, False),
        ({("realm", "roles"): ("admin",)}, {"realm": None}, False),
        ({("realm.roles",): ("admin",)}, {"realm": {"roles": ["admin"]}}, False),
        ({("realm.roles",): ("admin",)}, {"realm.roles": ["admin"]}, True),
        ({("https://a.example/tenant",): None}, {"https://a.example/tenant": "x"}, True),
        ({("a", "b", "c"): (1,)}, {"a": {"b": {"c": 1}}}, True),
    ],
)
def test_required_claims_compare_value_and_type(
    required: dict[tuple[str, ...], Any], claims: dict[str, Any], passes: bool
):
    assert why(plugin(required_claims=required), claims) is (None if passes else reason.JWT_INVALID)


@pytest.mark.parametrize(
    ("claims", "passes"),
    [
        ({"scope": "read write"}, True),
        ({"scope": "write read more"}, True),
        ({"scp": ["read", "write"]}, True),
        ({"scp": "read write"}, True),
        ({"scope": "read"}, False),
        ({"scope": "reading write"}, False),
        ({"scope": "read\twrite"}, False),
        ({"scope": 5}, False),
        ({"scp": [["read", "write"]]}, False),
        ({"scope": "read", "scp": "write"}, False),
        ({}, False),
    ],
)
def test_every_required_scope_must_be_there(claims: dict[str, Any], passes: bool):
    assert why(plugin(scopes=frozenset({"read", "write"})), claims) is (None if passes else reason.JWT_INVALID)


@pytest.mark.parametrize(
    ("kind", "passes"),
    [
        ("application/jwt", True),
        ("Application/JWT", True),
        ("application/at+jwt", True),
        ("application/application/jwt", False),
        ("application/jwt;part=1/2", False),
        ("text/jwt", False),
        ("application/", False),
        ("application/dpop+jwt", False),
    ],
)
def test_a_type_may_be_written_as_the_media_type_that_it_is(kind: str, passes: bool):
    """RFC 7515, section 4.1.9."""
    assert why(plugin(), {}, typ=kind) is (None if passes else reason.JWT_INVALID)


@pytest.mark.parametrize(("stated", "passes"), [("https://a/1", True), ("https://a/2", True), ("https://a/3", False)])
def test_a_token_may_come_from_any_of_several_issuers(stated: str, passes: bool):
    several = plugin(issuers=frozenset({"https://a/1", "https://a/2"}))
    assert why(several, {"iss": stated}) is (None if passes else reason.JWT_INVALID)


@pytest.mark.parametrize(("kind", "passes"), [("at+jwt", True), ("AT+JWT", True), ("JWT", False), (None, False)])
def test_a_list_of_types_that_names_no_jwt_refuses_tokens_without_type(kind: str | None, passes: bool):
    assert why(plugin(token_types=frozenset({"at+jwt"})), {}, typ=kind) is (None if passes else reason.JWT_INVALID)


def test_the_longest_token():
    text = token()
    assert isinstance(outcome(plugin(max_token_bytes=len(text)), request(text)), Proof)
    refused = outcome(plugin(max_token_bytes=len(text) - 1), request(text))
    assert isinstance(refused, Refusal)
    assert refused.reason is reason.JWT_MALFORMED


def test_a_key_verifies_only_with_algorithms_of_its_own_kind():
    both = plugin(KeySource(key_set(EC_KEY)))
    assert why(both, {}, jwk=EC_KEY) is None
    assert why(both, {}, kid="ec-1") is reason.JWT_KEY_UNKNOWN, "RS256 by the kid of a P-256 key"


def test_an_empty_set_of_keys_opens_nothing():
    assert why(plugin(KeySource(KeySet(()))), {}) is reason.JWT_KEY_UNKNOWN


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("alice", "alice"), (7, "7"), (1.5, "1.5"), (True, "true"), (False, "false"), (["a", "b"], "a,b"),
        ([1, True, "x"], "1,true,x"), ("a\tb", "a\tb"), ("Zoë", "Zoë"), (10**400, "1" + "0" * 400),
    ],
)  # fmt: skip
def test_a_claim_as_a_header(claim: Any, text: str):
    mapped = plugin(claim_headers=(ClaimHeader(("c",), "x-c"),))
    result = outcome(mapped, request(token({"c": claim})))
    assert isinstance(result, Proof)
    assert result.claim_headers == (("x-c", text),)


@pytest.mark.parametrize(
    "claim", [{"a": 1}, [["a"]], ["a,b"], ["a", ""], [None], "a\nb", "a\r", "\x7f", " a", "a ", "x" * 4097, "€" * 1366]
)
def test_a_claim_that_is_no_header_is_refused(claim: Any):
    assert why(plugin(claim_headers=(ClaimHeader(("c",), "x-c"),)), {"c": claim}) is reason.JWT_INVALID


@pytest.mark.parametrize("claim", [None, "", []])
def test_an_absent_claim_gives_no_header(claim: Any):
    result = outcome(plugin(claim_headers=(ClaimHeader(("c",), "x-c"),)), request(token({"c": claim})))
    assert isinstance(result, Proof)
    assert result.claim_headers == ()


def test_a_token_in_unicode_encodings_that_json_would_guess_is_refused():
    import base64

    head = base64.urlsafe_b64encode('{"alg":"RS256"}'.encode("utf-16")).rstrip(b"=").decode()
    refused = outcome(plugin(), request(".".join([head, *token().split(".")[1:]])))
    assert isinstance(refused, Refusal)
    assert refused.reason is reason.JWT_MALFORMED


@pytest.mark.parametrize("spoil", ["+", "/", "=", " ", "\n", "é"])
def test_only_the_letters_of_base64url_make_a_token(spoil: str):
    text = token() + spoil + "A"
    refused = outcome(plugin(), request("", headers={"authorization": text.encode()}))
    assert isinstance(refused, Refusal)
    assert refused.reason is reason.JWT_MALFORMED


def test_a_member_of_an_object_goes_upstream_as_a_header_of_its_own():
    mapped = plugin(claim_headers=(ClaimHeader(("realm_access", "roles"), "x-roles"), ClaimHeader(("a", "b"), "x-b")))
    result = outcome(mapped, request(token({"realm_access": {"roles": ["user", "admin"]}, "a": "b"})))
    assert isinstance(result, Proof)
    assert result.claim_headers == (("x-roles", "user,admin"),)
