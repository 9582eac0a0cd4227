"""Trusting Envoy's own jwt_authn instead of verifying twice: only its namespace, and every claim rule still holds."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.keys import make_keys, make_token
from tests.envoy.policy_stack import Caller, bootstrap, policy_stack

ISSUER = "https://issuer.example.com"
CLAIMS = {"iss": ISSUER, "aud": "urn:orders", "sub": "alice", "level": 7, "roles": ["admin", "ops"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("claims")


@pytest.fixture(scope="module")
def private_jwk(folder: Path) -> dict[str, Any]:
    return make_keys(folder)


@pytest.fixture(scope="module")
def gateway(folder: Path, private_jwk: dict[str, Any]) -> Iterator[Caller]:
    def api(name: str, plugin: str, auth: Any = "jwt") -> dict[str, Any]:
        return {"id": name, "group": "web", "methods": ["GET"], "path": f"/{name}", "plugins": [plugin],
                "auth": {"internet": auth, "vpc": auth}}  # fmt: skip

    config = {
        "groups": [{"id": "web", "domains": ["*"]}],
        "plugins": [
            {"id": "trusting", "type": "jwt", "trust_envoy_jwt_authn": "claims", "issuer": ISSUER,
             "audiences": ["urn:orders"], "prevent_jti_replay": False,
             "claim_headers": {"sub": "X-Token-Sub", "level": "X-Token-Level", "roles": "X-Token-Roles"}},
            {"id": "once", "type": "jwt", "trust_envoy_jwt_authn": "claims", "prevent_jti_replay": True},
            {"id": "other-name", "type": "jwt", "trust_envoy_jwt_authn": "forged"},
            {"id": "own-keys", "type": "jwt", "jwks": {"file": "jwt-public.jwks"}},
        ],
        "apis": [
            api("trusting", "trusting"), api("once", "once"), api("other-name", "other-name"),
            api("own-keys", "own-keys"), api("optional", "trusting", {"any_of": ["none", "jwt"]}),
        ],
    }  # fmt: skip
    with policy_stack(folder, config, envoy(folder)) as caller:
        yield caller


def envoy(folder: Path) -> dict[str, Any]:
    """Envoy that verifies tokens where they are sent, and a filter that writes claims into a namespace of its own."""
    keys = (folder / "jwt-public.jwks").read_text()
    verify = {
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {
                "idp": {
                    "local_jwks": {"inline_string": keys},
                    "payload_in_metadata": "claims",
                    "forward": True,
                }
            },
            "rules": [
                {
                    "match": {"prefix": "/"},
                    "requires": {"requires_any": {"requirements": [{"provider_name": "idp"}, {"allow_missing": {}}]}},
                }
            ],
        },
    }
    claims = {"forged": CLAIMS | {"exp": int(time.time()) + 3600}, "claims": CLAIMS | {"exp": int(time.time()) + 3600}}
    foreign = {
        "name": "envoy.filters.http.set_metadata",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config",
            "metadata": [{"metadata_namespace": "foreign", "value": claims}],
        },
    }
    loaded = bootstrap()
    for listener in loaded["static_resources"]["listeners"]:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        ours = json.loads(json.dumps(manager["http_filters"]))
        ours[0]["typed_config"]["metadata_context_namespaces"] = ["envoy.filters.http.jwt_authn", "foreign"]
        manager["http_filters"] = [verify, foreign, *ours]
    return loaded


def bearer(private_jwk: dict[str, Any], **changes: Any) -> list[tuple[str, str]]:
    claims = {name: value for name, value in (CLAIMS | changes).items() if value is not None}
    return [("Authorization", f"Bearer {make_token(private_jwk, **claims)}")]


def test_claims_that_envoy_verified_are_taken(gateway: Caller, private_jwk: dict[str, Any]):
    answer = gateway.call("/trusting", headers=bearer(private_jwk))
    assert answer.status_code == 200
    seen = answer.json()["headers"]
    assert (seen["x-token-sub"], seen["x-token-level"], seen["x-token-roles"]) == ("alice", "7", "admin,ops")


@pytest.mark.parametrize(
    "changes", [{"iss": "https://evil.example"}, {"aud": "urn:other"}, {"aud": None}, {"iss": None}]
)
def test_every_claim_rule_still_holds(gateway: Caller, private_jwk: dict[str, Any], changes: dict[str, Any]):
    assert gateway.code("/trusting", headers=bearer(private_jwk, **changes)) == (403, "A403JT")


def test_a_lifetime_that_envoy_does_not_look_at_is_looked_at(gateway: Caller, private_jwk: dict[str, Any]):
    forever = bearer(private_jwk, lifetime_s=30 * 86400)
    assert gateway.code("/trusting", headers=forever) == (403, "A403JT")


def test_without_a_token_there_are_no_claims_whatever_the_client_writes(gateway: Caller):
    forged = [("X-Token-Sub", "admin"), ("X-Envoy-Jwt-Payload", "{}"), ("X-Jwt-Payload", "eyJzdWIiOiJhIn0")]
    assert gateway.code("/trusting") == (400, "I400JR")
    assert gateway.code("/trusting", headers=forged) == (400, "I400JR")
    seen = gateway.call("/optional", headers=forged).json()["headers"]
    assert "x-token-sub" not in seen


def test_claims_in_another_namespace_are_not_trusted(gateway: Caller, private_jwk: dict[str, Any]):
    assert gateway.code("/other-name") == (400, "I400JR")
    assert gateway.code("/other-name", headers=bearer(private_jwk)) == (400, "I400JR")


def test_a_jti_passes_once_here_too(gateway: Caller, private_jwk: dict[str, Any]):
    headers = bearer(private_jwk, jti="one")
    assert gateway.code("/once", headers=headers) == (200, "")
    assert gateway.code("/once", headers=headers) == (403, "S403JU")
    assert gateway.code("/once", headers=bearer(private_jwk)) == (403, "S403JI")


def test_a_plug_in_with_keys_of_its_own_verifies_itself(gateway: Caller, private_jwk: dict[str, Any]):
    assert gateway.code("/own-keys", headers=bearer(private_jwk)) == (200, "")
    assert gateway.code("/own-keys") == (400, "I400JR")
