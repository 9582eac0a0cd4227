"""Istio's and Envoy Gateway's words are understood, and what their patches add counts."""

import copy

import pytest
import yaml

from extauthz.envoy.doctor import ServiceFacts, examine
from tests.unit.envoy.doctor.seeds import good, resource

PATCHED = {"headers-joined", "mutations-unchecked", "mutations-unlimited", "header-letter-case", "internal-addresses"}


def found(documents: list, service: ServiceFacts | None = None) -> set[str]:
    return {finding.rule.id for finding in examine(documents, service or ServiceFacts())}


def istio(**changes: object) -> list:
    documents = good("istio.yaml")
    provider = documents[0]["meshConfig"]["extensionProviders"][0]["envoyExtAuthzGrpc"]
    provider.update(changes)
    for name in [name for name, value in provider.items() if value is None]:
        del provider[name]
    return documents


def gateway(**changes: object) -> list:
    documents = good("envoy-gateway.yaml")
    policy = resource(documents, "SecurityPolicy")["spec"]["extAuth"]
    policy.update(changes)
    for name in [name for name, value in policy.items() if value is None]:
        del policy[name]
    return documents


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"failOpen": True}, "fails-open"),
        ({"timeout": None}, "timeout-missing"),
        ({"timeout": "600s"}, "timeout-long"),
        ({"timeout": "0s"}, "timeout-off"),
        ({"statusOnError": None}, "outage-looks-like-denial"),
        ({"statusOnError": "403"}, "outage-looks-like-denial"),
        ({"includeRequestBodyInCheck": None}, "body-missing"),
        ({"includeRequestBodyInCheck": {"maxRequestBytes": 1048576}}, "body-as-text"),
        ({"includeRequestBodyInCheck": {"maxRequestBytes": 4096, "packAsBytes": True}}, "body-limit-small"),
        ({"clearRouteCache": True}, "route-recomputed"),
    ],
)
def test_an_istio_provider_is_examined_like_a_filter(changes: dict, finding: str):
    assert found(istio(**changes)) == {finding}


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"failOpen": True}, "fails-open"),
        ({"timeout": None}, "timeout-missing"),
        ({"timeout": "3s"}, "timeout-long"),
        ({"statusOnError": None}, "outage-looks-like-denial"),
        ({"bodyToExtAuth": {"maxRequestBytes": 1024}}, "body-limit-small"),
        ({"headersToExtAuth": ["authorization"]}, "headers-withheld"),
        ({"recomputeRoute": True}, "route-recomputed"),
        ({"contextExtensions": None}, "network-unmarked"),
        (
            {"contextExtensions": [{"name": "extauthz.network", "type": "Value", "value": "intranet"}]},
            "network-unknown",
        ),
    ],
)
def test_a_security_policy_is_examined_like_a_filter(changes: dict, finding: str):
    # With a longer timeout the tries of the shipped backendSettings are too short beside it.
    assert found(gateway(**changes)) - {"retry-max-interval-short"} == {finding}


def test_an_istio_provider_without_the_envoy_filter_lacks_what_only_that_can_say():
    documents = [one for one in good("istio.yaml") if one.get("kind") != "EnvoyFilter"]
    assert found(documents) == PATCHED | {"upgrades-on"}


def test_a_security_policy_without_the_patch_policy_mangles_bodies():
    documents = [one for one in good("envoy-gateway.yaml") if one.get("kind") != "EnvoyPatchPolicy"]
    assert found(documents) == PATCHED | {"body-as-text"}


def test_envoy_gateways_defaults_hold_unless_a_client_traffic_policy_says_otherwise():
    documents = [one for one in good("envoy-gateway.yaml") if one.get("kind") != "ClientTrafficPolicy"]
    assert found(documents) == {"underscores-refused", "escaped-slashes-pass"}
    documents = good("envoy-gateway.yaml")
    resource(documents, "ClientTrafficPolicy")["spec"]["path"]["escapedSlashesAction"] = "UnescapeAndRedirect"
    assert found(documents) == {"escaped-slashes-pass"}


def test_a_mesh_config_is_found_in_an_istio_operator_in_a_config_map_and_by_itself():
    documents = istio(failOpen=True)
    mesh = documents[0]["meshConfig"]
    for first in (
        mesh,
        {"kind": "IstioOperator", "spec": {"meshConfig": mesh}},
        {"kind": "ConfigMap", "data": {"mesh": yaml.safe_dump(mesh)}},
    ):
        assert found([first, *documents[1:]]) == {"fails-open"}


def test_resources_in_a_kubernetes_list_are_found():
    assert found([{"kind": "List", "items": gateway(failOpen=True)}]) == {"fails-open"}


def test_an_istio_provider_at_a_port_that_is_bound_to_no_network_is_found():
    both = ServiceFacts(bound_ports=frozenset({9191, 9192}))
    assert found(good("istio.yaml"), both) == set()
    assert found(good("istio.yaml"), ServiceFacts(bound_ports=frozenset({9191}))) == {"network-unmarked"}


def test_an_authorization_policy_without_rules_asks_about_nothing():
    documents = good("istio.yaml")
    del resource(documents, "AuthorizationPolicy")["spec"]["rules"]
    assert found(documents) == {"policy-leaves-gaps"}


def test_an_authorization_policy_that_is_not_custom_is_none_of_ours():
    documents = good("istio.yaml")
    other = copy.deepcopy(resource(documents, "AuthorizationPolicy"))
    other["spec"] = {"action": "ALLOW", "rules": [{"to": [{"operation": {"paths": ["/x"]}}]}]}
    assert found([*documents, other]) == set()
