"""JWT: what a token must be, and the tricks it must not get away with. All through ``decide``."""

import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from extauthz.decide.pipeline import decide
from extauthz.decide.replay import Outcome
from extauthz.decide.upstream import upstream_changes
from extauthz.domain.decision import Allow
from extauthz.domain.request import Network
from extauthz.domain.settings import Settings
from extauthz.domain.tokens.jwk import PUBLIC_KEY_ALGORITHMS
from extauthz.domain.tokens.jwt import ClaimHeader, TokenPlace
from extauthz.replay.memory import MemoryReplayStore
from tests.unit.auth.token_making import bearer, claims, encoded, plugin, private_key, public_jwk, signed_raw, token
from tests.unit.building import JWT, NOW_MS, NOW_S, api, request, snapshot

DAY_S = 24 * 3600


def decision_for(headers, chosen=None, target="/v1/orders", now_ms=NOW_MS):
    pairs = {"authorization": headers} if isinstance(headers, str) else headers
    return decide(request(target=target, headers=pairs), snapshot(api(JWT, jwt=chosen or plugin())), now_ms)


def outcome(*given, **named):
    decision = decision_for(*given, **named)
    return decision.label if isinstance(decision, Allow) else decision.reason.label


KINDS = [
    *(("rsa", name) for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
    ("P-256", "ES256"), ("P-384", "ES384"), ("P-521", "ES512"), ("Ed25519", "EdDSA"), ("Ed448", "EdDSA"),
    ("oct", "HS256"), ("oct", "HS384"), ("oct", "HS512"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "algorithm"), KINDS)
def test_every_supported_algorithm_opens_with_its_own_key_only(kind, algorithm):
    chosen = plugin(public_jwk(kind, kid="k1"))
    good = token(kind, algorithm)
    assert outcome(f"Bearer {good}", chosen) == "allowed"
    head, body, signature = good.split(".")
    other = encoded(claims(sub="mallory"))
    assert outcome(f"Bearer {head}.{other}.{signature}", chosen) == "jwt_invalid"
    assert outcome(f"Bearer {head}.{body}.{signature[:-4]}AAAA", chosen) == "jwt_invalid"
    assert outcome(f"Bearer {head}.{body}.", chosen) == "jwt_invalid"


@pytest.mark.parametrize(
    ("kind", "algorithm", "expected"),
    [
        ("Ed25519", "Ed25519", "allowed"),
        ("Ed448", "Ed448", "allowed"),
        ("Ed448", "EdDSA", "allowed"),
        ("Ed25519", "Ed448", "jwt_key_unknown"),
        ("Ed448", "Ed25519", "jwt_key_unknown"),
        ("Ed25519", "ED25519", "jwt_invalid"),
        ("rsa", "Ed25519", "jwt_key_unknown"),
    ],
)
def test_an_edwards_algorithm_that_names_its_curve_goes_with_keys_of_that_curve_alone(kind, algorithm, expected):
    """RFC 9864, section 2.2."""
    chosen = plugin(public_jwk(kind, kid="k1"), algorithms=PUBLIC_KEY_ALGORITHMS)
    signer = "RS256" if kind == "rsa" else "EdDSA"
    text = signed_raw({"alg": algorithm, "kid": "k1"}, claims(), kind, signer)
    assert outcome(f"Bearer {text}", chosen) == expected
    unsigned = text.rpartition(".")[0]
    assert outcome(f"Bearer {unsigned}.{encoded(b'x' * 64)}", chosen) != "allowed"


def test_a_plug_in_that_lists_eddsa_alone_takes_no_token_under_the_newer_name():
    chosen = plugin(public_jwk("Ed25519", kid="k1"), algorithms=["EdDSA"])
    assert outcome(f"Bearer {signed_raw({'alg': 'EdDSA'}, claims(), 'Ed25519', 'EdDSA')}", chosen) == "allowed"
    assert outcome(f"Bearer {signed_raw({'alg': 'Ed25519'}, claims(), 'Ed25519', 'EdDSA')}", chosen) == "jwt_invalid"


def test_a_key_with_an_algorithm_verifies_no_other():
    chosen = plugin(public_jwk("rsa", kid="k1", alg="RS256"))
    assert outcome(bearer("rsa", "RS512"), chosen) == "jwt_invalid"


def test_a_plug_in_takes_only_the_algorithms_it_lists():
    chosen = plugin(algorithms=["PS256"])
    assert outcome(bearer("rsa", "RS256"), chosen) == "jwt_invalid"
    assert outcome(bearer("rsa", "PS256"), chosen) == "allowed"


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", ""])
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_an_unsigned_token_opens_nothing(name, signature):
    forged = f"{encoded({'alg': name, 'typ': 'JWT', 'kid': 'k1'})}.{encoded(claims())}.{signature}"
    assert outcome(f"Bearer {forged}") == "jwt_invalid"


def test_the_public_rsa_key_is_no_hmac_secret():
    """The oldest trick: the verifier's public key, as PEM, used as the secret of HS256."""
    pem = (
        private_key("rsa")
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    signing_input = f"{encoded({'alg': 'HS256', 'typ': 'JWT', 'kid': 'k1'})}.{encoded(claims())}".encode()
    family = jwt.get_algorithm_by_name("HS256")
    forged = signing_input.decode() + "." + encoded(family.sign(signing_input, pem))
    assert outcome(f"Bearer {forged}") == "jwt_invalid"


@pytest.mark.parametrize("kid", ["../../../dev/null", "k1' OR '1'='1", "k1\x00", "|whoami", "", "K1"])
def test_a_kid_is_compared_and_nothing_else(kid):
    assert outcome(bearer(headers={"kid": kid})) == "jwt_key_unknown"


@pytest.mark.parametrize("kid", [1, {"a": 1}, ["k1"], True, "k" * 257])
def test_a_kid_that_is_no_short_text_is_refused(kid):
    header = {"alg": "RS256", "typ": "JWT", "kid": kid}
    assert outcome(f"Bearer {signed_raw(header, claims())}") == "jwt_invalid"


@pytest.mark.parametrize("member", [
    {"jku": "http://127.0.0.1/keys"}, {"x5u": "http://127.0.0.1/cert"}, {"jwk": public_jwk("other-rsa")},
    {"x5c": ["MII"]},
])  # fmt: skip
def test_a_token_cannot_bring_its_own_key(member):
    header = {"alg": "RS256", "typ": "JWT", **member}
    assert outcome(f"Bearer {signed_raw(header, claims(), 'other-rsa')}") == "jwt_invalid"
    assert outcome(f"Bearer {signed_raw(header, claims())}") == "allowed"


def test_another_providers_key_opens_nothing():
    assert outcome(bearer("other-rsa")) == "jwt_invalid"


def test_a_token_without_kid_may_be_checked_by_any_key():
    two = plugin(public_jwk("other-rsa", kid="a"), public_jwk("rsa", kid="b"))
    assert outcome(f"Bearer {signed_raw({'alg': 'RS256'}, claims())}", two) == "allowed"
    assert outcome(bearer(headers={"kid": "b"}), two) == "allowed"
    assert outcome(bearer(headers={"kid": "a"}), two) == "jwt_invalid"


def test_a_key_without_kid_serves_tokens_with_any():
    assert outcome(bearer(headers={"kid": "whatever"}), plugin(public_jwk("rsa"))) == "allowed"


@pytest.mark.parametrize("member", [{"crit": ["exp"]}, {"crit": []}, {"b64": False}, {"b64": True}])
def test_a_critical_header_is_not_ignored(member):
    header = {"alg": "RS256", "kid": "k1", **member}
    assert outcome(f"Bearer {signed_raw(header, claims())}") == "jwt_invalid"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("JWT", "allowed"), ("jwt", "allowed"), ("at+jwt", "allowed"), ("application/at+jwt", "allowed"),
     ("application/jwt", "allowed"), ("application/dpop+jwt", "jwt_invalid"),
     ("dpop+jwt", "jwt_invalid"), ("logout+jwt", "jwt_invalid"), ("JWE", "jwt_invalid"), ("", "jwt_invalid"),
     (1, "jwt_invalid"), (None, "jwt_invalid")],
)  # fmt: skip
def test_a_token_of_another_type_is_no_access_token(kind, expected):
    header = {"alg": "RS256", "kid": "k1", "typ": kind}
    assert outcome(f"Bearer {signed_raw(header, claims())}") == expected


@pytest.mark.parametrize("text", [
    '{"sub":"alice","sub":"root","exp":9999999999}', '{"exp":1,"exp":9999999999}', "[]", '"text"', "null", "{", "",
    '{"exp":NaN}', '{"exp":Infinity}', "\ufeff{}", '{"a":' * 5000, b"\xff\xfe\x00", b"{\x00}",
])  # fmt: skip
def test_claims_that_two_readers_could_take_differently_are_refused(text):
    assert outcome(f"Bearer {signed_raw({'alg': 'RS256', 'kid': 'k1'}, text)}") == "jwt_malformed"


def test_a_header_with_two_algorithms_is_refused():
    header = '{"alg":"RS256","kid":"k1","alg":"none"}'
    assert outcome(f"Bearer {signed_raw(header, claims())}") == "jwt_malformed"


@pytest.mark.parametrize("text", ["a", "a.b", "a.b.c", "a.b.c.d", "a.b.c.d.e", "...", "..", "é.é.é", "eyJ9.eyJ9.A"])
def test_what_is_no_token_is_refused(text):
    assert outcome(f"Bearer {text}") == "jwt_malformed"


def test_a_huge_token_is_refused_before_it_is_read():
    assert outcome(bearer(padding="x" * 20_000)) == "jwt_malformed"
    nested = "Bearer " + encoded("[" * 100_000) + ".e30.AA"
    assert outcome(nested) == "jwt_malformed"


CLAIMS = [
    ({"exp": None}, "jwt_invalid"),
    ({"exp": NOW_S - 59}, "allowed"),
    ({"exp": NOW_S - 60}, "jwt_expired"),
    ({"exp": NOW_S - 3600}, "jwt_expired"),
    ({"exp": "9999999999"}, "jwt_invalid"),
    ({"exp": True}, "jwt_invalid"),
    ({"exp": 10**30}, "jwt_invalid"),
    ({"exp": 10**400}, "jwt_invalid"),
    ({"exp": 10**400, "iat": NOW_S - 0.5}, "jwt_invalid"),
    ({"exp": NOW_S + 0.5}, "allowed"),
    ({"exp": -(10**400)}, "jwt_invalid"),
    ({"exp": NOW_S + 8 * DAY_S}, "jwt_invalid"),
    ({"exp": NOW_S + 8 * DAY_S, "iat": None}, "jwt_invalid"),
    ({"exp": NOW_S + DAY_S, "iat": NOW_S - 7 * DAY_S}, "jwt_invalid"),
    ({"exp": NOW_S + 7 * DAY_S}, "allowed"),
    ({"nbf": NOW_S + 60}, "allowed"),
    ({"nbf": NOW_S + 61}, "jwt_invalid"),
    ({"nbf": [1]}, "jwt_invalid"),
    ({"iat": NOW_S + 61}, "jwt_invalid"),
    ({"iat": NOW_S + 60}, "allowed"),
    ({"iat": None}, "allowed"),
]


@pytest.mark.parametrize(("changes", "expected"), CLAIMS, ids=[str(changes)[:60] for changes, _ in CLAIMS])
def test_the_times_of_a_token(changes, expected):
    text = signed_raw({"alg": "RS256", "kid": "k1"}, claims(**changes))
    assert outcome(f"Bearer {text}") == expected


def test_issuer_and_audience_must_be_the_configured_ones():
    chosen = plugin(issuers=frozenset({"https://login.example.com"}), audiences=frozenset({"shop", "api"}))
    good = {"iss": "https://login.example.com", "aud": ["other", "api"]}
    assert outcome(bearer(**good), chosen) == "allowed"
    assert outcome(bearer(**{**good, "aud": "shop"}), chosen) == "allowed"
    for wrong in {"iss": "https://login.example.com/"}, {"iss": None}, {"aud": "Shop"}, {"aud": None}, {"aud": []}:
        assert outcome(bearer(**{**good, **wrong}), chosen) == "jwt_invalid"
    for odd in {"iss": ["https://login.example.com"]}, {"aud": {"api": 1}}, {"aud": [["api"]]}, {"aud": 7}:
        text = signed_raw({"alg": "RS256", "kid": "k1"}, claims(**{**good, **odd}))
        assert outcome(f"Bearer {text}", chosen) == "jwt_invalid"


def test_two_tokens_are_refused():
    assert outcome([("authorization", bearer()), ("authorization", bearer())]) == "header_repeated"
    in_query = plugin(place=TokenPlace.QUERY, parameter="token")
    twice = f"/v1/orders?token={token()}&token={token()}"
    assert outcome({}, in_query, target=twice) == "jwt_invalid"
    in_cookie = plugin(place=TokenPlace.COOKIE, parameter="token")
    assert outcome({"cookie": f"token={token()}; token={token()}"}, in_cookie) == "jwt_invalid"


@pytest.mark.parametrize(
    ("place", "headers", "target"),
    [(TokenPlace.QUERY, {}, "/v1/orders?a=1&token={}"),
     (TokenPlace.COOKIE, {"cookie": "a=1; token={}; b=2"}, "/v1/orders"),
     (TokenPlace.HEADER, {"token": "{}"}, "/v1/orders"), (TokenPlace.HEADER, {"token": "Bearer {}"}, "/v1/orders")],
)  # fmt: skip
def test_a_token_stands_where_the_plug_in_looks_for_it_and_nowhere_else(place, headers, target):
    chosen, text = plugin(place=place, parameter="token"), token()
    filled = {name: value.format(text) for name, value in headers.items()}
    assert outcome(filled, chosen, target=target.format(text)) == "allowed"
    assert outcome(bearer(), chosen) == "jwt_missing"


def test_claims_become_headers_and_a_claim_that_does_not_fit_is_refused():
    chosen = plugin(claim_headers=(ClaimHeader(("sub",), "x-sub"), ClaimHeader(("roles",), "x-roles")))
    allowed = decision_for(bearer(roles=["a", "b"]), chosen)
    assert {("x-sub", "alice"), ("x-roles", "a,b")} <= set(allowed.extra.headers)
    for roles in ["a,b"], {"a": 1}, "a\r\nx-admin: 1", "a\x00", " a", "x" * 5000, [["a"]]:
        assert outcome(bearer(roles=roles), chosen) == "jwt_invalid"


def test_a_claim_that_is_absent_removes_the_clients_copy_of_its_header():
    chosen = plugin(claim_headers=(ClaimHeader(("role",), "x-role"),))
    headers = {"authorization": bearer(), "x-role": "admin", "x_role": "admin"}
    allowed = decision_for(headers, chosen)
    known = Settings(claim_headers=frozenset({"x-role"}))
    changes = upstream_changes(
        allowed.about, Network.INTERNET, "ID", tuple(name for name, _ in allowed.extra.headers), known
    )
    assert "x-role" in changes.remove_headers
    assert allowed.extra.misspelled == ("x_role",)


def uses_of(chosen, **changes):
    return decision_for(bearer(**changes), chosen).uses


def test_a_jti_passes_once_for_as_long_as_its_token_could_be_accepted():
    chosen = plugin(prevent_jti_replay=True)
    assert outcome(bearer(), chosen) == "jti_required"
    store = MemoryReplayStore(10)
    (use,) = uses_of(chosen, jti="1")
    assert store.record(use._replace(fingerprint=b""), NOW_MS) is Outcome.FIRST
    last_ms = (NOW_S + 600 + 60) * 1000 - 1
    assert outcome(bearer(jti="1"), chosen, now_ms=last_ms) == "allowed"
    assert store.record(use._replace(fingerprint=b""), last_ms) is Outcome.USED


@pytest.mark.parametrize("expires", [NOW_S + 600.9, NOW_S - 59, NOW_S + 7 * DAY_S])
def test_no_jti_is_forgotten_while_its_token_is_accepted(expires):
    chosen = plugin(prevent_jti_replay=True)
    text = "Bearer " + signed_raw({"alg": "RS256", "kid": "k1"}, claims(exp=expires, jti="1"))
    (use,) = decision_for(text, chosen).uses
    last_ms = max(ms for ms in range(NOW_MS, NOW_MS + 120_000, 500)
                  if outcome(text, chosen, now_ms=ms + int(expires - NOW_S) * 1000) == "allowed")  # fmt: skip
    last_ms += int(expires - NOW_S) * 1000
    store = MemoryReplayStore(10)
    store.record(use._replace(fingerprint=b""), NOW_MS)
    assert store.record(use._replace(fingerprint=b""), last_ms) is Outcome.USED


def test_no_jti_of_a_token_just_past_the_longest_lifetime_is_forgotten():
    chosen = plugin(prevent_jti_replay=True)
    expires = NOW_S + 7 * DAY_S + 60
    text = "Bearer " + signed_raw({"alg": "RS256", "kid": "k1"}, claims(exp=expires, iat=NOW_S + 60, jti="1"))
    (use,) = decision_for(text, chosen).uses
    assert outcome(text, chosen, now_ms=(expires + 59) * 1000) == "allowed"
    assert use.expires_ms >= (expires + 59) * 1000


def test_a_jti_is_remembered_where_expiration_is_ignored():
    chosen = plugin(prevent_jti_replay=True, ignore_expiration=True)
    for expires in NOW_S - DAY_S, None:
        (use,) = uses_of(chosen, jti="1", exp=expires)
        store = MemoryReplayStore(10)
        assert store.record(use._replace(fingerprint=b""), NOW_MS) is Outcome.FIRST
        assert store.record(use._replace(fingerprint=b""), NOW_MS + 1) is Outcome.USED


def test_an_ignored_expiration_still_wants_the_rest():
    chosen = plugin(ignore_expiration=True)
    assert outcome(bearer(exp=NOW_S - DAY_S), chosen) == "allowed"
    assert outcome(bearer(exp=None), chosen) == "allowed"
    assert outcome(bearer(nbf=NOW_S + DAY_S), chosen) == "jwt_invalid"
    assert outcome(bearer("other-rsa"), chosen) == "jwt_invalid"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["exp", "nbf", "iat", "iss", "aud", "sub", "jti", "role"]), JSON))
def test_no_rightly_signed_claims_are_more_than_the_verifier_can_take(payload):
    """An issuer may write anything; the answer is a decision, not an exception."""
    chosen = plugin(claim_headers=(ClaimHeader(("role",), "x-role"),), prevent_jti_replay=True)
    text = signed_raw({"alg": "ES256"}, payload, "P-256", "ES256")
    assert outcome(f"Bearer {text}", plugin(public_jwk("P-256"), claim_headers=chosen.claim_headers)) in (
        "allowed", "jwt_invalid", "jwt_expired", "jwt_malformed",
    )  # fmt: skip


@given(st.text(st.characters(codec="ascii", exclude_categories=("Cc",)), max_size=60))
def test_no_text_is_a_token(text):
    assert outcome(f"Bearer {text}") in ("jwt_malformed", "jwt_missing", "jwt_invalid")


def test_a_refusal_costs_no_key_work_for_each_dot():
    started = time.perf_counter()
    outcome("Bearer " + "." * 16_000)
    assert time.perf_counter() - started < 0.5
