"""Whose address is it? What clients write into headers changes nothing, on either listener."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.envoy.policy_stack import Caller, bootstrap, policy_stack

OFFICE = "203.0.113.9"
FORGERIES = [
    ("X-Forwarded-For", OFFICE),
    ("X-Forwarded-For", f"{OFFICE}, {OFFICE}"),
    ("X-Envoy-External-Address", OFFICE),
    ("X-Envoy-Internal", "true"),
    ("X-Envoy-Original-Dst-Host", f"{OFFICE}:80"),
    ("X-Real-Ip", OFFICE),
    ("Forwarded", f"for={OFFICE}"),
    ("True-Client-Ip", OFFICE),
    ("Cf-Connecting-Ip", OFFICE),
    ("X-Client-Ip", OFFICE),
    ("X-Cluster-Client-Ip", OFFICE),
]


def config(source: str) -> dict[str, Any]:
    def api(name: str, plugin: str | None) -> dict[str, Any]:
        return {"id": name, "group": "all", "methods": ["GET"], "path": f"/{name}",
                "auth": {"internet": "none", "vpc": "none"}, "plugins": [plugin] if plugin else []}  # fmt: skip

    return {
        "client_address": {"source": source},
        "identity_headers": {"X-Ca-Client-Ip": "client_ip"},
        "groups": [{"id": "all", "domains": ["*"]}],
        "plugins": [
            {"id": "from-office", "type": "ip_control", "allow": ["203.0.113.0/24"]},
            {"id": "not-from-here", "type": "ip_control", "refuse": ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12",
                                                                     "192.168.0.0/16", "169.254.0.0/16"]},
        ],
        "apis": [api("open", None), api("office", "from-office"), api("away", "not-from-here")],
    }  # fmt: skip


@pytest.fixture(scope="module", params=["peer", "x-envoy-external-address"])
def edge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """Edge listeners to which this machine is an outsider, under both settings of the service."""
    outsiders = {"unix_sockets": False, "cidr_ranges": [{"address_prefix": "192.0.2.0", "prefix_len": 24}]}
    envoy = bootstrap(internal_address_config=outsiders)
    with policy_stack(tmp_path_factory.mktemp("edge"), config(request.param), envoy) as caller:
        yield caller


@pytest.fixture(scope="module")
def with_internal_peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """The demo's Envoy, which counts private addresses and loopback as internal, as most real ones do."""
    with policy_stack(tmp_path_factory.mktemp("in"), config("x-envoy-external-address"), bootstrap()) as caller:
        yield caller


@pytest.fixture(scope="module")
def behind_balancer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """An Envoy behind one trusted proxy: here the test plays the proxy, which appends to X-Forwarded-For."""
    envoy = bootstrap(xff_num_trusted_hops=1)
    with policy_stack(tmp_path_factory.mktemp("hops"), config("x-envoy-external-address"), envoy) as caller:
        yield caller


@pytest.mark.parametrize("network", ["internet", "vpc"])
@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: "=".join(forgery))
def test_no_header_moves_a_caller_into_the_office(edge: Caller, network: str, forgery: tuple[str, str]):
    assert edge.code("/office", network, [forgery]) == (403, "A403IP")
    assert edge.code("/away", network, [forgery]) == (403, "A403IP")
    assert edge.call("/open", network, [forgery]).json()["headers"]["x-ca-client-ip"] != OFFICE


@pytest.mark.parametrize("network", ["internet", "vpc"])
def test_all_forgeries_together_do_not_either(edge: Caller, network: str):
    assert edge.code("/office", network, FORGERIES) == (403, "A403IP")


@pytest.mark.parametrize("network", ["internet", "vpc"])
@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: "=".join(forgery))
def test_peers_that_envoy_calls_internal_cannot_forge_an_address(
    with_internal_peers: Caller, network: str, forgery: tuple[str, str]
):
    assert with_internal_peers.code("/office", network, [forgery]) == (403, "A403IP")
    assert with_internal_peers.code("/away", network, [forgery]) == (403, "A403IP")
    assert with_internal_peers.call("/open", network, [forgery]).json()["headers"]["x-ca-client-ip"] == "127.0.0.1"


def test_behind_a_trusted_proxy_the_address_is_the_one_that_the_proxy_saw(behind_balancer: Caller):
    seen_by_proxy = [("X-Forwarded-For", OFFICE)]
    assert behind_balancer.code("/office", headers=seen_by_proxy) == (200, "")
    written_by_client = [("X-Forwarded-For", f"{OFFICE}, 198.51.100.1")]
    assert behind_balancer.code("/office", headers=written_by_client) == (403, "A403IP")
    assert behind_balancer.code("/office", headers=[*seen_by_proxy, ("X-Envoy-External-Address", "8.8.8.8")]) == (
        200,
        "",
    )
