"""Mistakes in plug-ins and groups are named, with what to write instead; nothing ambiguous is guessed."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from extauthz.config import ConfigError, load
from extauthz.domain.api import Api, AuthMethod
from extauthz.domain.request import Network
from tests.unit.auth.one_api import RSA_KEY, public_half

KEY = public_half(RSA_KEY)
JWT: dict[str, Any] = {"id": "jwt", "type": "jwt", "jwk": KEY}
REMOTE: dict[str, Any] = {"id": "jwt", "type": "jwt"}
URI = "https://keys.example.com/jwks"


def loaded(tmp_path: Path, **sections: Any) -> dict[str, Api]:
    config: dict[str, Any] = {
        "listen": [{"address": "127.0.0.1:9191"}],
        "groups": [{"id": "g", "domains": ["*"]}],
        "plugins": [JWT],
        "apis": [{"id": "a", "group": "g", "methods": ["GET"], "path": "/a", "auth": {"internet": "jwt"},
                  "plugins": ["jwt"]}],
    }  # fmt: skip
    file = tmp_path / "extauthz.yaml"
    file.write_text(yaml.safe_dump(config | sections))
    return dict(load(file).snapshot.gateway.apis)


def mistakes(tmp_path: Path, **sections: Any) -> str:
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path, **sections)
    return str(raised.value)


def test_the_configuration_of_these_tests_is_good(tmp_path: Path):
    assert set(loaded(tmp_path)) == {"a"}


@pytest.mark.parametrize(
    ("plugin", "told"),
    [
        (REMOTE, "needs exactly one of `jwk`, `jwks`, `remote_keys` and `trust_envoy_jwt_authn`"),
        (JWT | {"remote_keys": {"jwks_uri": URI}}, "needs exactly one of `jwk`"),
        (JWT | {"trust_envoy_jwt_authn": "claims"}, "needs exactly one of `jwk`"),
        (JWT | {"claim_headers": {"sub": "X-User", "nickname": "x-user"}}, "gives one header to two claims"),
        (JWT | {"claim_headers": {"sub": "Authorization"}}, "tells a claim in `Authorization`, a header that must not"),
        (REMOTE | {"remote_keys": {}}, "needs exactly one of `jwks_uri` and `oidc_issuer`"),
        (REMOTE | {"remote_keys": {"jwks_uri": URI, "oidc_issuer": URI}}, "needs exactly one of `jwks_uri`"),
        (REMOTE | {"remote_keys": {"jwks_uri": "http://keys.example.com/"}}, "state `allow_http: true`"),
        (REMOTE | {"remote_keys": {"jwks_uri": "https://user:secret@keys.example.com/"}}, "URL without user"),
        (REMOTE | {"remote_keys": {"jwks_uri": "file:///etc/passwd"}}, "must be an https:// or http:// URL"),
        (REMOTE | {"remote_keys": {"jwks_uri": URI, "min_lifetime": 100, "max_lifetime": 50}}, "`min_lifetime` <="),
        (REMOTE | {"remote_keys": {"jwks_uri": URI, "max_stale": 50}}, "`max_stale`"),
        (REMOTE | {"remote_keys": {"jwks_uri": URI, "ca_file": "missing.pem"}}, "cannot be read as PEM"),
        (REMOTE | {"remote_keys": {"jwks_uri": URI}, "algorithms": ["HS256"]}, "none of the keys can verify"),
        (REMOTE | {"trust_envoy_jwt_authn": "claims", "algorithms": ["RS256"]}, "has no effect beside"),
        (JWT | {"jwk": {"kty": "oct", "k": "c2hvcnQ"}}, "too short for HS256"),
        (JWT | {"jwk": RSA_KEY}, "is a private key"),
        (JWT | {"prevent_jti_replay": True, "ignore_expiration_check": True}, "remembered forever"),
        (JWT | {"required_claims": {"tenant": []}}, "must not be empty"),
        (JWT | {"required_claims": [{"claim": [], "values": "present"}]}, "must not be empty"),
        (
            JWT | {"required_claims": [{"claim": "a", "values": "present"}, {"claim": ["a"], "values": [1]}]},
            "required_claims: names one claim twice",
        ),
        (JWT | {"required_claims": [{"claim": "a", "value": [1]}]}, "did you mean `values`?"),
        (JWT | {"required_claims": [{"claim": ["a", 5], "values": [1]}]}, "claim[1]: must be text"),
        (JWT | {"required_claims": "a"}, "must be a mapping of keys"),
        (JWT | {"claim_headers": [{"claim": ["a", "b"], "header": "two words"}]}, "[0].header: must be a header name"),
        (JWT | {"claim_headers": {"sub": "two words"}}, "claim_headers.sub: must be a header name"),
        (
            JWT | {"claim_headers": [{"claim": "a", "header": "X-A"}, {"claim": ["a", "b"], "header": "x-a"}]},
            "gives one header to two claims",
        ),
        (JWT | {"claim_headers": [{"claim": ["a", "b"], "header": "Host"}]}, "[0].header: tells a claim in `Host`"),
        (JWT | {"issuer": "https://a/", "issuers": ["https://b/"]}, "stands beside `issuer`"),
        (JWT | {"issuers": []}, "must not be empty"),
        (JWT | {"issuers": ["https://login.microsoftonline.com/{tenantid}/v2.0"]}, "is a template, which no token"),
        (JWT | {"token_types": []}, "must not be empty"),
        (JWT | {"scopes": ["two words"]}, "must be one scope, without spaces"),
    ],
)
def test_a_jwt_plug_in_with_a_mistake(tmp_path: Path, plugin: dict[str, Any], told: str):
    assert told in mistakes(tmp_path, plugins=[plugin])


def test_shared_secrets_and_public_keys_never_stand_in_one_plug_in(tmp_path: Path):
    secret = {"kty": "oct", "k": "c2VjcmV0LXRoYXQtaXMtbG9uZy1lbm91Z2gtZm9yLWhzMjU2LXllcw"}
    assert "mixes shared secrets" in mistakes(tmp_path, plugins=[REMOTE | {"jwks": [KEY, secret]}])
    algorithms = loaded(tmp_path, plugins=[REMOTE | {"jwks": [secret]}])["a"].jwt.algorithms  # type: ignore[union-attr]
    assert algorithms == {"HS256"}


def test_the_issuer_of_a_discovered_provider_is_required_of_its_tokens(tmp_path: Path):
    discovered = REMOTE | {"remote_keys": {"oidc_issuer": "https://issuer.example.com/t"}}
    jwt = loaded(tmp_path, plugins=[discovered])["a"].jwt
    assert jwt is not None
    assert jwt.issuers == {"https://issuer.example.com/t"}
    assert jwt.key_source.current is None
    assert not any(algorithm.startswith("HS") for algorithm in jwt.algorithms)


def test_issuers_that_are_listed_stand_in_for_the_discovered_one(tmp_path: Path):
    discovered = REMOTE | {"remote_keys": {"oidc_issuer": "https://issuer.example.com/t"}, "issuers": ["https://b/"]}
    jwt = loaded(tmp_path, plugins=[discovered])["a"].jwt
    assert jwt is not None
    assert jwt.issuers == {"https://b/"}


def test_a_claim_is_named_alone_or_by_the_members_that_lead_to_it(tmp_path: Path):
    by_name = JWT | {"claim_headers": {"sub": "X-User"}, "required_claims": {"tenant": ["acme"], "a.b": "present"}}
    listed = JWT | {
        "claim_headers": [
            {"claim": "sub", "header": "X-User"},
            {"claim": ["realm_access", "roles"], "header": "X-Roles"},
        ],
        "required_claims": [
            {"claim": "tenant", "values": ["acme"]},
            {"claim": ["realm_access", "roles"], "values": "present"},
        ],
        "token_types": ["application/JWT", "at+jwt"],
    }
    one = loaded(tmp_path, plugins=[by_name])["a"].jwt
    other = loaded(tmp_path, plugins=[listed])["a"].jwt
    assert one is not None
    assert other is not None
    assert one.required_claims == {("tenant",): ("acme",), ("a.b",): None}
    assert other.required_claims == {("tenant",): ("acme",), ("realm_access", "roles"): None}
    told = [(entry.claim, entry.header) for entry in other.claim_headers]
    assert told == [(("sub",), "x-user"), (("realm_access", "roles"), "x-roles")]
    assert other.token_types == {"jwt", "at+jwt"}


@pytest.mark.parametrize(
    ("auth", "good"),
    [
        ("jwt", True),
        ({"any_of": ["none", "jwt"]}, True),
        ({"all_of": ["jwt", "digest"]}, False),
        ({"any_of": ["jwt", "digest"]}, False),
    ],
)
def test_bypassing_an_empty_token_goes_with_jwt_alone(tmp_path: Path, auth: Any, good: bool):
    sections: dict[str, Any] = {
        "plugins": [JWT | {"bypass_empty_token": True}],
        "apis": [{"id": "a", "group": "g", "methods": ["GET"], "path": "/a", "auth": {"internet": auth},
                  "plugins": ["jwt"]}],
    }  # fmt: skip
    if good:
        assert loaded(tmp_path, **sections)
    else:
        assert "write `any_of`" in mistakes(tmp_path, **sections)


IP: dict[str, Any] = {"id": "ip", "type": "ip_control"}


@pytest.mark.parametrize(
    ("plugin", "told"),
    [
        (IP, "needs either an allow list"),
        (IP | {"allow": ["10.0.0.0/8"], "refuse": ["10.0.0.0/8"]}, "needs either an allow list"),
        (IP | {"refuse": ["10.0.0.0/8"], "apps": [{"app": "x", "networks": ["10.0.0.0/8"]}]}, "binds every app"),
        (IP | {"allow": []}, "must not be empty"),
        (IP | {"refuse": []}, "must not be empty"),
        (IP | {"apps": []}, "must not be empty"),
        (IP | {"allow": ["10.0.0.1/8"]}, "write `10.0.0.0/8` or the address alone"),
        (IP | {"apps": [{"app": "x", "networks": ["10.0.0.0/8"]}] * 2}, "names an app twice"),
    ],
)
def test_an_ip_control_plug_in_with_a_mistake(tmp_path: Path, plugin: dict[str, Any], told: str):
    assert told in mistakes(tmp_path, plugins=[JWT, plugin])


def test_an_ip_control_plug_in_with_apps(tmp_path: Path):
    plugin = IP | {"apps": [{"app": "x", "networks": ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"]}]}
    apis = [
        {"id": "a", "group": "g", "methods": ["GET"], "path": "/a", "auth": {"internet": "digest"}, "plugins": ["ip"]}
    ]
    apps = [{"id": "x", "app_codes": ["code-of-x-0001"]}]
    control = loaded(tmp_path, plugins=[plugin], apis=apis, apps=apps)["a"].ip_control
    assert control is not None
    assert control.admits("192.0.2.1", "x")
    assert not control.admits("192.0.2.2", "x")


GROUP: dict[str, Any] = {"id": "g", "domains": ["*"]}
BARE: dict[str, Any] = {"id": "a", "group": "g", "methods": ["GET"], "path": "/a"}


@pytest.mark.parametrize(
    ("group", "api", "told"),
    [
        (GROUP, BARE, "is required, here or in the group"),
        (GROUP | {"networks": ["vpc"]}, BARE | {"auth": {"internet": "none"}}, "leaves this network out"),
        (GROUP | {"networks": ["vpc"], "auth": {"internet": "none"}}, BARE, "is not among the group's `networks`"),
        (GROUP | {"networks": ["vpc"], "domains": [{"name": "a.b", "network": "internet"}], "auth": {"vpc": "none"}},
         BARE, "is not among the group's `networks`"),
        (GROUP | {"domains": ["a.b", {"name": "A.B", "stage": "TEST"}], "auth": {"vpc": "none"}}, BARE,
         "duplicate domain `a.b`"),
        (GROUP | {"auth": {"vpc": "none"}, "vpc_ids": []}, BARE, "must not be empty"),
        (GROUP | {"auth": {"vpc": "none"}}, BARE | {"vpc_ids": []}, "must not be empty"),
        (GROUP | {"auth": {"vpc": "none"}, "plugins": ["nothing"]}, BARE, "plug-in `nothing` does not exist"),
        (GROUP | {"auth": {"vpc": "jwt"}}, BARE, "asks for jwt but the API lists no JWT plug-in"),
    ],
)  # fmt: skip
def test_a_group_with_a_mistake(tmp_path: Path, group: dict[str, Any], api: dict[str, Any], told: str):
    assert told in mistakes(tmp_path, groups=[group], apis=[api])


def test_an_api_inherits_by_kind_of_plug_in_so_that_its_own_jwt_does_not_drop_the_groups_ip_control(tmp_path: Path):
    group = GROUP | {"plugins": ["jwt", "ip"], "auth": {"internet": "jwt"}, "vpc_ids": ["vpc-1"]}
    other = JWT | {"id": "other"}
    apis = loaded(
        tmp_path,
        plugins=[JWT, other, IP | {"allow": ["10.0.0.0/8"]}],
        groups=[group],
        apis=[
            BARE,
            BARE | {"id": "b", "path": "/b", "plugins": ["other"], "auth": {"vpc": "jwt"}, "vpc_ids": ["vpc-2"]},
        ],
    )
    assert (apis["a"].jwt.id, apis["b"].jwt.id) == ("jwt", "other")  # type: ignore[union-attr]
    assert apis["a"].ip_control is apis["b"].ip_control is not None
    assert (apis["a"].vpc_ids, apis["b"].vpc_ids) == (frozenset({"vpc-1"}), frozenset({"vpc-2"}))
    assert set(apis["b"].auth) == {Network.VPC}


def test_any_of_and_all_of_can_stand_in_each_other(tmp_path: Path):
    auth = {"internet": {"any_of": ["digest", {"all_of": ["jwt", {"any_of": ["digest", "appcode"]}]}]}}
    policy = loaded(tmp_path, apis=[BARE | {"auth": auth, "plugins": ["jwt"]}])["a"].auth[Network.INTERNET]
    assert set(policy.alternatives) == {
        frozenset({AuthMethod.DIGEST}),
        frozenset({AuthMethod.JWT, AuthMethod.DIGEST}),
        frozenset({AuthMethod.JWT, AuthMethod.APP_CODE}),
    }
