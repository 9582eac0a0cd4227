"""A client can spell an identity header as it likes: the backend hears who called from extauthz, or from nobody."""

import pytest

from demo.keys import make_token
from tests.gateway import CODE, Gateway, Header, signed_headers

FORGED: list[Header] = [
    ("X-Ca-App-Id", "forged"),
    ("x-ca-app-id", "forged"),
    ("X-CA-APP-ID", "forged"),
    ("x_ca_app_id", "forged"),
    ("X_Ca_App_Id", "forged"),
    ("x-ca_app-id", "forged"),
    ("x-ca-network", "forged"),
    ("x_ca_network", "forged"),
    ("X-Ca-Request-Id", "forged"),
    ("x_ca_request_id", "forged"),
    ("X-Token-Sub", "forged"),
    ("x_token_sub", "forged"),
    ("X-TOKEN_SUB", "forged"),
]


def assert_nothing_forged(headers: dict[str, str]) -> None:
    assert {name: value for name, value in headers.items() if "forged" in value} == {}


@pytest.mark.parametrize("network", ["internet", "vpc"])
def test_an_open_api_tells_the_backend_that_nobody_proved_anything(gateway: Gateway, network: str):
    seen = gateway.call("GET", "/public/ping", FORGED, network=network).seen_headers
    assert_nothing_forged(seen)
    assert "x-ca-app-id" not in seen
    assert seen["x-ca-network"] == network


@pytest.mark.parametrize("network", ["internet", "vpc"])
def test_a_signed_call_reaches_the_backend_as_the_app_that_signed(gateway: Gateway, network: str):
    seen = gateway.signed("GET", "/v1/orders", network, extra=FORGED).seen_headers
    assert_nothing_forged(seen)
    assert seen["x-ca-app-id"] == "demo-app"
    assert seen["x-ca-network"] == network


def test_signing_a_forged_identity_does_not_make_it_pass(gateway: Gateway):
    forged = ("X-Ca-App-Id", "forged")
    seen = gateway.signed("GET", "/v1/orders", extra=[forged], extra_signed=[forged]).seen_headers
    assert_nothing_forged(seen)
    assert seen["x-ca-app-id"] == "demo-app"


def test_an_app_code_call_reaches_the_backend_as_the_app_of_the_code(gateway: Gateway):
    seen = gateway.call("GET", "/internal/report", [*FORGED, ("Authorization", CODE)], network="vpc").seen_headers
    assert_nothing_forged(seen)
    assert seen["x-ca-app-id"] == "demo-app"


@pytest.mark.parametrize("network", ["internet", "vpc"])
def test_a_token_call_carries_the_claim_of_the_token_and_no_app(gateway: Gateway, network: str):
    token = make_token(gateway.private_jwk, sub="alice")
    authorization = ("Authorization", f"Bearer {token}")
    seen = gateway.call("GET", "/web/profile", [*FORGED, authorization], network=network).seen_headers
    assert_nothing_forged(seen)
    assert seen["x-token-sub"] == "alice"
    assert "x-ca-app-id" not in seen


def test_a_token_without_the_claim_leaves_no_room_for_a_forged_one(gateway: Gateway):
    token = make_token(gateway.private_jwk)
    seen = gateway.call("GET", "/web/profile", [*FORGED, ("Authorization", f"Bearer {token}")]).seen_headers
    assert_nothing_forged(seen)
    assert "x-token-sub" not in seen


def test_a_claim_header_of_one_api_cannot_be_forged_on_another(gateway: Gateway):
    """The backend behind both APIs is one and believes X-Token-Sub, wherever it comes from."""
    for answer in (
        gateway.call("GET", "/public/ping", [("X-Token-Sub", "forged")]),
        gateway.signed("GET", "/v1/orders", extra=[("X-Token-Sub", "forged")]),
        gateway.call("GET", "/internal/report", [("Authorization", CODE), ("X_Token_Sub", "forged")], network="vpc"),
    ):
        assert_nothing_forged(answer.seen_headers)


def test_naming_our_headers_in_connection_does_not_take_them_off(gateway: Gateway):
    """Connection lists headers that a proxy must drop; ours are not the client's to list."""
    dropped = ("Connection", "close, X-Ca-App-Id, X-Ca-Network")
    assert gateway.call("GET", "/v1/orders", [*signed_headers("GET", "/v1/orders"), dropped]).seen_headers[
        "x-ca-app-id"
    ] == ("demo-app")


def test_the_backend_gets_the_request_id_that_the_caller_gets(gateway: Gateway):
    answer = gateway.signed("GET", "/v1/orders", extra=[("X-Ca-Request-Id", "forged")])
    assert answer.seen_headers["x-ca-request-id"] == answer.request_id != "forged"
