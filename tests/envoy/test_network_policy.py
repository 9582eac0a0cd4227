"""Which domain may be called from where, in which stage, by which VPC: groups say it, their APIs inherit it."""

from collections.abc import Iterator

import pytest

from tests.envoy.policy_stack import Caller, bootstrap, policy_stack

CODE = ("Authorization", "APPCODE app-code-0001")
CONFIG = {
    "groups": [
        {
            "id": "shop",
            "domains": [
                "open.example.com",
                {"name": "inside.example.com", "network": "vpc", "stage": "TEST"},
                {"name": "outside.example.com", "network": "internet"},
                {"name": "*.pre.example.com", "stage": "PRE"},
            ],
            "auth": {"internet": "none", "vpc": "none"},
        },
        {
            "id": "back-office",
            "domains": ["back.example.com"],
            "networks": ["vpc"],
            "auth": {"vpc": "none"},
            "vpc_ids": ["vpc-other"],
        },
        {
            "id": "strict",
            "domains": ["strict.example.com"],
            "auth": {"internet": "appcode", "vpc": "none"},
            "plugins": ["nobody-from-here"],
        },
    ],
    "plugins": [
        {"id": "nobody-from-here", "type": "ip_control", "refuse": ["127.0.0.1"]},
        {"id": "everybody-from-here", "type": "ip_control", "allow": ["127.0.0.1"]},
    ],
    "apis": [
        {"id": "items", "group": "shop", "methods": ["GET"], "path": "/items", "stages": ["RELEASE", "PRE", "TEST"]},
        {"id": "ledger", "group": "back-office", "methods": ["GET"], "path": "/ledger"},
        {"id": "own-vpc", "group": "back-office", "methods": ["GET"], "path": "/own", "vpc_ids": ["vpc-1"]},
        {"id": "inherits", "group": "strict", "methods": ["GET"], "path": "/inherits"},
        {"id": "own-list", "group": "strict", "methods": ["GET"], "path": "/own", "plugins": ["everybody-from-here"]},
        {"id": "own-auth", "group": "strict", "methods": ["GET"], "path": "/auth", "auth": {"vpc": "appcode"},
         "plugins": ["everybody-from-here"]},
    ],
    "apps": [{"id": "app-1", "app_codes": ["app-code-0001"]}],
    "grants": [{"app": "app-1", "apis": ["own-auth", "own-list"]}],
}  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    envoy = bootstrap(vpc_context={"extauthz.vpc_id": "vpc-1"})
    with policy_stack(tmp_path_factory.mktemp("shop"), CONFIG, envoy) as caller:
        yield caller


def test_a_domain_that_is_tied_to_a_network_is_refused_on_the_other(shop: Caller):
    assert shop.code("/items", "vpc", host="inside.example.com") == (200, "")
    assert shop.code("/items", "internet", host="inside.example.com") == (403, "A403IN")
    assert shop.code("/items", "internet", host="outside.example.com") == (200, "")
    assert shop.code("/items", "vpc", host="outside.example.com") == (403, "A403VN")
    for network in ("internet", "vpc"):
        assert shop.code("/items", network, host="open.example.com") == (200, "")


@pytest.mark.parametrize("host", ["INSIDE.example.com", "inside.example.com.", "inside.example.com:443"])
def test_another_spelling_of_the_domain_is_the_same_domain(shop: Caller, host: str):
    assert shop.code("/items", "internet", host=host) == (403, "A403IN")


def test_no_header_opens_a_tied_domain(shop: Caller):
    for name in ("X-Ca-Network", "X-Envoy-Internal", "X-Forwarded-Host", "X-Original-Host", "Extauthz.network"):
        for value in ("vpc", "true", "open.example.com"):
            assert shop.code("/items", "internet", [(name, value)], "inside.example.com") == (403, "A403IN")


def test_a_domain_that_is_tied_to_a_stage_serves_no_other(shop: Caller):
    for asked, code in (("TEST", 200), ("test", 200), ("RELEASE", 400), ("PRE", 400)):
        answer = shop.call("/items", "vpc", [("X-Ca-Stage", asked)], "inside.example.com")
        assert answer.status_code == code, asked
    assert shop.code("/items", "vpc", [("X-Ca-Stage", "PRE")], "inside.example.com") == (400, "I400SG")
    assert shop.code("/items", host="any.pre.example.com") == (200, "")
    assert shop.code("/items", headers=[("X-Ca-Stage", "RELEASE")], host="any.pre.example.com") == (400, "I400SG")


def test_a_vpc_that_is_not_on_the_list_is_refused_and_a_header_does_not_put_it_there(shop: Caller):
    forged = [("Extauthz.vpc_id", "vpc-other"), ("X-Ca-Vpc-Id", "vpc-other")]
    assert shop.code("/ledger", "vpc", forged, "back.example.com") == (403, "A403VN")
    assert shop.code("/own", "vpc", host="back.example.com") == (200, "")
    assert shop.code("/own", "internet", host="back.example.com") == (403, "A403IN")


def test_an_api_inherits_what_it_does_not_state(shop: Caller):
    assert shop.code("/inherits", "vpc", host="strict.example.com") == (403, "A403IP")
    assert shop.code("/own", "vpc", host="strict.example.com") == (200, "")
    assert shop.code("/own", "internet", host="strict.example.com") == (400, "A400MA")
    assert shop.code("/own", "internet", [CODE], "strict.example.com") == (200, "")


def test_an_api_that_states_its_auth_inherits_none_of_the_groups(shop: Caller):
    assert shop.code("/auth", "internet", [CODE], "strict.example.com") == (403, "A403IN")
    assert shop.code("/auth", "vpc", host="strict.example.com") == (400, "A400MA")
    assert shop.code("/auth", "vpc", [CODE], "strict.example.com") == (200, "")
