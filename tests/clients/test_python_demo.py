"""The vendor's own Python demo code (PyPI ``aliyun-api-gateway-sign``) in front of the running gateway."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from demo.stack import ROOT
from tests.gateway import KEY, SECRET, Gateway

FOLDER = ROOT / "tests" / "clients" / "python"


def call(gateway: Gateway, method: str, target: str, network: str = "internet", **told: Any) -> dict[str, Any]:
    ports = {"internet": gateway.stack.ports.internet, "vpc": gateway.stack.ports.vpc}
    told = {"key": KEY, "secret": SECRET, "port": ports[network], "method": method, "target": target, **told}
    ran = subprocess.run(
        [sys.executable, str(FOLDER / "drive.py")], input=json.dumps(told), capture_output=True, encoding="utf-8",
        timeout=30, check=False, env={**os.environ, "PYTHONPATH": str(FOLDER / "site")},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer


def seen(answer: dict[str, Any]) -> dict[str, Any]:
    assert answer["status"] == 200, answer
    shown: dict[str, Any] = json.loads(answer["body"])
    assert shown["headers"]["x-ca-app-id"] == "demo-app"
    return shown


@pytest.mark.parametrize("network", ["internet", "vpc"])
@pytest.mark.parametrize("target", ["/v1/orders", "/v1/orders?b=2&a=1", "/v1/orders/42?a="])
def test_get(gateway: Gateway, network: str, target: str):
    assert seen(call(gateway, "GET", target, network))["path"] == target


def test_delete(gateway: Gateway):
    assert seen(call(gateway, "DELETE", "/v1/orders/42"))["method"] == "DELETE"


def test_post_form(gateway: Gateway):
    assert seen(call(gateway, "POST", "/v1/orders", form={"item": "tea & 茶", "n": "2"}))["body"].startswith(
        "item=tea+"
    )


def test_post_form_with_a_query_which_it_sends_in_the_form_too(gateway: Gateway):
    shown = seen(call(gateway, "POST", "/v1/orders?channel=web", form={"item": "tea"}))
    assert (shown["path"], shown["body"]) == ("/v1/orders?channel=web", "item=tea&channel=web")


def test_post_bytes_bound_by_content_md5(gateway: Gateway):
    assert seen(call(gateway, "POST", "/v1/orders", bytes=list(b"tea")))["headers"]["content-md5"]


def test_a_query_with_escapes_is_signed_wrongly_by_it_and_refused(gateway: Gateway):
    """It signs the escapes as they are; the vendor's rule is the decoded value. The message shows it."""
    answer = call(gateway, "GET", "/v1/orders?a=%41")
    assert (answer["status"], answer["headers"]["x-ca-error-code"]) == (403, "A403SG")
    assert answer["headers"]["x-ca-error-message"].endswith("/v1/orders?a=A`")


def test_a_wrong_secret_is_told_the_string_to_sign(gateway: Gateway):
    answer = call(gateway, "GET", "/v1/orders?b=2&a=1", secret="wrong")
    said = answer["headers"]["x-ca-error-message"]
    assert said.startswith("Invalid Signature, Server StringToSign:`GET#application/json##application/json##X-Ca-Key:")
    assert said.endswith("#/v1/orders?a=1&b=2`")
