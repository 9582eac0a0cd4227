"""The classic attacks on tokens, through the real Envoy, against a key set of a real provider."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

from tests.oidc.mesh import Mesh, wait_for
from tests.oidc.provider import AUDIENCE, private_key, public_half


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def claims_of(mesh: Mesh, **changes: Any) -> dict[str, Any]:
    now = int(time.time())
    claims = {"iss": mesh.provider.issuer, "aud": AUDIENCE, "sub": "mallory", "iat": now, "exp": now + 300} | changes
    return {name: value for name, value in claims.items() if value is not None}


def signed(mesh: Mesh, jwk: dict[str, Any] | None = None, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """A token as the provider itself would sign it, but for what a test changes."""
    key = jwk or mesh.provider.keys[0]
    return jwt.encode(
        claims_of(mesh, **changes), jwt.PyJWK(key).key, "RS256", headers={"kid": "first"} | (header or {})
    )


def raw(mesh: Mesh, head: dict[str, Any] | str, body: str | None = None) -> str:
    """A token with a good signature over whatever a test writes into it."""
    first = b64((head if isinstance(head, str) else json.dumps(head)).encode())
    second = b64((body or json.dumps(claims_of(mesh))).encode())
    signature = RSAAlgorithm(RSAAlgorithm.SHA256).sign(
        f"{first}.{second}".encode(), jwt.PyJWK(mesh.provider.keys[0]).key
    )
    return f"{first}.{second}.{b64(signature)}"


def public_pem(mesh: Mesh) -> bytes:
    key = RSAAlgorithm.from_jwk(public_half(mesh.provider.keys[0]))
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_the_honest_token_of_these_tests_passes(mesh: Mesh):
    assert mesh.code(signed(mesh)) == (200, "")


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", ""])
def test_alg_none_is_refused_in_every_spelling(mesh: Mesh, algorithm: str):
    head = b64(json.dumps({"alg": algorithm, "typ": "JWT", "kid": "first"}).encode())
    body = b64(json.dumps(claims_of(mesh)).encode())
    for signature in ("", "c2ln", signed(mesh).rpartition(".")[2]):
        assert mesh.code(f"{head}.{body}.{signature}") == (403, "A403JT")


def test_hs256_with_the_public_key_as_its_secret_is_refused(mesh: Mesh):
    pem = public_pem(mesh)
    modulus = base64.urlsafe_b64decode(mesh.provider.keys[0]["n"] + "==")
    jwk = json.dumps(public_half(mesh.provider.keys[0])).encode()
    for secret in (pem, pem.strip(), modulus, jwk):
        head = b64(b'{"alg":"HS256","typ":"JWT","kid":"first"}')
        body = b64(json.dumps(claims_of(mesh)).encode())
        signature = b64(hmac.digest(secret, f"{head}.{body}".encode(), hashlib.sha256))
        assert mesh.code(f"{head}.{body}.{signature}") == (403, "A403JT")


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../dev/null",
        "/etc/passwd",
        "first' OR '1'='1",
        "first\x00",
        "http://127.0.0.1:1/jwks",
        "",
        "é",
        "FIRST",
    ],
)
def test_a_kid_is_only_compared_and_never_looked_up_anywhere(mesh: Mesh, kid: str):
    assert mesh.code(signed(mesh, private_key("mine"), {"kid": kid})) == (403, "A403JK")
    assert mesh.code(signed(mesh, header={"kid": kid})) == (403, "A403JK")


@pytest.mark.parametrize("kid", [1, True, ["first"], {"a": "first"}, "k" * 300])
def test_a_kid_that_is_no_short_text_is_refused(mesh: Mesh, kid: Any):
    head = b64(json.dumps({"alg": "RS256", "typ": "JWT", "kid": kid}).encode())
    _, body, signature = signed(mesh).split(".")
    assert mesh.code(f"{head}.{body}.{signature}") == (403, "A403JT")


def test_keys_that_a_token_brings_or_points_to_are_never_used(mesh: Mesh):
    mine = private_key("first")
    before = mesh.provider.counts()
    for header in (
        {"jwk": public_half(mine)},
        {"jku": f"{mesh.provider.issuer}/jwks"},
        {"x5u": f"{mesh.provider.issuer}/jwks"},
        {"x5c": [b64(public_pem(mesh))]},
        {"jwk": public_half(mine), "kid": "brought"},
    ):
        status, _ = mesh.code(signed(mesh, mine, header))
        assert status == 403
    time.sleep(0.3)
    assert mesh.provider.counts()["jwks"] - before["jwks"] <= 1, "at most the refresh that an unknown kid may ask for"


@pytest.mark.parametrize("kind", ["JOSE", "JWE", "dpop+jwt", "logout+jwt", "secevent+jwt", 5, None])
def test_a_token_of_another_type_is_refused(mesh: Mesh, kind: Any):
    assert mesh.code(raw(mesh, {"alg": "RS256", "typ": kind, "kid": "first"})) == (403, "A403JT")


@pytest.mark.parametrize("more", [{"crit": ["exp"]}, {"b64": True}, {"b64": False}, {"crit": []}])
def test_critical_headers_that_we_do_not_know_are_refused(mesh: Mesh, more: dict[str, Any]):
    assert mesh.code(raw(mesh, {"alg": "RS256", "kid": "first"} | more)) == (403, "A403JT")


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ('{"alg":"RS256","kid":"first","kid":"first"}', None),
        ('{"alg":"none","alg":"RS256","kid":"first"}', None),
        (None, '{"sub":"alice","sub":"mallory","exp":4102444800}'),
        (None, '{"exp":1,"exp":4102444800}'),
        (None, '{"exp":NaN}'),
        (None, '["not", "an", "object"]'),
    ],
)
def test_duplicate_members_and_odd_json_are_refused_though_well_signed(mesh: Mesh, head: str | None, body: str | None):
    token = raw(mesh, head or {"alg": "RS256", "kid": "first"}, body)
    assert mesh.code(token) == (400, "I400JD")


def test_two_authorization_headers_are_refused_even_when_both_are_good(mesh: Mesh):
    token = signed(mesh)
    for second in (token, "x"):
        answer = mesh.call(token, headers=[("Authorization", f"Bearer {second}")])
        assert (answer.status_code, answer.headers["x-ca-error-code"]) == (400, "I400JD"), "Envoy joins the two"


def test_two_tokens_in_one_header_are_refused(mesh: Mesh):
    token = signed(mesh)
    for value in (f"Bearer {token},Bearer {token}", f"Bearer {token}, {token}", f"Bearer {token} {token}"):
        answer = mesh.call(None, headers=[("Authorization", value)])
        assert (answer.status_code, answer.headers["x-ca-error-code"]) == (400, "I400JD")


def test_a_token_in_another_place_than_the_configured_one_is_no_token(mesh: Mesh):
    token = signed(mesh)
    assert mesh.code(None, f"/web/profile?access_token={token}") == (400, "I400JR")
    assert mesh.code(None, headers=[("Cookie", f"access_token={token}")]) == (400, "I400JR")
    assert mesh.code(token, f"/web/profile?access_token={signed(mesh, private_key('mine'))}") == (200, "")


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_a_token_from_the_future_is_refused(mesh: Mesh, name: str):
    now = int(time.time())
    assert mesh.code(signed(mesh, **{name: now + 30})) == (200, ""), "within the clock skew"
    assert mesh.code(signed(mesh, **{name: now + 120})) == (403, "A403JT")


@pytest.mark.parametrize("exp", [None, "4102444800", True, [4102444800], 1e300, 10**30, -1])
def test_an_end_that_is_no_time_or_missing_is_refused(mesh: Mesh, exp: Any):
    status, code = mesh.code(signed(mesh, exp=exp))
    assert (status, code) == ((403, "A403JE") if exp == -1 else (403, "A403JT"))


def test_a_token_that_lives_longer_than_seven_days_is_refused(mesh: Mesh):
    now = int(time.time())
    assert mesh.code(signed(mesh, exp=now + 7 * 86400 - 60)) == (200, "")
    assert mesh.code(signed(mesh, exp=now + 8 * 86400)) == (403, "A403JT")
    assert mesh.code(signed(mesh, iat=now - 8 * 86400, exp=now + 600)) == (403, "A403JT")


def test_a_huge_token_is_refused_before_anything_reads_it(mesh: Mesh):
    assert mesh.code(signed(mesh, filler="x" * 13_000)) == (400, "I400JD")


def test_a_wrong_issuer_or_audience_is_refused(mesh: Mesh):
    for changes in ({"iss": "https://evil.example"}, {"iss": None}, {"aud": "urn:other"}, {"aud": None}, {"aud": [1]}):
        assert mesh.code(signed(mesh, **changes)) == (403, "A403JT")
    assert mesh.code(signed(mesh, aud=["urn:other", AUDIENCE])) == (200, "")


@pytest.mark.parametrize("subject", ["a\r\nx-ca-app-id: admin", "a\x00b", " a", "a\u0085b", "a\ud800", 7, ["a"]])
def test_a_claim_that_is_no_header_text_is_refused_and_not_mangled(mesh: Mesh, subject: Any):
    assert mesh.code(signed(mesh, sub=subject)) == (403, "A403JT")


def test_a_claim_with_letters_of_any_language_passes_as_utf_8(mesh: Mesh):
    seen = mesh.call(signed(mesh, sub="Zoë 李")).json()["headers"]["x-token-sub"]
    assert seen.encode("latin-1").decode() == "Zoë 李"


def test_an_absent_or_empty_claim_takes_the_clients_header_away(mesh: Mesh):
    for roles in (None, "", []):
        seen = mesh.call(signed(mesh, roles=roles), headers=[("X-Token-Roles", "root")]).json()["headers"]
        assert "x-token-roles" not in seen


def test_a_jti_is_spent_until_the_worker_restarts_which_is_the_documented_limit_without_a_shared_store(own):
    with own() as mesh:
        token = mesh.provider.token()
        assert mesh.code(token, "/web/once") == (200, "")
        assert mesh.code(token, "/web/once") == (403, "S403JU")
        mesh.stack.stop_service()
        mesh.stack.start_service()
        wait_for(lambda: mesh.readiness()[0] == 200)
        wait_for(lambda: mesh.code(None, "/public/ping") == (200, ""))
        assert mesh.code(token, "/web/once") == (200, ""), "the memory of one process ended with it"
        assert mesh.code(token, "/web/once") == (403, "S403JU")
