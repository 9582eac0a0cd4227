"""Tokens of an identity provider: what they must be, and which role and owner they stand for."""

import json
import time
from datetime import timedelta

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from extauthz.admin.oidc import ProviderTokens
from extauthz.admin.problem import Refusal
from extauthz.config.sections.admin import Oidc
from extauthz.domain.tokens.jwk import KeySet, read_key
from extauthz.domain.tokens.key_source import KeySource
from extauthz.registry.rules import Role
from tests.process.keys.key_server import KeyServer
from tests.process.running import eventually
from tests.stores.admin.live import AdminProcess

ISSUER, AUDIENCE = "https://login.example.com", "urn:admin"
KEY, OTHER_KEY = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
CLAIMS = {"iss": ISSUER, "aud": AUDIENCE, "sub": "anna", "groups": ["staff", "shop-ops"], "team": "shop"}


def jwk(key=KEY) -> dict:
    return json.loads(ECAlgorithm.to_jwk(key.public_key())) | {"kid": "one"}


def token(key=KEY, algorithm="ES256", header=None, **claims) -> str:
    now = int(time.time())
    made = {**CLAIMS, "iat": now, "exp": now + 300, **claims}
    made = {name: value for name, value in made.items() if value is not None}
    return jwt.encode(made, key, algorithm, {"kid": "one", **(header or {})})


@pytest.fixture
def provider() -> ProviderTokens:
    oidc = Oidc(
        issuer=ISSUER, audience=AUDIENCE, role_claim="groups", owner_claim="team",
        roles={"gateway-admins": "admin", "shop-ops": "consumer", "auditors": "reader"},
    )  # fmt: skip
    return ProviderTokens(oidc, KeySource.fixed(KeySet((read_key(jwk()),))))


def test_claims_become_a_role_and_an_owner(provider):
    def actor(**claims):
        made = provider.judge(token(**claims)).actor
        return made.name, made.role, made.owner_id

    assert actor() == ("oidc:anna", Role.CONSUMER, "shop")
    assert actor(groups="auditors") == ("oidc:anna", Role.READER, "shop")
    assert actor(groups=["auditors"], team="*") == ("oidc:anna", Role.READER, None)
    assert actor(groups=["auditors", "gateway-admins"]) == ("oidc:anna", Role.ADMIN, None), "the first one configured"
    long_one, another = actor(sub="x" * 200)[0], actor(sub="x" * 199 + "y")[0]
    assert len(long_one) <= 64
    assert long_one != another


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"groups": ["staff"]}, "none of the roles"),
        ({"groups": None}, "none of the roles"),
        ({"groups": {"shop-ops": True}}, "none of the roles"),
        ({"team": None}, "must name one owner"),
        ({"team": ["shop", "maps"]}, "must name one owner"),
        ({"team": "*"}, "cannot be one"),
        ({"team": ""}, "cannot be one"),
        ({"team": None, "groups": ["auditors"]}, "must name one owner"),
    ],
)
def test_a_token_that_leaves_its_role_or_owner_open_permits_nothing(provider, claims, told):
    with pytest.raises(Refusal) as refused:
        provider.judge(token(**claims))
    assert refused.value.status == 403
    assert told in refused.value.detail


@pytest.mark.parametrize(
    "bad",
    [
        lambda: token(OTHER_KEY),
        lambda: token(iss="https://evil.example.com"),
        lambda: token(aud="urn:orders"),
        lambda: token(aud=None),
        lambda: token(exp=int(time.time()) - 60),
        lambda: token(exp=None),
        lambda: token(iat=None),
        lambda: token(sub=None),
        lambda: token(exp=int(time.time()) + int(timedelta(days=2).total_seconds())),
        lambda: token(header={"typ": "logout+jwt"}),
        lambda: token(header={"crit": ["x"]}),
        lambda: token("x" * 64, "HS256"),
        lambda: token(None, "none"),
        lambda: "a.b.c",
        lambda: "abc",
    ],
)
def test_a_token_that_is_not_for_this_api_is_worth_nothing(provider, bad):
    assert provider.judge(bad()) is None


def test_until_there_are_keys_nobody_is_judged_and_an_unknown_key_is_asked_for():
    source = KeySource(None)
    tokens = ProviderTokens(Oidc(issuer=ISSUER, audience=AUDIENCE, role_claim=["realm", "roles"]), source)
    with pytest.raises(Refusal) as refused:
        tokens.judge(token())
    assert refused.value.status == 503
    source.current = KeySet((read_key(jwk()),))
    assert tokens.judge(token(realm={"roles": ["admin"]})).actor.role is Role.ADMIN, "a claim inside another one"
    assert tokens.judge(token(header={"kid": "two"})) is None
    assert source.refresh_wanted


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_people_of_an_identity_provider_use_a_live_api(desk, database, tmp_path):
    with KeyServer().running() as published:
        issuer = f"http://127.0.0.1:{published.port}"
        discovery = {"issuer": issuer, "jwks_uri": f"{issuer}/keys"}
        published.replies["/.well-known/openid-configuration"] = (200, {}, json.dumps(discovery).encode())
        published.replies["/keys"] = (200, {}, json.dumps({"keys": [jwk()]}).encode())
        oidc = {
            "issuer": issuer, "audience": AUDIENCE, "role_claim": "groups", "owner_claim": "team",
            "roles": {"shop-ops": "consumer"}, "allow_http": True, "allow_private_addresses": True,
        }  # fmt: skip
        process = AdminProcess(tmp_path, database, oidc=oidc).start()
        try:
            bearer = {"Authorization": f"Bearer {token(iss=issuer)}"}
            eventually(lambda: httpx.get(f"{process.url}/v1/apps", headers=bearer).status_code == 200)
            changed = httpx.patch(f"{process.url}/v1/apps/shop-web", json={"disabled": True}, headers=bearer)
            assert changed.json()["disabled"] is True
            assert httpx.get(f"{process.url}/v1/tokens", headers=bearer).status_code == 403
            bearer = {"Authorization": f"Bearer {token(iss=issuer, team='maps')}"}
            assert httpx.get(f"{process.url}/v1/apps/shop-web", headers=bearer).status_code == 404
        finally:
            process.stop()
