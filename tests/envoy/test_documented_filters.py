"""CORS and rate limits by app: the snippets of the documents, in a real Envoy before and behind ext_authz."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.gateway import (
    ROOT,
    Answer,
    Gateway,
    connection_manager,
    patient_bootstrap,
    running_gateway,
    shipped_config,
    signed_headers,
)

ORIGIN = "https://shop.example.com"
SECOND = {"key": "demo-app-key-0002", "secret": "demo-app-secret-0002"}


def snippets(page: str) -> list[Any]:
    """The YAML blocks of a page."""
    return [
        yaml.safe_load(one) for one in re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    ]


CORS, POLICY = snippets("browsers.md")
LIMIT, ACTIONS, _ = snippets("rate-limits.md")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("filters")
    bootstrap = patient_bootstrap()
    manager = connection_manager(bootstrap["static_resources"]["listeners"][0])
    (place,) = (number for number, one in enumerate(manager["http_filters"]) if one["name"].endswith("ext_authz"))
    manager["http_filters"] = [
        *manager["http_filters"][:place],
        CORS,
        manager["http_filters"][place],
        LIMIT,
        *manager["http_filters"][place + 1 :],
    ]
    (host,) = manager["route_config"]["virtual_hosts"]
    host["typed_per_filter_config"] = {**host.get("typed_per_filter_config", {}), **POLICY}
    config = shipped_config()
    for app in ("big-partner", "demo-app-no-grants"):
        config["grants"].append({"app": app, "apis": ["orders", "profile"], "granted_by": "demo"})
    config["apps"].append(
        {"id": "big-partner", "keys": [{"app_key": "big-key", "app_secret": "big-partner-secret-01"}]}
    )
    with running_gateway(folder, bootstrap, config) as running:
        yield running


def from_the_page(gateway: Gateway, headers: list[Any], method: str = "GET") -> Answer:
    return gateway.call(method, "/v1/orders", [("Origin", ORIGIN), *headers])


def test_a_preflight_is_answered_before_anybody_is_asked_for_a_credential(gateway: Gateway):
    wanted = "x-ca-key,x-ca-timestamp,x-ca-nonce,x-ca-signature,x-ca-signature-headers"
    asked = [("Access-Control-Request-Method", "GET"), ("Access-Control-Request-Headers", wanted)]
    answer = from_the_page(gateway, asked, "OPTIONS")
    assert answer.status == 200
    assert answer.header("access-control-allow-origin") == ORIGIN
    allowed = {name.strip() for name in answer.header("access-control-allow-headers").split(",")}
    assert set(wanted.split(",")) <= allowed
    assert not answer.request_id, "the service was asked"


def test_a_page_can_send_every_header_of_the_scheme_and_read_why_it_was_refused(gateway: Gateway):
    from extauthz.domain import header_names

    of_the_scheme = {value for name, value in vars(header_names).items() if name.startswith("X_CA_")}
    policy = POLICY["envoy.filters.http.cors"]
    allowed, exposed = (
        {name.strip() for name in policy[key].split(",")} for key in ("allow_headers", "expose_headers")
    )
    sent = {"x-ca-key", "x-ca-nonce", "x-ca-timestamp", "x-ca-stage", *(n for n in of_the_scheme if "signature" in n)}
    assert sent <= allowed
    assert {name for name in of_the_scheme if "error" in name} <= exposed
    refused = from_the_page(gateway, [])
    assert refused.status >= 400
    assert refused.header("access-control-allow-origin") == ORIGIN
    shown = {name.strip() for name in refused.header("access-control-expose-headers").split(",")}
    assert {name for name, _ in refused.headers if name.startswith("x-ca-")} <= shown
    stranger = gateway.call("GET", "/v1/orders", [("Origin", "https://evil.example")])
    assert stranger.header("access-control-allow-origin") == ""


def test_each_app_has_its_own_limit_and_what_is_refused_uses_none_of_it(gateway: Gateway):
    most = LIMIT["typed_config"]["descriptors"][1]["token_bucket"]["max_tokens"]

    def call(**credentials: str) -> int:
        return gateway.call("GET", "/v1/orders", signed_headers("GET", "/v1/orders", **credentials)).status

    forged = [call(key=SECOND["key"], secret="not-the-secret-of-it") for _ in range(most)]
    assert set(forged) == {403}
    assert [call(**SECOND) for _ in range(most + 1)] == [200] * most + [429]
    assert call() == 200, "another app"
    big = {"key": "big-key", "secret": "big-partner-secret-01"}
    assert [call(**big) for _ in range(most + 1)] == [200] * (most + 1)


def test_the_actions_for_one_limit_over_all_envoys_are_those_that_were_tried(gateway: Gateway):
    assert LIMIT["typed_config"]["rate_limits"] == ACTIONS
