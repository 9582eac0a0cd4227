"""A token has one place and one spelling: what another reader could take for it is refused, never passed over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.auth.jwt import is_presented
from extauthz.auth.lookalike import plain_name
from extauthz.decide.pipeline import decide
from extauthz.domain.decision import Allow
from extauthz.domain.tokens.jwt import TokenPlace
from tests.unit.auth.token_making import plugin, token
from tests.unit.building import APP_CODE, DIGEST, JWT, NONE, NOW_MS, api, request, signed, snapshot

COOKIE = plugin(place=TokenPlace.COOKIE, parameter="token", bypass_empty_token=True)
QUERY = plugin(place=TokenPlace.QUERY, parameter="token", bypass_empty_token=True)
HEADER = plugin(bypass_empty_token=True)
GOOD, FORGED = token(), token("other-rsa")


def outcome(sent, jwt_plugin, *alternatives):
    one = api(*(alternatives or (JWT,)), jwt=jwt_plugin)
    decision = decide(sent, snapshot(one), NOW_MS)
    return decision.label if isinstance(decision, Allow) else decision.reason.label


COOKIES = ["token ={}", "token\t={}", '"token"={}', "Token={}", "TOKEN={}", "'token'={}", "%74oken={}", "a=b,token ={}",
           "token[]={}", "token%00x={}", "a=1; \x0btoken={}", "\xc2\xa0token={}", "token%20={}"]  # fmt: skip
QUERIES = ["%20token={}", "+token={}", "Token={}", "TOKEN={}", "token%20={}", "token%00={}", "token[]={}",
           "token[0]={}", "%2574oken={}", "token%09={}", "%22token%22={}", "a=1;token={}", "a;Token={}",
           "%C2%A0token={}", "%25u0074oken={}"]  # fmt: skip


@pytest.mark.parametrize("spelling", COOKIES)
def test_a_second_cookie_that_some_reader_takes_for_the_token_is_refused(spelling):
    good = {"cookie": f"a=1; token={GOOD}"}
    assert outcome(request(headers=good), COOKIE) == "allowed"
    beside = {"cookie": f"token={GOOD}; {spelling.format(FORGED)}".encode("latin-1")}
    assert outcome(request(headers=beside), COOKIE) == "jwt_invalid"
    alone = {"cookie": f"a=1; {spelling.format(FORGED)}".encode("latin-1")}
    assert outcome(request(headers=alone), COOKIE) != "anonymous"


@pytest.mark.parametrize("spelling", QUERIES)
def test_a_second_parameter_that_some_reader_takes_for_the_token_is_refused(spelling):
    assert outcome(request(target=f"/v1/orders?a=1&token={GOOD}"), QUERY) == "allowed"
    for beside in f"token={GOOD}&{spelling.format(FORGED)}", f"{spelling.format(FORGED)}&token={GOOD}":
        assert outcome(request(target=f"/v1/orders?{beside}"), QUERY) not in ("allowed", "anonymous")
    assert outcome(request(target=f"/v1/orders?{spelling.format(FORGED)}"), QUERY) != "anonymous"


@pytest.mark.parametrize("name", ["_token", "xtoken", "token2", "csrf-token", "tok en", "to.ken", "tok", "[token]"])
def test_another_name_is_another_name(name):
    assert plain_name(name.encode()) != plain_name(b"token")
    assert outcome(request(target=f"/v1/orders?token={GOOD}&{name}=x"), QUERY) == "allowed"


@given(st.text(st.sampled_from("tokenTOKEN \t\"'.%[]\0_;,x"), max_size=10), st.sampled_from(["cookie", "query"]))
def test_no_name_that_trims_or_folds_to_the_tokens_is_overlooked(name, place):
    folded = name.strip(" \t\"'").lower() == "token"
    text = f"{name}={FORGED}"
    if place == "cookie":
        found = is_presented(request(headers={"cookie": text}), api(JWT, jwt=COOKIE))
    else:
        found = is_presented(request(target=f"/v1/orders?{text}".replace(" ", "%20")), api(JWT, jwt=QUERY))
    assert found or not folded


HIDDEN = [
    "Basic x,Bearer {}",
    "Basic x, bearer {}",
    "Digest Bearer {}",
    "ApiKey a=b,{}",
    "Basic bearer {}",
    'X "Bearer" {}',
    "APPCODE x,Bearer {}",
]


@pytest.mark.parametrize("value", HIDDEN)
def test_a_token_behind_another_credential_is_refused(value):
    """Envoy joins repeated Authorization headers with a comma, so a backend may see two of them."""
    sent = {"authorization": value.format(FORGED)}
    assert outcome(request(headers=sent), HEADER) == "jwt_malformed"
    assert outcome(request(headers=sent), plugin(), JWT, NONE) == "jwt_malformed"
    assert (
        outcome(signed(headers={"Authorization": value.format(FORGED)}), plugin(), JWT, DIGEST)
        == "credential_ambiguous"
    )


SCHEMES = [
    "ApiKey x",
    "AWS4-HMAC-SHA256 Credential=A/20260101/eu/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=a",
    "Negotiate YIIB=",
    "Negotiate",
    "NTLM TlRMTVNTUAAB",
    "Basic dXNlcjpwYXNz",
    'Digest username="u", realm="a.example.com"',
    'Hawk id="a", mac="b"',
    "Token abc",
    'OAuth oauth_version="1.0"',
]


@pytest.mark.parametrize("value", SCHEMES)
def test_a_scheme_that_is_not_bearer_is_no_token(value):
    sent = signed(headers={"Authorization": value})
    assert outcome(sent, plugin(), JWT, DIGEST) == "allowed"
    assert outcome(request(headers={"authorization": value}), plugin()) == "jwt_missing"


def test_a_bare_token_is_still_a_token():
    assert outcome(request(headers={"authorization": GOOD}), plugin()) == "allowed"
    assert outcome(request(headers={"authorization": FORGED}), plugin(), JWT, APP_CODE) == "jwt_invalid"
    assert outcome(request(headers={"authorization": f"{GOOD} x"}), plugin()) == "jwt_malformed"
    assert outcome(request(headers={"authorization": f"{GOOD},{FORGED}"}), plugin()) == "jwt_malformed"
