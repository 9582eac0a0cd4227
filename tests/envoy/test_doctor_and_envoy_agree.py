"""Are we asked here? The doctor reads it off the file, a real Envoy shows it: they must agree, way by way.

Nobody serves the cluster that is asked, so where Envoy asks the answer is 503, and where it does not the backend's 200.
"""

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.stack import envoy_binary, free_ports
from extauthz.envoy.doctor import Severity, examine
from extauthz.envoy.doctor.service import ServiceFacts
from tests.gateway import wait_for

Json = dict[str, Any]
NAME = "envoy.filters.http.ext_authz"
GOOGLE = "type.googleapis.com"
OPENING = {"route-unchecked", "sampled", "no-ext-authz", "not-understood"}


def typed(name: str, **config: Any) -> Json:
    return {"@type": f"{GOOGLE}/{name}", **config}


def per_route(**config: Any) -> Json:
    return typed("envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute", **config)


def wrapped(**config: Any) -> Json:
    return typed("envoy.config.route.v3.FilterConfig", **config)


ON = per_route(check_settings={"context_extensions": {"extauthz.network": "internet"}})
OFF = per_route(disabled=True)


def says(config: Json, name: str = NAME) -> Json:
    return {"typed_per_filter_config": {name: config}}


def filter_(**more: Any) -> Json:
    config = typed(
        "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        transport_api_version="V3",
        grpc_service={"envoy_grpc": {"cluster_name": "nobody"}, "timeout": "0.5s"},
        status_on_error={"code": "ServiceUnavailable"},
        **more,
    )
    return {"name": NAME, "typed_config": config}


def route(match: Json | None = None, **more: Any) -> Json:
    return {"match": match or {"prefix": "/"}, "route": {"cluster": "backend"}, **more}


def shares(*says_of: Json) -> Json:
    clusters = [{"name": "backend", "weight": 100 if not one.get("rare") else 0} for one in says_of]
    for cluster, one in zip(clusters, says_of, strict=True):
        cluster |= {key: value for key, value in one.items() if key != "rare"}
    return {"match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": clusters}}}


def tree(action: Json, otherwise: Json | None = None) -> Json:
    def on_match(config: Json) -> Json:
        return {"action": {"name": "x", "typed_config": config}}

    value = typed("envoy.type.matcher.v3.HttpRequestHeaderMatchInput", header_name="x-way")
    found: Json = {
        "matcher_tree": {
            "input": {"name": "x", "typed_config": value},
            "exact_match_map": {"map": {"open": on_match(action)}},
        }
    }
    return found | ({"on_no_match": on_match(otherwise)} if otherwise else {})


def as_route(**more: Any) -> Json:
    return typed("envoy.config.route.v3.Route", **route(**more))


def delegate(matcher: Json, **more: Any) -> Json:
    inner = {"name": NAME, "typed_config": filter_()["typed_config"]}
    config = typed("envoy.extensions.common.matching.v3.ExtensionWithMatcher", extension_config=inner, **matcher)
    return {"name": NAME, "typed_config": config, **more}


def composite(matcher: Json) -> Json:
    inner = {"name": NAME, "typed_config": typed("envoy.extensions.filters.http.composite.v3.Composite")}
    config = typed("envoy.extensions.common.matching.v3.ExtensionWithMatcher", extension_config=inner, **matcher)
    return {"name": NAME, "typed_config": config}


def becomes(one: Json) -> Json:
    return typed("envoy.extensions.filters.http.composite.v3.ExecuteFilterAction", typed_config=one)


SKIP = typed("envoy.extensions.filters.common.matcher.action.v3.SkipFilter")


def shadow(*policies: tuple[str, Json]) -> list[Json]:
    """What Istio writes for CUSTOM policies: RBAC that sets metadata, and ext_authz that asks where it is set."""
    rules = {
        "action": "DENY",
        "policies": {
            name: {"permissions": [permission], "principals": [{"and_ids": {"ids": [{"any": True}]}}]}
            for name, permission in policies
        },
    }
    rbac = typed(
        "envoy.extensions.filters.http.rbac.v3.RBAC", shadow_rules=rules, shadow_rules_stat_prefix="istio_ext_authz_"
    )
    wanted = {
        "filter": "envoy.filters.http.rbac",
        "path": [{"key": "istio_ext_authz_shadow_effective_policy_id"}],
        "value": {"string_match": {"prefix": "istio-ext-authz"}},
    }
    return [
        {"name": "envoy.filters.http.rbac", "typed_config": rbac},
        filter_(filter_enabled_metadata=wanted),
    ]


ANY = {"and_rules": {"rules": [{"any": True}]}}
NOT_OPEN = {"and_rules": {"rules": [{"not_rule": {"url_path": {"path": {"prefix": "/way"}}}}]}}
HALF = {"default_value": {"numerator": 0, "denominator": "HUNDRED"}}
WHOLE = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}


def case(
    *routes: Json, table: Json | None = None, host: Json | None = None, filters: list[Json] | None = None
) -> tuple[list[Json], Json]:
    virtual = {"name": "all", "domains": ["*"], "routes": list(routes) or [route()], **(host or {})}
    if "matcher" in virtual:
        del virtual["routes"]
    return filters or [filter_()], {"name": "r", "virtual_hosts": [virtual], **(table or {})}


CASES: dict[str, tuple[list[Json], Json]] = {
    "nothing said": case(),
    "route off": case(route(**says(OFF))),
    "route off by FilterConfig": case(route(**says(wrapped(disabled=True)))),
    "route off by FilterConfig around a configuration": case(route(**says(wrapped(disabled=True, config=ON)))),
    "route off by FilterConfig around an empty configuration": case(route(**says(wrapped(disabled=True, config={})))),
    "host off": case(host=says(OFF)),
    "host off by FilterConfig": case(host=says(wrapped(disabled=True))),
    "table off": case(table=says(OFF)),
    "table off by FilterConfig": case(table=says(wrapped(disabled=True))),
    "table off, host on": case(table=says(OFF), host=says(ON)),
    "table off by FilterConfig, route on": case(route(**says(ON)), table=says(wrapped(disabled=True))),
    "host off, route on": case(route(**says(ON)), host=says(OFF)),
    "host off, route on by an empty FilterConfig": case(route(**says(wrapped(config={}))), host=says(OFF)),
    "host off by FilterConfig, route on by an empty one": case(
        route(**says(wrapped(config={}))), host=says(wrapped(disabled=True))
    ),
    "host on, route off": case(route(**says(wrapped(disabled=True))), host=says(ON)),
    "another filter's name": case(route(**says(wrapped(disabled=True), "another"))),
    "off in the chain": case(filters=[filter_() | {"disabled": True}]),
    "off in the chain, route on": case(route(**says(ON)), filters=[filter_() | {"disabled": True}]),
    "off in the chain, host on": case(host=says(ON), filters=[filter_() | {"disabled": True}]),
    "off in the chain, table on": case(table=says(ON), filters=[filter_() | {"disabled": True}]),
    "off in the chain, route on by an empty FilterConfig": case(
        route(**says(wrapped(config={}))), filters=[filter_() | {"disabled": True}]
    ),
    "off in the chain, host on, route off": case(
        route(**says(wrapped(disabled=True))), host=says(ON), filters=[filter_() | {"disabled": True}]
    ),
    "weighted cluster off": case(shares(says(OFF))),
    "weighted cluster off by FilterConfig": case(shares(says(wrapped(disabled=True)))),
    "route off, weighted cluster on": case(shares(says(ON)) | says(OFF)),
    "off in the chain, weighted cluster on": case(shares(says(ON)), filters=[filter_() | {"disabled": True}]),
    "matcher tree, one action off": case(host={"matcher": tree(as_route(**says(OFF)), as_route())}),
    "matcher tree, the other action off": case(host={"matcher": tree(as_route(), as_route(**says(OFF)))}),
    "matcher tree, all on": case(host={"matcher": tree(as_route(), as_route())}),
    "matcher tree, a list of routes off": case(
        host={"matcher": tree(typed("envoy.config.route.v3.RouteList", routes=[route(**says(OFF))]), as_route())}
    ),
    "delegate that skips": case(filters=[delegate({"xds_matcher": tree(SKIP)})]),
    "delegate that skips nothing, route skips": case(
        route(**says(typed("envoy.extensions.common.matching.v3.ExtensionWithMatcherPerRoute",
                           xds_matcher=tree(SKIP)))),
        filters=[delegate({"xds_matcher": {}})],
    ),
    "composite that asks always": case(filters=[composite({"xds_matcher": tree(becomes(filter_()),
                                                                              becomes(filter_()))})]),
    "composite that asks sometimes": case(filters=[composite({"xds_matcher": tree(becomes(filter_()))})]),
    "composite that asks always, route off": case(
        route(**says(OFF)), filters=[composite({"xds_matcher": tree(becomes(filter_()), becomes(filter_()))})]
    ),
    "shadow rules for everything": case(filters=shadow(("istio-ext-authz-all", ANY))),
    "shadow rules that leave something out": case(filters=shadow(("istio-ext-authz-all", NOT_OPEN))),
    "shadow rules, two policies": case(
        filters=shadow(("istio-ext-authz-a", NOT_OPEN), ("istio-ext-authz-b", ANY))
    ),
    "shadow rules, another name first": case(filters=shadow(("a", ANY), ("istio-ext-authz-b", ANY))),
    "shadow rules, RBAC off on the route": case(
        route(**says(wrapped(disabled=True), "envoy.filters.http.rbac")),
        filters=shadow(("istio-ext-authz-all", ANY)),
    ),
    "sampled": case(filters=[filter_(filter_enabled=HALF)]),
    "sampled to the full": case(filters=[filter_(filter_enabled=WHOLE)]),
    "sampled, but denied": case(filters=[filter_(filter_enabled=HALF, deny_at_disable={
        "runtime_key": "x", "default_value": True})]),
}  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[Json], int]]:
    """One Envoy with a listener for each case; all of them answer on the same port, by their path in a unix socket."""
    folder = tmp_path_factory.mktemp("agree")
    admin = free_ports().envoy_admin
    listeners = [listener(folder, f"c{index}", *one) for index, one in enumerate(CASES.values())]
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "reached"}}}
    listeners.append(listener(folder, "backend", [], case(answer)[1]))
    bootstrap = {
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}},
        "static_resources": {
            "listeners": listeners,
            "clusters": [cluster("backend", folder / "backend.sock"), cluster("nobody", folder / "nobody.sock")],
        },
    }
    file = folder / "envoy.json"
    file.write_text(json.dumps(bootstrap))
    with (folder / "envoy.log").open("wb") as log:
        command = [envoy_binary(), "-c", str(file), "--concurrency", "1", "--use-dynamic-base-id", "-l", "warning"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for(lambda: is_ready(admin), (folder / "envoy.log").read_text() or "Envoy", 30)
        yield [bootstrap], admin
    finally:
        process.terminate()
        process.wait(20)


def is_ready(admin: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/ready") as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def listener(folder: Path, name: str, filters: list[Json], table: Json) -> Json:
    router = {"name": "router", "typed_config": typed("envoy.extensions.filters.http.router.v3.Router")}
    manager = typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=name,
        http_filters=[*filters, router],
        route_config=table,
    )
    return {
        "name": name,
        "address": {"pipe": {"path": str(folder / f"{name}.sock")}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def cluster(name: str, path: Path) -> Json:
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(path)}}}}
    options = typed(
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        explicit_http_config={"http_protocol_options" if name == "backend" else "http2_protocol_options": {}},
    )
    return {
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
    }


@pytest.mark.parametrize("name", CASES)
def test_the_doctor_names_a_way_exactly_where_a_request_reaches_the_backend_unasked(
    name: str, served: tuple[list[Json], int]
):
    import httpx

    documents, _ = served
    index = list(CASES).index(name)
    socket_path = documents[0]["static_resources"]["listeners"][index]["address"]["pipe"]["path"]
    with httpx.Client(transport=httpx.HTTPTransport(uds=socket_path)) as client:
        answers = [client.get("http://x/way", headers=headers) for headers in ({}, {"x-way": "open"})]
    assert {answer.status_code for answer in answers} <= {200, 503, 403}
    is_open = any(answer.text == "reached" for answer in answers)
    here = (0, "static_resources", "listeners", index)
    named = [
        finding.rule.id
        for finding in examine(documents, ServiceFacts())
        if finding.spot.path[:4] == here and finding.rule.id in OPENING and finding.severity is Severity.ERROR
    ]
    assert bool(named) is is_open, named
