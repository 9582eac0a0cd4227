"""Every finding, one by one: seeded into a good file it is found, and nothing else is."""

from pathlib import Path

import pytest
import yaml

from extauthz.config.schema import ConfigFile
from extauthz.envoy.cluster import envoy_clusters
from extauthz.envoy.doctor import RULES, Documents, ServiceFacts, Severity, examine, facts_from
from tests.unit.envoy.doctor.seeds import ROOT, SEEDS, TWO_WORKERS, cluster, ext_authz, good, host, manager

SHIPPED = sorted((ROOT / "envoy").glob("*.yaml"))


def found(documents: list, service: ServiceFacts = TWO_WORKERS) -> set[str]:
    return {finding.rule.id for finding in examine(documents, service)}


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_the_doctor_has_nothing_to_say_about_a_configuration_that_we_ship(file: Path):
    assert examine(Documents(file.read_text()).documents, ServiceFacts()) == []


def test_every_finding_can_be_reached_and_no_seed_is_left_without_one():
    assert [rule.id for rule in RULES if rule.id not in SEEDS] == []
    assert set(SEEDS) == {rule.id for rule in RULES}
    assert len({rule.id for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("finding", SEEDS)
def test_a_seeded_mistake_is_found_and_nothing_else(finding: str):
    name, change, also = SEEDS[finding]
    documents = good(name)
    change(documents)
    assert found(documents) == {finding} | also


@pytest.mark.parametrize("finding", SEEDS)
def test_a_finding_names_a_place_in_the_file_a_reason_and_a_cure(finding: str):
    name, change, _ = SEEDS[finding]
    documents = good(name)
    change(documents)
    text = yaml.safe_dump_all(documents)
    read = Documents(text)
    for one in examine(read.documents, TWO_WORKERS):
        node = read.documents[one.spot.path[0]]
        for key in one.spot.path[1:-1]:  # the last part may be what is missing
            node = node.get(key, {}) if isinstance(node, dict) else node[key]
        assert 1 <= read.line(one.spot.path) <= text.count("\n")
        assert len(one.rule.why) > 40
        assert one.rule.instead


@pytest.mark.parametrize("camel", [False, True], ids=["snake_case", "lowerCamelCase"])
def test_json_and_both_spellings_of_field_names_are_read(camel: bool):
    documents = good("static.yaml")
    ext_authz(documents)["failure_mode_allow"] = True
    if camel:
        ext_authz(documents)["failureModeAllow"] = ext_authz(documents).pop("failure_mode_allow")
        manager(documents)["httpFilters"] = manager(documents).pop("http_filters")
    assert found(documents) == {"fails-open"}


def test_a_filter_that_two_listeners_share_by_an_anchor_is_reported_for_both():
    text = (ROOT / "envoy" / "static.yaml").read_text().replace("failure_mode_allow: false", "failure_mode_allow: true")
    findings = examine(Documents(text).documents, TWO_WORKERS)
    listeners = [finding.spot.path[:4] for finding in findings]
    assert listeners == [(0, "static_resources", "listeners", 0), (0, "static_resources", "listeners", 1)]


@pytest.mark.parametrize("finding", ["body-missing", "body-limit-small", "body-as-text", "path-normalized"])
def test_without_apis_that_take_signed_requests_the_body_does_not_matter(finding: str):
    name, change, _ = SEEDS[finding]
    documents = good(name)
    change(documents)
    assert found(documents, ServiceFacts(has_digest=False, workers=2)) == set()


def test_a_network_that_the_services_own_port_tells_needs_no_marker():
    documents = good("static.yaml")
    del host(documents)["typed_per_filter_config"]
    assert found(documents) == {"network-unmarked"}
    assert found(documents, ServiceFacts(bound_ports=frozenset({9191, 9192}), workers=2)) == set()
    assert found(documents, ServiceFacts(bound_ports=frozenset({9191}), workers=2)) == {"network-unmarked"}


def test_a_network_that_envoys_port_tells_needs_no_marker():
    documents = good("static.yaml")
    del host(documents)["typed_per_filter_config"]
    assert found(documents, ServiceFacts(port_networks=frozenset({8080}), workers=2)) == set()
    assert found(documents, ServiceFacts(port_networks=frozenset({8081}), workers=2)) == {"network-unmarked"}


def test_one_route_that_overwrites_the_network_with_an_unknown_word_is_found():
    documents = good("static.yaml")
    route = {"match": {"path": "/x"}, "route": {"cluster": "backend"}}
    settings = {"check_settings": {"context_extensions": {"extauthz.network": "lan"}}}
    host(documents)["routes"].insert(
        0, {**route, "typed_per_filter_config": {"envoy.filters.http.ext_authz": settings}}
    )
    findings = examine(documents, TWO_WORKERS)
    assert [(finding.rule.id, finding.spot.detail) for finding in findings] == [("network-unknown", "lan")]
    assert "routes" in findings[0].spot.path


def test_a_virtual_host_that_switches_ext_authz_off_covers_all_its_routes_but_not_one_that_asks_again():
    documents = good("static.yaml")
    config = host(documents)["typed_per_filter_config"]["envoy.filters.http.ext_authz"]
    config.clear()
    config["disabled"] = True
    assert "route-unchecked" in found(documents)
    settings = {"check_settings": {"context_extensions": {"extauthz.network": "internet"}}}
    host(documents)["routes"][0]["typed_per_filter_config"] = {"envoy.filters.http.ext_authz": settings}
    assert found(documents) == set()


def test_a_catch_all_that_takes_only_some_requests_is_none():
    documents = good("static.yaml")
    host(documents)["routes"][-1]["match"]["headers"] = [{"name": "x", "present_match": True}]
    assert found(documents) == {"no-catch-all"}


def test_a_host_that_no_virtual_host_takes_is_found():
    documents = good("static.yaml")
    host(documents)["domains"] = ["api.example.com"]
    assert found(documents) == {"no-catch-all"}


def test_identity_headers_count_as_stripped_by_name_by_exact_match_or_by_prefix():
    name, change, _ = SEEDS["route-unchecked"]
    documents = good(name)
    change(documents)
    mutations = manager(documents)["early_header_mutation_extensions"][0]["typed_config"]["mutations"]
    mutations[:] = [
        {"remove_on_match": {"key_matcher": {"exact": "x-ca-app-id"}}},
        {"remove_on_match": {"key_matcher": {"prefix": "x-ca-net"}}},
    ]
    assert found(documents) == {"route-unchecked"}
    claims = ServiceFacts(identity_headers=frozenset({"x-ca-app-id", "x-token-sub"}), workers=2)
    assert found(documents, claims) == {"route-unchecked", "identity-headers-pass"}


def test_a_cluster_whose_endpoints_come_from_dns_is_not_counted():
    documents = good("static.yaml")
    cluster(documents)["type"] = "STRICT_DNS"
    assert found(documents, ServiceFacts(workers=8)) == set()


def test_plain_text_is_fine_on_loopback_in_a_unix_socket_and_under_tls():
    documents = good("static.yaml")
    endpoints = cluster(documents)["load_assignment"]["endpoints"][0]["lb_endpoints"]
    endpoints[0]["endpoint"]["address"] = {"pipe": {"path": "/run/extauthz/1.sock"}}
    endpoints[1]["endpoint"]["address"]["socket_address"]["address"] = "::1"
    assert found(documents) == set()
    endpoints[1]["endpoint"]["address"]["socket_address"]["address"] = "authz.internal"
    assert found(documents) == {"plain-text"}
    cluster(documents)["transport_socket"] = {"name": "envoy.transport_sockets.tls"}
    assert found(documents) == set()


def test_retries_without_a_longest_interval_have_ten_times_the_base():
    documents = good("static.yaml")
    ext_authz(documents)["grpc_service"]["retry_policy"]["retry_back_off"] = {"base_interval": "0.005s"}
    assert found(documents) == {"retry-max-interval-short"}  # 50 ms for each try
    ext_authz(documents)["grpc_service"]["retry_policy"]["retry_back_off"] = {"base_interval": "0.04s"}
    assert found(documents) == set()


def test_what_a_control_plane_sends_is_said_to_be_unseen():
    bootstrap = {"dynamic_resources": {"lds_config": {"path_config_source": {"path": "/x"}}}}
    assert found([bootstrap]) == {"not-in-this-file"}
    documents = good("static.yaml")
    del manager(documents)["route_config"]
    manager(documents)["rds"] = {"route_config_name": "routes"}
    assert found(documents) == {"not-in-this-file"}


def dump(documents: list) -> list:
    """What the admin page of an Envoy would show that got this bootstrap's parts from a control plane."""
    resources = documents[0]["static_resources"]
    routes = []
    for listener in resources["listeners"]:
        config = listener["filter_chains"][0]["filters"][0]["typed_config"]
        routes.append(config.pop("route_config"))
        config["rds"] = {"route_config_name": routes[-1]["name"], "config_source": {"ads": {}}}
    return [
        {
            "configs": [
                {"dynamic_listeners": [{"active_state": {"listener": one}} for one in resources["listeners"]]},
                {"dynamic_active_clusters": [{"cluster": one} for one in resources["clusters"]]},
                {"dynamic_route_configs": [{"route_config": one} for one in routes]},
            ]
        }
    ]


def test_the_dump_of_an_envoy_behind_a_control_plane_is_examined_routes_by_name():
    assert found(dump(good("static.yaml"))) == set()


@pytest.mark.parametrize("finding", [name for name, (file, _, _) in SEEDS.items() if file == "static.yaml"])
def test_a_seeded_mistake_is_found_in_a_dump_too(finding: str):
    documents = good("static.yaml")
    SEEDS[finding][1](documents)
    assert found(dump(documents)) == {finding} | SEEDS[finding][2]


def test_a_route_that_the_dump_does_not_hold_is_said_to_be_unseen():
    documents = dump(good("static.yaml"))
    documents[0]["configs"][2]["dynamic_route_configs"].pop()
    assert found(documents) == {"not-in-this-file"}


def test_errors_come_first_and_notes_last():
    documents = good("static.yaml")
    del ext_authz(documents)["encode_raw_headers"]
    del manager(documents)["http_protocol_options"]
    host(documents)["routes"][0]["typed_per_filter_config"] = {"envoy.filters.http.ext_authz": {"disabled": True}}
    assert [(finding.rule.id, finding.severity) for finding in examine(documents, TWO_WORKERS)] == [
        ("route-unchecked", Severity.ERROR),
        ("headers-joined", Severity.WARNING),
        ("header-letter-case", Severity.NOTE),
    ]


def endpoints(*addresses: str) -> list:
    """The shipped bootstrap with these endpoints: ``host:port``, or the path of a socket."""
    documents = good("static.yaml")
    cluster(documents)["load_assignment"]["endpoints"] = [
        {"lb_endpoints": [{"endpoint": {"address": _address(one)}} for one in addresses]}
    ]
    return documents


def _address(text: str) -> dict:
    if text.startswith("/"):
        return {"pipe": {"path": text}}
    host, _, port = text.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


def lacking(documents: list, workers: int, *listen: str) -> list[str]:
    """What is said about workers that Envoy does not know, of a service that listens so."""
    file = ConfigFile.model_validate({"listen": [{"address": one} for one in listen]}) if listen else None
    facts = ServiceFacts(workers=workers) if file is None else facts_from(file, workers)
    findings = examine(documents, facts)
    return [one.spot.detail for one in findings if one.rule.id == "fewer-endpoints-than-workers"]


@pytest.mark.parametrize(
    ("asked", "workers", "listen", "said"),
    [
        (["127.0.0.1:9191", "127.0.0.1:9192"], 2, ["127.0.0.1:9191"], []),
        (["127.0.0.1:9191"], 2, ["127.0.0.1:9191"], ["2 workers, but not 127.0.0.1:9192"]),
        # As many endpoints as workers, and one of them asked by nobody.
        (["127.0.0.1:9191", "127.0.0.1:9191"], 2, ["127.0.0.1:9191"], ["2 workers, but not 127.0.0.1:9192"]),
        (["127.0.0.1:9191", "127.0.0.1:9191"], 2, [], ["1 for 2 workers"]),
        # Each of two machines runs two.
        (["10.0.0.1:9191", "10.0.0.2:9191"], 2, ["10.0.0.1:9191"],
         ["2 workers, but not 10.0.0.1:9192, 10.0.0.2:9192"]),
        (["/run/x.0.sock", "/run/x.1.sock"], 2, ["unix:/run/x.sock"], []),
        (["/run/x.0.sock"], 2, ["unix:/run/x.sock"], ["2 workers, but not /run/x.1.sock"]),
        # Two listeners, of which this cluster asks one.
        (["127.0.0.1:9291", "127.0.0.1:9292"], 2, ["127.0.0.1:9191", "127.0.0.1:9291"], []),
        # A port that the service does not know: something in between maps it, so all that counts is how many.
        (["10.0.0.1:443", "10.0.0.1:444"], 2, ["127.0.0.1:9191"], []),
        (["10.0.0.1:443"], 2, ["127.0.0.1:9191"], ["1 for 2 workers"]),
    ],
)  # fmt: skip
def test_workers_that_envoy_does_not_know_are_named_by_the_addresses_of_the_services_own_configuration(
    asked: list[str], workers: int, listen: list[str], said: list[str]
):
    assert lacking(endpoints(*asked), workers, *listen) == said


def test_the_cluster_that_the_service_prints_lacks_none_of_its_workers():
    file = ConfigFile.model_validate({"listen": [{"address": "127.0.0.1:9300"}, {"address": "unix:/run/x.sock"}]})
    documents = good("static.yaml")
    cluster(documents).update(envoy_clusters(file, 3)[0])
    assert found(documents, facts_from(file, 3)) == set()


def test_workers_of_a_listener_that_is_bound_to_a_network_need_no_marker():
    documents = endpoints("127.0.0.1:9191", "127.0.0.1:9192")
    del host(documents)["typed_per_filter_config"]
    bound = ConfigFile.model_validate({"listen": [{"address": "127.0.0.1:9191", "network": "internet"}]})
    assert "network-unmarked" not in found(documents, facts_from(bound, 2))


def test_a_socket_that_is_bound_to_a_network_says_nothing_about_another_socket():
    documents = endpoints("/run/other.sock")
    del host(documents)["typed_per_filter_config"]
    listen = [{"address": "unix:/run/x.sock", "network": "internet"}, {"address": "unix:/run/other.sock"}]
    assert "network-unmarked" in found(documents, facts_from(ConfigFile.model_validate({"listen": listen}), 1))
