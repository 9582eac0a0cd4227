"""Istio's and Envoy Gateway's resources: whom a policy selects, what replaces it, what a patch takes away."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from extauthz.envoy.doctor import Documents, ServiceFacts, Severity, examine
from tests.unit.envoy.doctor.seeds import good, resource

GENERATED = Path(__file__).parent / "generated"
GATEWAY_API = "gateway.networking.k8s.io"
Json = dict[str, Any]


def found(documents: list[Any], service: ServiceFacts | None = None) -> list[tuple[str, str]]:
    return [(one.rule.id, one.severity.value) for one in examine(documents, service or ServiceFacts())]


def serious(documents: list[Any]) -> list[tuple[str, str]]:
    """What is more than a note."""
    return [one for one in found(documents) if one[1] != "note"]


@pytest.mark.parametrize("name", ["istio-config-dump-internet.json", "envoy-gateway-internet.json"])
def test_what_control_planes_generate_from_our_files_brings_no_more_than_notes(name: str):
    documents = Documents((GENERATED / name).read_text()).documents
    assert serious(documents) == []
    assert {severity for _, severity in found(documents)} == {"note"}


def test_a_policy_on_the_route_that_took_the_check_away_is_seen_in_what_was_generated():
    text = (GENERATED / "envoy-gateway-route-policy-replaces-internet.json").read_text()
    assert serious(Documents(text).documents) == [("no-ext-authz", "error")]


def test_shadow_rules_that_leave_out_a_path_are_seen_in_istios_dump():
    dump = json.loads((GENERATED / "istio-config-dump-internet.json").read_text())
    text = json.dumps(dump).replace(
        '"permissions": [{"and_rules": {"rules": [{"any": true}]}}]',
        '"permissions": [{"and_rules": {"rules": [{"not_rule": {"url_path": {"path": {"prefix": "/open"}}}}]}}]',
    )
    (finding,) = [one for one in examine([json.loads(text)], ServiceFacts()) if one.severity is Severity.ERROR]
    assert finding.rule.id == "sampled"
    assert "rules: [ {} ]" in finding.instead  # in Istio's words, not Envoy's
    assert "extauthz-internet" in finding.spot.detail


def test_cures_are_in_the_words_of_whoever_wrote_the_configuration():
    istio = Documents((GENERATED / "istio-config-dump-internet.json").read_text()).documents
    gateway = Documents((GENERATED / "envoy-gateway-internet.json").read_text()).documents
    for documents, word in ((istio, "EnvoyFilter"), (gateway, "BackendTrafficPolicy")):
        (finding,) = [one for one in examine(documents, ServiceFacts()) if one.rule.id == "upgrades-on"]
        assert word in finding.instead


# Istio


def istio(**spec: Any) -> list[Any]:
    """The shipped file with other words in its first AuthorizationPolicy; None takes one away."""
    documents = good("istio.yaml")
    policy = resource(documents, "AuthorizationPolicy")["spec"]
    policy.update(spec)
    for name in [name for name, value in policy.items() if value is None]:
        del policy[name]
    return documents


def operation(**fields: Any) -> Json:
    return {"to": [{"operation": fields}]}


@pytest.mark.parametrize(
    ("rules", "limits"),
    [
        ([{}], None),
        ([None], None),
        ([operation(paths=["/*"])], None),
        ([operation(methods=["*"], paths=["*"])], None),
        ([operation(paths=["/v1/*"]), {}], None),
        ([operation(paths=["/v1/*"])], "paths"),
        ([operation(notPaths=["/healthz"])], "notPaths"),
        ([operation(paths=["/*"], notMethods=["OPTIONS"])], "notMethods"),
        ([operation(hosts=["api.example.com"])], "hosts"),
        ([operation(ports=["8080"])], "ports"),
        ([{"from": [{"source": {"notIpBlocks": ["10.0.0.0/8"]}}]}], "from"),
        ([{"when": [{"key": "request.headers[x]", "notValues": ["*"]}]}], "when"),
        ([], ""),
        (None, ""),
    ],
)
def test_rules_that_leave_requests_out_are_named_by_the_word_that_does(rules: Any, limits: str | None):
    findings = examine(istio(rules=rules), ServiceFacts())
    expected = [] if limits is None else [("policy-leaves-gaps", limits)]
    assert [(one.rule.id, one.spot.detail) for one in findings] == expected


def test_a_second_policy_of_the_same_gateways_may_be_as_narrow_as_it_likes():
    documents = good("istio.yaml")
    narrow = json.loads(json.dumps(resource(documents, "AuthorizationPolicy")))
    narrow["spec"]["rules"] = [operation(paths=["/v1/*"])]
    assert found([*documents, narrow]) == []


def gateway(name: str = "internet", namespace: str = "ingress-internet", **spec: Any) -> Json:
    return {
        "apiVersion": f"{GATEWAY_API}/v1", "kind": "Gateway", "metadata": {"name": name, "namespace": namespace},
        "spec": {"gatewayClassName": "istio", **spec},
    }  # fmt: skip


APP = {"matchLabels": {"app": "internet-gateway"}}
NAMED = {"matchLabels": {f"{GATEWAY_API}/gateway-name": "internet"}}
OLD = {"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": {"name": "x"},
       "spec": {"selector": {"app": "internet-gateway"}}}  # fmt: skip
PODS = {"kind": "Deployment", "spec": {"template": {"metadata": {"labels": {"app": "internet-gateway", "x": "y"}}}}}


@pytest.mark.parametrize(
    ("selector", "beside", "expected"),
    [
        (APP, [], [("selects-nothing", "warning")]),
        (APP, [gateway()], [("selects-nothing", "error"), ("gateway-unasked", "error")]),
        (APP, [gateway(infrastructure={"labels": {"app": "internet-gateway"}})], []),
        (NAMED, [gateway()], []),
        (APP, [OLD], []),
        (APP, [PODS], []),
        (None, [gateway()], []),
        (None, [gateway(namespace="elsewhere")], [("gateway-unasked", "error")]),
        ({"matchLabels": {"app": "typo"}}, [PODS], [("selects-nothing", "error")]),
    ],
)
def test_a_selector_must_select_something_and_every_gateway_must_be_selected(
    selector: Json | None, beside: list[Json], expected: list[tuple[str, str]]
):
    assert found([*istio(selector=selector), *beside]) == expected


def test_the_selector_that_we_once_shipped_is_named_with_target_refs_as_the_cure():
    documents = istio(selector=APP)
    (finding,) = examine(documents, ServiceFacts())
    assert finding.rule.id == "selects-nothing"
    assert "targetRefs" in finding.instead
    assert finding.spot.path[-3:] == ("spec", "selector", "matchLabels")


def target(name: str, kind: str = "Gateway") -> Json:
    return {"targetRefs": [{"group": GATEWAY_API, "kind": kind, "name": name}]}


def test_target_refs_name_gateways_of_the_file_where_there_are_any():
    assert found([*istio(**target("internet")), gateway()]) == []
    assert found(istio(**target("internet"))) == []
    assert found([*istio(**target("internte")), gateway()]) == [
        ("selects-nothing", "error"),
        ("gateway-unasked", "error"),
    ]


def test_policies_whose_providers_are_elsewhere_are_said_to_be_half_seen():
    documents = [one for one in good("istio.yaml") if one.get("kind") == "AuthorizationPolicy"]
    assert found(documents) == [("not-in-this-file", "warning")] * 2


FILTER_OFF = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}
ROUTE_OFF = {"@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
             "disabled": True}  # fmt: skip
NAME = "envoy.filters.http.ext_authz"
HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
SUB = {"listener": {"filterChain": {"filter": {"subFilter": {"name": NAME}}}}}
AUTHZ = {"@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"}


def patch(apply_to: str, operation: str, value: Any = None, match: Any = None) -> Json:
    return {"applyTo": apply_to, "match": match or {}, "patch": {"operation": operation, "value": value}}


@pytest.mark.parametrize(
    "opening",
    [
        patch("HTTP_ROUTE", "MERGE", {"typed_per_filter_config": {NAME: FILTER_OFF}}),
        patch("HTTP_ROUTE", "MERGE", {"typedPerFilterConfig": {NAME: ROUTE_OFF}}),
        patch("VIRTUAL_HOST", "MERGE", {"typed_per_filter_config": {NAME: ROUTE_OFF}}),
        patch("VIRTUAL_HOST", "MERGE", {"routes": [{"typed_per_filter_config": {NAME: ROUTE_OFF}}]}),
        patch("ROUTE_CONFIGURATION", "MERGE", {"typed_per_filter_config": {NAME: FILTER_OFF}}),
        patch("HTTP_ROUTE", "INSERT_FIRST", {"route": {"weighted_clusters": {"clusters": [
            {"typed_per_filter_config": {NAME: ROUTE_OFF}}]}}}),
        patch("HTTP_ROUTE", "MERGE", {"typed_per_filter_config": {NAME: {"@type": "x/acme.v1.Odd"}}}),
        patch("HTTP_FILTER", "REMOVE", match=SUB),
        patch("HTTP_FILTER", "MERGE", {"disabled": True}, SUB),
        patch("HTTP_FILTER", "REPLACE", {"name": NAME, "typed_config": {"@type": "x/acme.v1.Odd"}}, SUB),
        patch("LISTENER", "ADD", {"filter_chains": [{"filters": [{"typed_config": {"@type": HCM,
                                                                                   "http_filters": []}}]}]}),
    ],
)  # fmt: skip
def test_a_patch_that_takes_the_check_away_is_found(opening: Json):
    documents = good("istio.yaml")
    documents.append({"kind": "EnvoyFilter", "spec": {"configPatches": [opening]}})
    assert found(documents) == [("patch-opens", "error")]
    assert found([documents[-1]]) == [("patch-opens", "error")]  # alone in its file, too


@pytest.mark.parametrize(
    "harmless",
    [
        patch("HTTP_ROUTE", "MERGE", {"typed_per_filter_config": {"envoy.filters.http.fault": FILTER_OFF}}),
        patch("HTTP_ROUTE", "MERGE", {"typed_per_filter_config": {NAME: {
            "check_settings": {"context_extensions": {"extauthz.api": "x"}}}}}),
        patch("HTTP_FILTER", "REMOVE", match={"listener": {"filterChain": {"filter": {"subFilter": {"name": "x"}}}}}),
        patch("HTTP_FILTER", "MERGE", {"typed_config": AUTHZ}, SUB),
    ],
)  # fmt: skip
def test_a_patch_of_something_else_is_none_of_ours(harmless: Json):
    documents = good("istio.yaml")
    documents.append({"kind": "EnvoyFilter", "spec": {"configPatches": [harmless]}})
    assert found(documents) == []


def test_a_filter_that_an_envoy_filter_brings_is_examined_like_any_other():
    value = {"name": NAME, "typed_config": AUTHZ | {"failure_mode_allow": True, "grpc_service": {}}}
    documents = [{"kind": "EnvoyFilter", "spec": {"configPatches": [patch("HTTP_FILTER", "INSERT_FIRST", value)]}}]
    assert ("fails-open", "error") in found(documents)


@pytest.mark.parametrize(
    ("operation", "beside", "is_behind"),
    [
        ("INSERT_AFTER", NAME, True),
        ("INSERT_BEFORE", "envoy.filters.http.router", True),
        ("INSERT_BEFORE", NAME, False),
        ("INSERT_FIRST", "", False),
    ],
)
def test_a_patch_that_puts_a_filter_behind_us_that_may_change_the_route_is_found(
    operation: str, beside: str, is_behind: bool
):
    match = {"listener": {"filterChain": {"filter": {"subFilter": {"name": beside}}}}}
    lua = {"typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"}}
    documents = good("istio.yaml")
    documents.append({"kind": "EnvoyFilter", "spec": {"configPatches": [patch("HTTP_FILTER", operation, lua, match)]}})
    assert found(documents) == ([("route-changed-afterwards", "warning")] if is_behind else [])


def test_code_that_envoy_gateway_runs_behind_us_is_found():
    code = {"kind": "EnvoyExtensionPolicy", "spec": {"lua": [{"type": "Inline", "inline": ""}]}}
    assert found([*good("envoy-gateway.yaml"), code]) == [("route-changed-afterwards", "warning")]


def test_upgrades_that_istio_turns_on_by_itself_are_a_warning_with_istios_cure():
    documents = good("istio.yaml")
    for one in documents:
        if one.get("kind") == "EnvoyFilter":
            patches = one["spec"]["configPatches"]
            one["spec"]["configPatches"] = [entry for entry in patches if entry["applyTo"] != "HTTP_ROUTE"]
    (finding,) = examine(documents, ServiceFacts())
    assert (finding.rule.id, finding.severity) == ("upgrades-on", Severity.WARNING)
    assert "HTTP_ROUTE" in finding.instead


@pytest.mark.parametrize("kind", ["VirtualService", "HTTPRoute"])
def test_routes_by_stage_are_found_in_resources_too(kind: str):
    headers: Any = {"X-Ca-Stage": {"exact": "TEST"}} if kind == "VirtualService" else [
        {"name": "x-ca-stage", "value": "TEST"}
    ]  # fmt: skip
    rules = {"http": [{"match": [{"headers": headers}]}], "rules": [{"matches": [{"headers": headers}]}]}
    route = {"kind": kind, "metadata": {"name": "shop"}, "spec": rules}
    assert found([*good("istio.yaml"), route]) == [("stage-by-header", "error")]


# Envoy Gateway


def on(kind: str, name: str = "shop", **spec: Any) -> Json:
    section = spec.pop("section", None)
    reference = {"group": GATEWAY_API, "kind": kind, "name": name} | ({"sectionName": section} if section else {})
    return {"apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "SecurityPolicy", "metadata": {"name": "x"},
            "spec": {"targetRefs": [reference], **spec}}  # fmt: skip


def http_route(*parents: str, name: str = "shop") -> Json:
    return {"apiVersion": f"{GATEWAY_API}/v1", "kind": "HTTPRoute", "metadata": {"name": name, "labels": {"a": "b"}},
            "spec": {"parentRefs": [{"name": parent} for parent in parents], "rules": []}}  # fmt: skip


CORS = {"cors": {"allowOrigins": ["https://app.example"]}}


@pytest.mark.parametrize(
    ("beside", "expected"),
    [
        ([on("HTTPRoute", **CORS)], True),
        ([on("GRPCRoute", **CORS)], True),
        ([on("HTTPRoute", section="rule-1", jwt={"providers": []})], True),
        ([on("Gateway", "internet", section="http", **CORS)], True),
        ([on("XListenerSet", **CORS)], True),
        ([on("Gateway", "internet", **CORS)], True),
        ([on("HTTPRoute", extAuth={"http": {"backendRefs": []}})], True),
        ([on("HTTPRoute", mergeType="StrategicMerge", extAuth={"http": {}})], True),
        ([{"kind": "SecurityPolicy", "spec": CORS | {"targetRef": {"kind": "HTTPRoute", "name": "shop"}}}], True),
        ([{"kind": "SecurityPolicy", "spec": CORS | {"targetSelectors": [{"kind": "HTTPRoute",
                                                                          "matchLabels": {"a": "b"}}]}}], True),
        ([on("HTTPRoute", **CORS), http_route("internet")], True),
        ([on("HTTPRoute", mergeType="StrategicMerge", **CORS)], False),
        ([on("HTTPRoute", mergeType="JSONMerge", **CORS)], False),
        ([on("HTTPRoute", **CORS), http_route("another")], False),
    ],
)  # fmt: skip
def test_a_policy_that_replaces_the_gateways_is_found_unless_it_merges(beside: list[Json], expected: bool):
    documents = [*good("envoy-gateway.yaml"), *beside]
    assert found(documents) == ([("policy-replaces", "error")] if expected else [])


def test_a_policy_on_a_route_that_asks_us_itself_replaces_nothing():
    documents = good("envoy-gateway.yaml")
    own = json.loads(json.dumps(resource(documents, "SecurityPolicy")))
    own["spec"]["targetRefs"] = [{"group": GATEWAY_API, "kind": "HTTPRoute", "name": "shop"}]
    buffered = resource(documents, "BackendTrafficPolicy")
    buffered["spec"]["targetRefs"].append({"group": GATEWAY_API, "kind": "HTTPRoute", "name": "shop"})
    assert found([*documents, own]) == []


def eg(name: str, *listeners: str) -> Json:
    return gateway(name, "gateways", listeners=[{"name": one} for one in listeners]) | {
        "spec": {"gatewayClassName": "eg", "listeners": [{"name": one} for one in listeners]}
    }


def test_a_gateway_that_no_policy_has_ask_us_is_found():
    documents = good("envoy-gateway.yaml")
    assert found([*documents, eg("internet", "http"), eg("vpc", "http")]) == []
    elsewhere = eg("internet", "http") | {"metadata": {"name": "internet", "namespace": "elsewhere"}}
    assert found([*documents, elsewhere]) == [("gateway-unasked", "error")]
    assert found([*documents, eg("third", "http")]) == [("gateway-unasked", "error")]
    assert found([*documents, eg("third", "http"), http_route("third")]) == [("gateway-unasked", "error")]


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/default_filter_chain/filters/0/typed_config/http_filters/0"},
        {"op": "remove", "jsonPath": f"..http_filters[?(@.name =~ '{NAME}')]", "path": ""},
        {"op": "add", "jsonPath": f"..http_filters[?(@.name =~ '{NAME}')]", "path": "/disabled", "value": True},
        {"op": "add", "path": f"/virtual_hosts/0/routes/0/typed_per_filter_config/{NAME}", "value": ROUTE_OFF},
        {"op": "add", "path": "/virtual_hosts/0/routes/0/typed_per_filter_config", "value": {NAME: FILTER_OFF}},
        {"op": "replace", "path": "/virtual_hosts/0/routes/0", "value": {"typed_per_filter_config": {NAME: ROUTE_OFF}}},
    ],
)
def test_a_patch_policy_that_takes_the_check_away_is_found(operation: Json):
    documents = good("envoy-gateway.yaml")
    documents.append({"kind": "EnvoyPatchPolicy", "spec": {"jsonPatches": [{"type": "x", "operation": operation}]}})
    assert found(documents) == [("patch-opens", "error")]


def test_upgrades_that_envoy_gateway_turns_on_by_itself_are_a_warning_with_its_cure():
    documents = [one for one in good("envoy-gateway.yaml") if one["kind"] != "BackendTrafficPolicy"]
    findings = examine(documents, ServiceFacts())
    assert [(one.rule.id, one.severity) for one in findings] == [("upgrades-on", Severity.WARNING)] * 2
    assert "requestBuffer" in findings[0].instead


def test_request_buffers_of_all_routes_do_as_well_as_the_gateways():
    documents = good("envoy-gateway.yaml")
    buffered = resource(documents, "BackendTrafficPolicy")["spec"]
    buffered["targetRefs"] = [{"group": GATEWAY_API, "kind": "HTTPRoute", "name": "shop"}]
    assert found([*documents, http_route("internet", "vpc")]) == []
    assert found([*documents, http_route("internet", "vpc"), http_route("vpc", name="other")]) == [
        ("upgrades-on", "warning")
    ]


def test_a_traffic_policy_on_a_route_replaces_the_gateways_request_buffer():
    documents = good("envoy-gateway.yaml")
    own = {"kind": "BackendTrafficPolicy", "spec": {"targetRefs": [{"kind": "HTTPRoute", "name": "shop"}]}}
    assert found([*documents, own]) == [("upgrades-on", "warning")]
    own["spec"]["mergeType"] = "StrategicMerge"  # type: ignore[index]
    assert found([*documents, own]) == []


def test_a_whole_installation_in_one_file_is_sound():
    """Class, namespaces, gateways, routes and endpoints around the shipped file, as in a cluster."""
    around = yaml.safe_load_all(
        f"""
apiVersion: {GATEWAY_API}/v1
kind: GatewayClass
metadata: {{ name: eg }}
spec: {{ controllerName: gateway.envoyproxy.io/gatewayclass-controller }}
---
apiVersion: v1
kind: Service
metadata: {{ name: extauthz, namespace: extauthz }}
spec: {{ ports: [ {{ port: 9191 }} ] }}
"""
    )
    assert found([*around, *good("envoy-gateway.yaml"), eg("internet", "http"), http_route("internet", "vpc")]) == []
