"""Istio's and Envoy Gateway's resources: only fields that exist, in the versions that the files name."""

from typing import Any

import pytest
import yaml

from extauthz.envoy.doctor import RULES
from tests.unit.envoy.doctor.seeds import ROOT, good, resource

SPECS = {
    "AuthorizationPolicy": ("security.istio.io/v1", {"selector", "action", "provider", "rules"}),
    "PeerAuthentication": ("security.istio.io/v1", {"selector", "mtls", "portLevelMtls"}),
    "EnvoyFilter": ("networking.istio.io/v1alpha3", {"configPatches"}),
    "DestinationRule": ("networking.istio.io/v1", {"host", "trafficPolicy"}),
    "SecurityPolicy": ("gateway.envoyproxy.io/v1alpha1", {"targetRefs", "extAuth"}),
    "BackendTrafficPolicy": ("gateway.envoyproxy.io/v1alpha1", {"targetRefs", "requestBuffer"}),
    "ClientTrafficPolicy": ("gateway.envoyproxy.io/v1alpha1", {"targetRefs", "headers", "path"}),
    "EnvoyPatchPolicy": ("gateway.envoyproxy.io/v1alpha1", {"targetRef", "type", "jsonPatches"}),
    "ReferenceGrant": ("gateway.networking.k8s.io/v1beta1", {"from", "to"}),
}
ISTIO_PROVIDER = {
    "service", "port", "timeout", "failOpen", "clearRouteCache", "statusOnError", "includeRequestBodyInCheck"
}  # fmt: skip
ISTIO_BODY = {"maxRequestBytes", "allowPartialMessage", "packAsBytes"}
EXT_AUTH = {
    "grpc", "http", "headersToExtAuth", "bodyToExtAuth", "timeout", "failOpen", "recomputeRoute",
    "includeRouteMetadata", "contextExtensions", "statusOnError",
}  # fmt: skip


def resources() -> list[dict[str, Any]]:
    return [one for name in ("istio.yaml", "envoy-gateway.yaml") for one in good(name) if "kind" in one]


@pytest.mark.parametrize("one", resources(), ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_a_resource_has_its_version_and_no_field_that_does_not_exist(one: dict[str, Any]):
    version, fields = SPECS[one["kind"]]
    assert one["apiVersion"] == version
    assert set(one["spec"]) <= fields
    assert set(one) == {"apiVersion", "kind", "metadata", "spec"}
    assert one["metadata"].keys() == {"name", "namespace"}


def test_istios_providers_have_only_fields_of_a_grpc_provider():
    for provider in good("istio.yaml")[0]["meshConfig"]["extensionProviders"]:
        assert set(provider) == {"name", "envoyExtAuthzGrpc"}
        assert set(provider["envoyExtAuthzGrpc"]) <= ISTIO_PROVIDER
        assert set(provider["envoyExtAuthzGrpc"]["includeRequestBodyInCheck"]) <= ISTIO_BODY


def test_every_provider_is_used_by_one_policy_for_its_own_gateway():
    documents = good("istio.yaml")
    policies = [one for one in documents if one.get("kind") == "AuthorizationPolicy" and "provider" in one["spec"]]
    providers = [one["name"] for one in documents[0]["meshConfig"]["extensionProviders"]]
    assert sorted(policy["spec"]["provider"]["name"] for policy in policies) == sorted(providers)
    for policy in policies:
        network = policy["spec"]["provider"]["name"].removeprefix("extauthz-")
        assert policy["metadata"]["namespace"] == f"ingress-{network}"
        # Whoever stands in the namespace is asked about: a selector may select nobody, and nobody says so.
        assert not {"selector", "targetRefs"} & policy["spec"].keys()


def test_the_gateways_of_each_network_may_ask_at_their_own_port_and_nobody_else_in_plain_text():
    documents = good("istio.yaml")
    ports = {
        one["envoyExtAuthzGrpc"]["port"]: one["name"].removeprefix("extauthz-")
        for one in documents[0]["meshConfig"]["extensionProviders"]
    }
    (callers,) = (
        one for one in documents if one.get("kind") == "AuthorizationPolicy" and "provider" not in one["spec"]
    )
    assert callers["spec"]["action"] == "ALLOW"
    opened = {}
    for rule in callers["spec"]["rules"]:
        ((port,),) = (one["operation"]["ports"] for one in rule["to"])
        opened[int(port)] = [one["source"]["namespaces"] for one in rule.get("from", ())]
    assert opened.pop(9901) == []
    assert opened == {port: [[f"ingress-{network}"]] for port, network in ports.items()}
    peers = resource(documents, "PeerAuthentication")["spec"]
    assert peers["mtls"] == {"mode": "STRICT"}
    assert set(peers["portLevelMtls"]) == {9901}
    labels = next(yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "deployment.yaml").read_text()))["metadata"][
        "labels"
    ]
    assert callers["spec"]["selector"]["matchLabels"] == peers["selector"]["matchLabels"] == labels


BACKEND_SETTINGS = {"connection", "timeout", "circuitBreaker", "healthCheck", "retry"}


def test_envoy_gateways_policies_have_only_fields_of_ext_auth_and_mark_their_own_gateway():
    ports = {}
    for one in good("envoy-gateway.yaml"):
        if one["kind"] == "SecurityPolicy":
            ext_auth = one["spec"]["extAuth"]
            assert set(ext_auth) <= EXT_AUTH
            (target,), (mark,), (backend,) = (
                one["spec"]["targetRefs"], ext_auth["contextExtensions"], ext_auth["grpc"]["backendRefs"]
            )  # fmt: skip
            assert mark == {"name": "extauthz.network", "type": "Value", "value": target["name"]}
            ports[target["name"]] = backend["port"]
            assert set(ext_auth["grpc"]["backendSettings"]) == BACKEND_SETTINGS
    service = next(yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "service.yaml").read_text()))
    assert ports == {port["name"].removeprefix("grpc-"): port["port"] for port in service["spec"]["ports"]}


OF_MANAGER = {"/http_protocol_options", "/internal_address_config"}


def test_envoy_gateways_patches_reach_the_filter_and_its_connection_manager_and_nothing_else():
    for one in good("envoy-gateway.yaml"):
        if one["kind"] != "EnvoyPatchPolicy":
            continue
        gateway = one["spec"]["targetRef"]["name"]
        for patch in one["spec"]["jsonPatches"]:
            assert patch["name"] == f"gateways/{gateway}/http"
            assert patch["operation"]["op"] == "add"
            way, name = (
                ("filters", "envoy.filters.network.http_connection_manager")
                if patch["operation"]["path"] in OF_MANAGER
                else ("http_filters", "envoy.filters.http.ext_authz")
            )
            assert patch["operation"]["jsonPath"] == f"..{way}[?(@.name =~ '{name}')].typed_config"


def test_the_identity_headers_that_are_stripped_are_the_same_everywhere():
    def mutations(config: dict[str, Any]) -> set[str]:
        extension = config["early_header_mutation_extensions"][0]["typed_config"]
        return {one["remove"] for one in extension["mutations"]} - {"x-envoy-auth-failure-mode-allowed"}

    manager = good("static.yaml")[0]["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
    istio = resource(good("istio.yaml"), "EnvoyFilter")["spec"]["configPatches"][1]["patch"]["value"]
    gateway = resource(good("envoy-gateway.yaml"), "ClientTrafficPolicy")["spec"]["headers"]["earlyRequestHeaders"]
    expected = {"x-ca-app-id", "x-ca-network", "x-token-sub"}
    assert mutations(manager["typed_config"]) == mutations(istio["typed_config"]) == set(gateway["remove"]) == expected


def test_the_guide_explains_every_finding_of_the_doctor():
    guide = (ROOT / "docs" / "envoy.md").read_text()
    assert [rule.id for rule in RULES if f"`{rule.id}`" not in guide] == []
