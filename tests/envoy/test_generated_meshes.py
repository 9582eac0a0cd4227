"""What Istio and Envoy Gateway generate from our files, before a real Envoy: calls beside the doctor's word."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.keys import make_keys
from demo.stack import Stack, free_ports
from extauthz.envoy.doctor import Severity, examine
from extauthz.envoy.doctor.service import ServiceFacts
from tests.gateway import Gateway, signed_headers, wait_for
from tests.unit.envoy.doctor.seeds import ROOT

GENERATED = ROOT / "tests" / "unit" / "envoy" / "doctor" / "generated"
HOST = "api.example.com"
Json = dict[str, Any]


def load(name: str) -> Json:
    loaded = json.loads((GENERATED / name).read_text())
    assert isinstance(loaded, dict)
    return loaded


def foreign_left_out(filters: list[Json]) -> list[Json]:
    """The filters that any Envoy has. Those of Istio's own build tell proxies of each other."""
    return [one for one in filters if not one["name"].startswith("istio.")]


def from_dump(dump: Json) -> Json:
    """A bootstrap with everything that a dump shows: what came from the control plane stands in the file."""
    sections = {section["@type"].rpartition(".")[2]: section for section in dump["configs"]}
    routes = {
        one["route_config"]["name"]: one["route_config"]
        for one in sections["RoutesConfigDump"]["dynamic_route_configs"]
    }
    assignments = {
        one["endpoint_config"]["cluster_name"]: one["endpoint_config"]
        for one in sections["EndpointsConfigDump"]["dynamic_endpoint_configs"]
    }
    clusters = [one["cluster"] for one in sections["ClustersConfigDump"]["dynamic_active_clusters"]]
    for cluster in clusters:
        cluster["filters"] = foreign_left_out(cluster.get("filters", []))
        if cluster["type"] == "EDS":
            cluster["type"] = "STATIC"
            del cluster["eds_cluster_config"]
            assignment = assignments[cluster["name"]]
            for locality in assignment["endpoints"]:
                for endpoint in locality["lb_endpoints"]:
                    endpoint.pop("health_status", None)
            cluster["load_assignment"] = assignment
    listeners = [one["active_state"]["listener"] for one in sections["ListenersConfigDump"]["dynamic_listeners"]]
    for listener in listeners:
        for chain in listener["filter_chains"]:
            for one in chain["filters"]:
                config = one["typed_config"]
                config["route_config"] = routes[config.pop("rds")["route_config_name"]]
                config["http_filters"] = foreign_left_out(config["http_filters"])
    for parts in (clusters, listeners, list(routes.values()), list(assignments.values())):
        for part in parts:
            part.pop("@type", None)
    return {"node": {"id": "x", "cluster": "x"}, "static_resources": {"listeners": listeners, "clusters": clusters}}


MESHES: dict[str, tuple[str, Callable[[Json], Json], bool]] = {
    "Istio": ("istio-config-dump-internet.json", from_dump, True),
    "Istio, as `make mesh-fixtures` has it generated": ("istio-internet.json", from_dump, True),
    "Envoy Gateway, as `make mesh-fixtures` has it generated": ("envoy-gateway-anew-internet.json", dict, True),
    "Envoy Gateway": ("envoy-gateway-internet.json", dict, True),
    "Envoy Gateway, replaced": ("envoy-gateway-route-policy-replaces-internet.json", dict, False),
}
"""For each: the file, how it becomes a bootstrap, and whether we are asked about every request."""


@pytest.fixture(scope="module", params=MESHES)
def mesh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Gateway]]:
    file, as_bootstrap, _ = MESHES[request.param]
    folder: Path = tmp_path_factory.mktemp("mesh")
    (folder / ".demo").mkdir()
    bootstrap = as_bootstrap(load(file))
    bootstrap["admin"] = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 9902}}}
    for listener in bootstrap.get("static_resources", bootstrap.get("staticResources"))["listeners"]:
        address = listener["address"].get("socket_address", listener["address"].get("socketAddress"))
        address["address"] = "127.0.0.1"
    stack = Stack(folder, free_ports(), bootstrap, concurrency=1)
    gateway = Gateway(stack, make_keys(folder))
    stack.start()
    # Where Envoy checks the health of the service, it does not ask before it has done so.
    wait_for(lambda: gateway.call("GET", "/v1/orders", host=HOST).status != 503, "a service that Envoy found healthy")
    yield request.param, gateway
    stack.stop()


def forged(headers: list[Any]) -> list[Any]:
    return [(name, "AAAA" if name == "X-Ca-Signature" else value) for name, value in headers]


def test_calls_through_what_a_mesh_generated_end_as_the_doctor_says(mesh: tuple[str, Gateway]):
    name, gateway = mesh
    findings = examine([load(MESHES[name][0])], ServiceFacts())
    sound = not [one for one in findings if one.severity is Severity.ERROR]
    assert sound is MESHES[name][2]
    signed = signed_headers("GET", "/v1/orders")
    assert gateway.call("GET", "/v1/orders", signed, host=HOST).status == 200
    unasked = {
        "unsigned": gateway.call("GET", "/v1/orders", host=HOST).status == 200,
        "forged": gateway.call("GET", "/v1/orders", forged(signed_headers("GET", "/v1/orders")), host=HOST).status
        == 200,
        "replayed": gateway.call("GET", "/v1/orders", signed, host=HOST).status == 200,
        "upgraded": gateway.call(
            "GET", "/v1/orders", [("Connection", "Upgrade"), ("Upgrade", "websocket")], host=HOST
        ).status
        == 200,
    }
    assert set(unasked.values()) == {not sound}, unasked


def test_a_signed_body_passes_what_a_mesh_generated_and_an_unsigned_one_only_where_nobody_is_asked(
    mesh: tuple[str, Gateway],
):
    name, gateway = mesh
    body = b"\xff\x00" * 200_000
    signed = signed_headers("POST", "/v1/orders", body=body, content_type="application/octet-stream")
    assert gateway.call("POST", "/v1/orders", signed, body, host=HOST).status == 200
    unsigned = gateway.call("POST", "/v1/orders", [("Content-Type", "application/octet-stream")], body, host=HOST)
    assert (unsigned.status in (400, 401, 403)) is MESHES[name][2]
