"""Reading what providers publish: usable keys, the right issuer, and for how long an answer is fresh."""

import json
from typing import Any

import pytest

from extauthz.domain.tokens.key_source import RemoteKeys
from extauthz.keys.document import discovery_url, lifetime_s, read_discovery, read_published_keys
from extauthz.keys.http import FetchFailed, FetchResult
from tests.unit.auth.one_api import EC_KEY, RSA_KEY, public_half

BOUNDS = RemoteKeys(jwks_uri="x", min_lifetime_s=60, max_lifetime_s=3600)
DATE = {"date": "Mon, 23 Nov 2026 12:00:00 GMT"}


def failure(keys: Any, max_keys: int = 8) -> FetchResult:
    body = keys if isinstance(keys, bytes) else json.dumps(keys).encode()
    with pytest.raises(FetchFailed) as raised:
        read_published_keys(body, max_keys)
    return raised.value.result


def test_keys_for_other_uses_do_not_spoil_the_good_ones_beside_them():
    good = public_half(RSA_KEY)
    odd = [{"kty": "oct", "k": "c2VjcmV0LXRoYXQtaXMtbG9uZy1lbm91Z2gtZm9yLWhzMjU2LXllcw"}, RSA_KEY | {"kid": "private"},
           good | {"use": "enc", "kid": "enc"}, {"kty": "EC", "crv": "secp256k1"}, "text", None, {"kty": ["RSA"]},
           good | {"alg": ["RS256"], "kid": "list"}, good | {"key_ops": 5, "kid": "ops"}]  # fmt: skip
    read = read_published_keys(json.dumps({"keys": [*odd, good, public_half(EC_KEY)]}).encode(), 64)
    assert [key.kid for key in read.keys.keys] == ["rsa-1", "ec-1"]
    assert len(read.left_out) == len(odd)


def test_a_published_shared_secret_never_verifies_anything():
    secret = {"kty": "oct", "k": "c2VjcmV0LXRoYXQtaXMtbG9uZy1lbm91Z2gtZm9yLWhzMjU2LXllcw", "alg": "HS256"}
    assert failure({"keys": [secret]}) is FetchResult.NO_USABLE_KEY


@pytest.mark.parametrize(
    "body", [b"", b"nothing", b"7", b"null", b'{"keys": {}}', b'{"keys": null}', b"{}", b"\xff\xfe", b"[" * 100_000]
)
def test_what_is_no_key_set_is_refused(body: bytes):
    assert failure(body) is FetchResult.MALFORMED


def test_more_keys_than_allowed_are_refused_whole():
    assert failure({"keys": [public_half(RSA_KEY)] * 9}) is FetchResult.TOO_LARGE


def test_a_discovery_document_must_be_the_issuers_own():
    issuer = "https://issuer.example.com/tenant"
    document = {"issuer": issuer, "jwks_uri": "https://keys.example.com/k"}
    assert read_discovery(json.dumps(document).encode(), issuer) == "https://keys.example.com/k"
    for other in (f"{issuer}/", "https://issuer.example.com", None, [issuer]):
        with pytest.raises(FetchFailed) as raised:
            read_discovery(json.dumps(document | {"issuer": other}).encode(), issuer)
        assert raised.value.result is FetchResult.ISSUER_MISMATCH


def test_a_discovery_document_of_many_tenants_is_refused_with_the_way_to_name_them():
    document = {"issuer": "https://login.example.com/{tenantid}/v2.0", "jwks_uri": "https://keys.example.com/k"}
    with pytest.raises(FetchFailed, match=r"^issuer_mismatch: .*template.*`jwks_uri`.*`issuers`"):
        read_discovery(json.dumps(document).encode(), "https://login.example.com/common/v2.0")


def test_where_the_discovery_document_stands():
    assert discovery_url("https://a.example/t") == "https://a.example/t/.well-known/openid-configuration"
    assert discovery_url("https://a.example/") == "https://a.example/.well-known/openid-configuration"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 3600),
        ({"cache-control": "max-age=600"}, 600),
        ({"cache-control": "public, MAX-AGE=600, must-revalidate"}, 600),
        ({"cache-control": "max-age=600", "age": "500"}, 100),
        ({"cache-control": "max-age=600", "age": "9999"}, 60),
        ({"cache-control": "max-age=1"}, 60),
        ({"cache-control": "max-age=999999"}, 3600),
        ({"cache-control": "no-store, max-age=600"}, 60),
        ({"cache-control": "no-cache"}, 60),
        ({"cache-control": "s-max-age=5"}, 3600),
        ({"expires": "Mon, 23 Nov 2026 12:20:00 GMT"} | DATE, 1200),
        ({"expires": "Mon, 23 Nov 2026 11:00:00 GMT"} | DATE, 60),
        ({"expires": "0"} | DATE, 60),
        ({"expires": "Mon, 23 Nov 2026 12:20:00 GMT"}, 60),
        ({"cache-control": "max-age=600", "expires": "0"} | DATE, 600),
    ],
)
def test_how_long_an_answer_is_fresh(headers: dict[str, str], seconds: float):
    assert lifetime_s(headers, BOUNDS) == seconds
