"""The network of a call is the listener it came by. Nothing that a client sends moves it to the other one."""

import pytest

from tests.gateway import CODE, Gateway, Header, signed_headers

CLAIMS_TO_BE_INSIDE: list[Header] = [
    ("x-envoy-internal", "true"),
    ("x-envoy-external-address", "10.0.0.1"),
    ("x-envoy-original-path", "/public/ping"),
    ("x-envoy-original-dst-host", "127.0.0.1:8081"),
    ("x-envoy-decorator-operation", "vpc"),
    ("x-forwarded-for", "10.0.0.1"),
    ("x-forwarded-host", "vpc"),
    ("x-forwarded-port", "8081"),
    ("x-forwarded-proto", "https"),
    ("x-real-ip", "10.0.0.1"),
    ("x-ca-network", "vpc"),
    ("x_ca_network", "vpc"),
    ("extauthz.network", "vpc"),
    ("extauthz-network", "vpc"),
    ("extauthz.api", "ping"),
    ("extauthz.stage", "TEST"),
    ("extauthz.vpc_id", "vpc-1"),
    ("x-ca-vpc-id", "vpc-1"),
]


@pytest.mark.parametrize("claim", CLAIMS_TO_BE_INSIDE, ids=lambda claim: claim[0])
def test_no_header_opens_a_vpc_api_to_the_internet(gateway: Gateway, claim: Header):
    answer = gateway.call("GET", "/internal/report", [claim, ("Authorization", CODE)])
    assert (answer.status, answer.code) == (403, "A403IN")


def test_all_of_them_together_do_not_either(gateway: Gateway):
    answer = gateway.call("GET", "/internal/report", [*CLAIMS_TO_BE_INSIDE, ("Authorization", CODE)])
    assert (answer.status, answer.code) == (403, "A403IN")
    assert gateway.decision(answer)["network"] == "internet"


def test_an_api_that_is_open_inside_asks_for_a_signature_from_outside(gateway: Gateway):
    assert gateway.call("GET", "/inside", network="vpc").seen_headers["x-ca-network"] == "vpc"
    outside = gateway.call("GET", "/inside", CLAIMS_TO_BE_INSIDE)
    assert (outside.status, gateway.reason(outside)) == (400, "credential_missing")
    assert gateway.signed("GET", "/inside").seen_headers["x-ca-network"] == "internet"


def test_a_credential_for_another_method_opens_nothing(gateway: Gateway):
    """Orders take signatures only: an AppCode of the same, granted app is no proof there, on either network."""
    for network in ("internet", "vpc"):
        answer = gateway.call("GET", "/v1/orders", [("Authorization", CODE)], network=network)
        assert (answer.status, gateway.reason(answer)) == (400, "method_refused")
    signature = signed_headers("GET", "/internal/report")
    answer = gateway.call("GET", "/internal/report", signature, network="vpc")
    assert (answer.status, gateway.reason(answer)) == (400, "method_refused")


def test_the_same_signature_is_spent_on_both_networks_at_once(gateway: Gateway):
    headers = signed_headers("GET", "/v1/orders")
    assert gateway.call("GET", "/v1/orders", headers).status == 200
    answer = gateway.call("GET", "/v1/orders", headers, network="vpc")
    assert (answer.status, gateway.reason(answer)) == (403, "nonce_used")


@pytest.mark.parametrize("stage", ["TEST", "test", "Pre"])
def test_a_grant_for_one_stage_does_not_open_another(gateway: Gateway, stage: str):
    own = signed_headers("GET", "/v1/orders", key="demo-app-key-0004", secret="demo-app-secret-0004", stage=stage)
    answer = gateway.call("GET", "/v1/orders", own)
    assert answer.status == (200 if stage.upper() == "TEST" else 403)


def test_apps_without_a_live_grant_call_nothing(gateway: Gateway):
    for number, why in (("0002", "not_granted"), ("0003", "grant_expired"), ("0004", "not_granted")):
        own = {"key": f"demo-app-key-{number}", "secret": f"demo-app-secret-{number}"}
        answer = gateway.signed("GET", "/v1/orders", **own)
        assert (answer.status, gateway.reason(answer)) == (403, why)
        code = ("Authorization", f"APPCODE demo-app-code-{number}")
        answer = gateway.call("GET", "/internal/report", [code], network="vpc")
        assert (answer.status, gateway.reason(answer)) == (403, why)


@pytest.mark.parametrize("claim", CLAIMS_TO_BE_INSIDE, ids=lambda claim: claim[0])
def test_no_header_moves_a_caller_into_an_allowed_address_range_or_vpc(gateway: Gateway, claim: Header):
    """The service reads x-envoy-external-address here. The Internet listener overwrites what clients say in it; the
    VPC listener of these tests holds us to be internal and lets our own copy through."""
    for network in ("internet", "vpc"):
        office = gateway.call("GET", "/office", [claim], network=network)
        assert (office.status, gateway.reason(office)) == (403, "ip_refused")
    one_vpc = gateway.call("GET", "/one-vpc", [claim], network="vpc")
    assert (one_vpc.status, gateway.reason(one_vpc)) == (403, "vpc_refused")
