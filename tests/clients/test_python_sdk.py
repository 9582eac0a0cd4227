"""PyPI's ``aliyun-api-gateway-python``, unchanged: it signs other readings than the Node SDK does."""

import json
from typing import Any

import pytest
from aliyun_api_gateway import ApiGatewayClient

from tests.gateway import KEY, SECRET, Gateway, wait_for


class Sdk:
    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    def __call__(self, method: str, path: str, network: str = "internet", key: str = KEY, secret: str = SECRET,
                 algorithm: str = "HmacSHA256", **parts: Any) -> Any:  # fmt: skip
        base = self.gateway.stack.url(network, "")
        return ApiGatewayClient(base, key, secret, signature_method=algorithm).request(method, path, **parts)

    def reading(self, response: Any) -> str:
        """Which reading of the string to sign matched, from the decision log."""
        wanted = response.get_header("X-Ca-Request-Id")

        def search() -> dict[str, Any] | None:
            lines = (self.gateway.stack.folder / "decisions.jsonl").read_text().splitlines()
            return next((line for line in map(json.loads, reversed(lines)) if line["request_id"] == wanted), None)

        return str(wait_for(search, "the decision")["reading"])


@pytest.fixture
def sdk(gateway: Gateway) -> Sdk:
    return Sdk(gateway)


@pytest.mark.parametrize("network", ["internet", "vpc"])
@pytest.mark.parametrize("algorithm", ["HmacSHA256", "HmacSHA1"])
@pytest.mark.parametrize(
    "query",
    [None, {"b": "2", "a": "1"}, {"empty": ""}, [("k", "1"), ("k", "2")], {"名": "中 文+&=%/?"}, {"t": True, "z": 0}],
)
def test_get(sdk: Sdk, network: str, algorithm: str, query: Any):
    response = sdk("GET", "/v1/orders", network=network, algorithm=algorithm, query=query)
    assert response.status == 200, response.get_header("X-Ca-Error-Message")
    assert response.json()["headers"]["x-ca-app-id"] == "demo-app"


def test_bodies(sdk: Sdk):
    for method, path, parts in (
        ("POST", "/v1/orders?channel=web", {"form": {"item": "tea & 茶", "empty": "", "n": 2}}),
        ("POST", "/v1/orders", {"form": [("k", "1"), ("k", "2")]}),
        ("POST", "/v1/orders", {"json_body": {"item": "茶"}}),
        ("PUT", "/v1/orders/42", {"json_body": [1, 2]}),
        ("PUT", "/v1/orders/42", {"body": bytes(range(256)), "content_type": "application/octet-stream"}),
        ("DELETE", "/v1/orders/42", {"query": {"reason": "不要"}}),
    ):
        response = sdk(method, path, **parts)
        assert response.status == 200, response.get_header("X-Ca-Error-Message")
        assert sdk.reading(response) == "primary"


def test_a_path_beyond_ascii_which_it_signs_decoded(sdk: Sdk):
    response = sdk("GET", "/v1/orders/中 文")
    assert response.json()["path"] == "/v1/orders/%E4%B8%AD%20%E6%96%87"
    assert sdk.reading(response) == "decoded_path"


def test_a_key_in_query_and_form_of_which_it_signs_the_query(sdk: Sdk):
    response = sdk("POST", "/v1/orders?k=query", form={"k": "form"})
    assert response.status == 200, response.get_header("X-Ca-Error-Message")
    assert sdk.reading(response) == "query_wins"


@pytest.mark.parametrize("stage", ["RELEASE", "TEST", "PRE"])
def test_every_stage(sdk: Sdk, stage: str):
    assert sdk("GET", "/v1/orders", headers={"X-Ca-Stage": stage}).status == 200


def test_headers_that_the_caller_asks_to_sign(sdk: Sdk):
    signed = {"headers": {"X-Tenant": "north", "a-first": "1"}, "additional_signed_headers": ["X-Tenant", "a-first"]}
    assert sdk("GET", "/v1/orders", **signed).status == 200


def test_refusals_reach_its_caller(sdk: Sdk):
    wrong = sdk("GET", "/v1/orders", query={"a": "1"}, secret="wrong")
    assert (wrong.status, wrong.get_header("X-Ca-Error-Code")) == (403, "A403SG")
    assert wrong.get_header("X-Ca-Error-Message").endswith("#/v1/orders?a=1`")
    assert sdk("GET", "/v1/orders", key="nobody-0001").get_header("X-Ca-Error-Message") == "Invalid AppKey"
    refused = sdk("GET", "/v1/orders", key="demo-app-key-0002", secret="demo-app-secret-0002")
    assert (refused.status, refused.get_header("X-Ca-Error-Message")) == (403, "Unauthorized")
