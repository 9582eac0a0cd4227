"""Envoy routes by X-Ca-Stage letter by letter, the service reads it in any case: what is decided must be delivered."""

from collections.abc import Iterator
from typing import Any

import pytest

from extauthz.envoy.doctor import examine
from extauthz.envoy.doctor.service import ServiceFacts
from tests.envoy.policy_stack import Caller, bootstrap, policy_stack

NAME = "envoy.filters.http.ext_authz"
SPELLINGS = ["TEST", "test", "Test"]
CONFIG: dict[str, Any] = {
    "identity_headers": {"X-Ca-Decided": "stage"},
    "groups": [{"id": "all", "domains": ["*"]}],
    "apis": [{"id": "open", "group": "all", "methods": ["GET"], "path": "/open", "stages": ["TEST", "RELEASE"],
              "auth": {"internet": "none", "vpc": "none"}}],
}  # fmt: skip


def route(stage: str, match: dict[str, Any], pinned: bool) -> dict[str, Any]:
    """A route that tells the backend for which stage it was taken."""
    told = [{"header": {"key": "x-delivered", "value": stage}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]
    made: dict[str, Any] = {"match": match, "route": {"cluster": "backend"}, "request_headers_to_add": told}
    if pinned:
        settings = {"check_settings": {"context_extensions": {"extauthz.stage": stage}}}
        typed = {"@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute", **settings}
        made["typed_per_filter_config"] = {NAME: typed}
    return made


def envoy(pinned: bool) -> dict[str, Any]:
    loaded = bootstrap()
    match = {"prefix": "/", "headers": [{"name": "x-ca-stage", "string_match": {"exact": "TEST"}}]}
    for listener in loaded["static_resources"]["listeners"]:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        (host,) = manager["route_config"]["virtual_hosts"]
        host["routes"] = [route("TEST", match, pinned), route("RELEASE", {"prefix": "/"}, pinned)]
    return loaded


@pytest.fixture(scope="module", params=[False, True], ids=["not pinned", "pinned"])
def stages(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[bool, Caller]]:
    with policy_stack(tmp_path_factory.mktemp("stages"), CONFIG, envoy(request.param)) as caller:
        yield request.param, caller


def test_a_call_is_delivered_to_the_stage_it_was_decided_in_where_routes_pin_it_and_the_doctor_demands_that(
    stages: tuple[bool, Caller],
):
    pinned, caller = stages
    parted = []
    for spelling in SPELLINGS:
        answer = caller.call("/open", headers=[("X-Ca-Stage", spelling)])
        if answer.status_code == 400:  # delivered nowhere: the route's stage is not the one that was asked for
            assert answer.headers["x-ca-error-code"] == "I400SG"
            continue
        headers = answer.json()["headers"]
        parted.append(headers["x-ca-decided"] != headers["x-delivered"])
    assert parted
    assert any(parted) is not pinned
    named = {finding.rule.id for finding in examine([envoy(pinned)], ServiceFacts())}
    assert ("stage-by-header" in named) is not pinned
