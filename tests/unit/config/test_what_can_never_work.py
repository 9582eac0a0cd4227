"""Names of nothing, headers of others, empty lists: what can never work is a mistake, told in words."""

import pytest
import yaml

from extauthz.auth.string_to_sign import signed_names
from extauthz.config.names import Section
from extauthz.config.schema import ConfigFile
from extauthz.config.sections.digest import NEVER_LISTED
from extauthz.config.validate import _models_in
from tests.unit.config.writing import GOOD, config, found, mistakes, snapshot


def test_ip_control_that_names_an_unknown_app_is_a_mistake(write):
    plugins = [{"id": "ip", "type": "ip_control", "apps": [
        {"app": "shop", "networks": ["192.0.2.0/24"]}, {"app": "shp", "networks": ["198.51.100.1"]},
    ]}]  # fmt: skip
    (only,) = found(write, config(plugins=plugins, apis={"plugins": ["ip"]}))
    assert "plugins[0].apps[1].app: app `shp` does not exist; did you mean `shop`? Known: shop" in only


def test_ip_control_for_an_app_that_was_left_out_for_a_mistake_is_not_reported_too(write):
    plugins = [{"id": "ip", "type": "ip_control", "apps": [{"app": "shop", "networks": ["192.0.2.0/24"]}]}]
    (only,) = found(write, config(plugins=plugins, apps={"disabled": "maybe"}))
    assert "apps[0].disabled" in only


@pytest.mark.parametrize(
    ("network", "cure"),
    [
        ("10.0.0.1/8", "write `10.0.0.0/8`"),
        ("2001:db8::1/32", "write `2001:db8::/32`"),
        ("10.0.0.0-10.0.0.127", "write it as networks: 10.0.0.0/25"),
        ("10.0.*.*", "write `10.0.0.0/16`"),
        ("10.0.0.0/33", "must be an address or network"),
        ("api.example.com", "must be an address or network"),
        ("any", "must be an address or network"),
        (10, "in quotes"),
        (True, "in quotes"),
    ],
)
@pytest.mark.parametrize("key", ["allow", "refuse", "apps"])
def test_a_network_that_is_none_is_a_mistake_with_its_cure(write, network, cure, key):
    value = [{"app": "shop", "networks": [network]}] if key == "apps" else [network]
    first, *more = found(write, config(plugins=[{"id": "ip", "type": "ip_control", key: value}]))
    assert cure in first
    assert not more


@pytest.mark.parametrize("name", ["Cookie", "set-cookie", "X-Forwarded-For", "x-forwarded-proto", "Forwarded", "Host",
                                  "Connection", "Keep-Alive", "TE", "Transfer-Encoding", "Upgrade", "Content-Length",
                                  "Content-Type", "X-Envoy-Original-Path", "Authorization", "Proxy-Authorization",
                                  "X-Ca-Key", "X-Ca-Signature", "X-Ca-Stage", "X-Ca-Nonce", "X-Original-URL",
                                  "X-HTTP-Method-Override", "Via", "Accept", "User-Agent", "grpc-timeout"])  # fmt: skip
def test_nothing_is_told_in_a_header_that_others_read_for_another_purpose(write, name):
    jwt = {"id": "j", "type": "jwt", "jwk": {"kty": "oct", "k": "c2VjcmV0LXRoYXQtaXMtbG9uZy1lbm91Z2gtZm9yLWhzMjU2"}}
    as_claim = found(write, config(plugins=[jwt | {"claim_headers": {"sub": name}}]))
    as_fact = found(write, config(identity_headers={name: "app_id"}))
    assert "must not be overwritten; choose a name of its own" in as_claim[0]
    assert "must not be overwritten; choose a name of its own" in as_fact[0]


@pytest.mark.parametrize("name", ["X-Token", "x-request-id", "traceparent", "X-Real-IP", "X-Ca-Request-Id"])
def test_a_claim_does_not_pose_as_the_token_or_as_a_fact_of_somebody_else(write, name):
    jwt = {"id": "j", "type": "jwt", "jwk": {"kty": "oct", "k": "c2VjcmV0LXRoYXQtaXMtbG9uZy1lbm91Z2gtZm9yLWhzMjU2"},
           "parameter": "X-Token"}  # fmt: skip
    assert "must not be overwritten" in found(write, config(plugins=[jwt | {"claim_headers": {"sub": name}}]))[0]


@pytest.mark.parametrize("name", [":path", ":authority", "X_User", "X User", "", "X-Üser"])
def test_a_header_name_that_cannot_be_sent_is_a_mistake_in_words(write, name):
    (only,) = found(write, config(identity_headers={name: "app_id"}))
    assert "must be a header name of letters, digits and hyphens" in only


def test_a_header_that_no_client_can_list_as_signed_is_not_required(write):
    for name in ("Accept", "Content-Type", "X-Ca-Signature"):
        (only,) = found(write, config(apis={"digest": {"require_signed": ["X-Ca-Nonce", name]}}))
        assert "apis[0].digest.require_signed[1]: no client can list" in only
        (only,) = found(write, {**config(), "digest": {"require_signed": [name]}})
        assert "digest.require_signed[0]: no client can list" in only


def test_the_headers_that_no_client_can_list_are_those_that_the_scheme_leaves_out():
    listed = ",".join([*sorted(NEVER_LISTED), "x-ca-key"]).encode()
    assert [name.lower for name in signed_names(listed)] == ["x-ca-key"]


@pytest.mark.parametrize(
    ("section", "change", "place"),
    [
        ("apis", {"methods": []}, "apis[0].methods"),
        ("apis", {"stages": []}, "apis[0].stages"),
        ("groups", {"domains": []}, "groups[0].domains"),
        ("groups", {"networks": []}, "groups[0].networks"),
        ("grants", {"apis": []}, "grants[0].apis"),
        ("grants", {"stages": []}, "grants[0].stages"),
    ],
)
def test_an_empty_list_that_means_nobody_is_a_mistake(write, section, change, place):
    (only,) = found(write, config(**{section: change}))
    assert f"{place}: must not be empty" in only


def test_on_and_off_without_quotes_mean_what_they_say(write):
    text = GOOD.replace("path: /v1/orders,", "path: /v1/orders, digest: {strict: on}, app_code: off,")
    api = snapshot(write, text).gateway.apis["orders"]
    assert (api.digest.strict, api.app_code) == ("on", "off")


def test_no_mistake_shows_a_pattern_and_no_field_is_left_to_one():
    schema_text = str(ConfigFile.model_fields) + str([one.model_fields for one in models(ConfigFile)])
    assert "StringConstraints(pattern" not in schema_text
    assert "pattern='" not in schema_text


def models(model: type[Section], seen: set[type[Section]] | None = None) -> set[type[Section]]:
    seen = set() if seen is None else seen
    if model not in seen:
        seen.add(model)
        for field in model.model_fields.values():
            for inner in _models_in(field.annotation):
                models(inner, seen)
    return seen


@pytest.mark.parametrize("value", ["a b/c?", "é", "", "^x$"])
def test_a_name_that_does_not_fit_is_refused_in_words(write, value):
    data = yaml.safe_load(GOOD)
    data["groups"][0]["id"] = data["apps"][0]["keys"][0]["app_key"] = data["operations"] = value
    data["errors"] = {"overrides": {"nonce_used": {"code": "x y"}}}
    data["tracing"] = {"endpoint": value}
    _, text = mistakes(write(data))
    assert text.count(" must be ") >= 5
    assert "[A-Z" not in text
    assert "pattern" not in text
