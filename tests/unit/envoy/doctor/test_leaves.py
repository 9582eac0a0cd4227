"""Wherever a request can end up, the doctor says whether we are asked; what it cannot see or read, it says, too."""

import copy
from typing import Any

import pytest

from extauthz.envoy.doctor import Documents, Severity, UnreadableError, examine
from tests.unit.envoy.doctor.seeds import ROOT, TWO_WORKERS, ext_authz, good, host, manager

NAME = "envoy.filters.http.ext_authz"
GOOGLE = "type.googleapis.com"
OFF = {"@type": f"{GOOGLE}/envoy.config.route.v3.FilterConfig", "disabled": True}


def found(documents: list[Any]) -> list[tuple[str, str]]:
    """Every finding, and how much it hurts."""
    return [(finding.rule.id, finding.severity.value) for finding in examine(documents, TWO_WORKERS)]


def ids(documents: list[Any]) -> set[str]:
    return {name for name, _ in found(documents)}


def listener(documents: list[Any], index: int = 0) -> dict[str, Any]:
    return documents[0]["static_resources"]["listeners"][index]


def off(match: dict[str, Any], **action: Any) -> dict[str, Any]:
    action = action or {"route": {"cluster": "backend"}}
    return {"match": match, **action, "typed_per_filter_config": {NAME: OFF}}


@pytest.mark.parametrize(
    ("route", "severity"),
    [
        (off({"prefix": "/open/"}), "error"),
        (off({"safe_regex": {"regex": ".*"}}), "error"),
        (off({"path": "/status"}), "warning"),
        (off({"prefix": "/open/"}, direct_response={"status": 200, "body": {"inline_string": "hello"}}), "warning"),
        (off({"prefix": "/open/"}, route={"cluster_header": "x-to"}), "error"),
        (off({"prefix": "/open/"}, filter_action={}), "error"),
        (off({"prefix": "/open/"}, direct_response={"status": 404}), None),
        (off({"prefix": "/open/"}, redirect={"https_redirect": True}), None),
    ],
)
def test_what_is_reached_unasked_decides_how_much_it_hurts(route: dict[str, Any], severity: str | None):
    documents = good("static.yaml")
    host(documents)["routes"].insert(0, route)
    assert found(documents) == ([("route-unchecked", severity)] if severity else [])


def test_a_way_past_us_is_named_by_what_takes_it():
    documents = good("static.yaml")
    host(documents)["routes"].insert(0, off({"prefix": "/open/"}))
    (finding,) = examine(documents, TWO_WORKERS)
    assert finding.spot.detail == "prefix /open/ to backend"
    host(documents)["routes"] = [
        {"match": {"prefix": f"/{x}"}, "route": {"cluster": "backend"}} for x in ("a", "b", "")
    ]
    host(documents)["typed_per_filter_config"][NAME] = OFF
    (finding,) = examine(documents, TWO_WORKERS)
    assert finding.spot.detail == "prefix /a to backend and 2 more"


def test_an_exact_path_that_nobody_switched_off_on_purpose_is_an_error():
    documents = good("static.yaml")
    host(documents)["routes"].insert(0, {"match": {"path": "/status"}, "route": {"cluster": "backend"}})
    host(documents)["typed_per_filter_config"][NAME] = OFF
    assert ("route-unchecked", "error") in found(documents)


@pytest.mark.parametrize(
    "route",
    [
        {"match": {"prefix": "/x"}},
        {"match": {"prefix": "/x"}, "teleport": {"cluster": "backend"}},
        {"match": {"prefix": "/x"}, "route": {}},
        {"match": {"prefix": "/x"}, "route": {"cluster_by_wish": "x"}},
        {"match": {"prefix": "/x"}, "route": {"cluster": "backend"},
         "typed_per_filter_config": {NAME: {"@type": f"{GOOGLE}/acme.v1.Odd", "x": 1}}},
        {"match": {"prefix": "/x"}, "route": {"cluster": "backend"},
         "typed_per_filter_config": {NAME: {"@type": f"{GOOGLE}/envoy.config.route.v3.FilterConfig",
                                            "config": {"@type": f"{GOOGLE}/acme.v1.Odd"}}}},
    ],
)  # fmt: skip
def test_a_route_that_the_doctor_does_not_understand_is_a_finding_and_never_silence(route: dict[str, Any]):
    documents = good("static.yaml")
    host(documents)["routes"].insert(0, route)
    assert found(documents) == [("not-understood", "error")]


@pytest.mark.parametrize(
    "matcher",
    [
        {},
        {"odd": 1},
        {"matcher_tree": {"input": {}}},
        {"matcher_list": {"matchers": [{"predicate": {}, "on_match": {"odd": 1}}]}},
        {"on_no_match": {"action": {"name": "x", "typed_config": {"@type": f"{GOOGLE}/acme.v1.Odd"}}}},
        {"on_no_match": {"matcher": {"odd": 1}}},
    ],
)
def test_a_matcher_that_the_doctor_does_not_understand_is_a_finding(matcher: dict[str, Any]):
    documents = good("static.yaml")
    del host(documents)["routes"]
    host(documents)["matcher"] = matcher
    expected = [] if matcher == {} else [("not-understood", "error")]
    assert [one for one in found(documents) if one[0] != "no-catch-all"] == expected


def action(**more: Any) -> dict[str, Any]:
    config = {"@type": f"{GOOGLE}/envoy.config.route.v3.Route", "match": {"prefix": "/"},
              "route": {"cluster": "backend"}, **more}  # fmt: skip
    return {"action": {"name": "r", "typed_config": config}}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda leaf: {"matcher_list": {"matchers": [{"predicate": {}, "on_match": leaf}]}, "on_no_match": action()},
        lambda leaf: {"matcher_tree": {"input": {}, "exact_match_map": {"map": {"x": leaf}}}, "on_no_match": action()},
        lambda leaf: {"matcher_tree": {"input": {}, "prefix_match_map": {"map": {"/x": leaf}}},
                      "on_no_match": action()},
        lambda leaf: {"on_no_match": {"matcher": {"on_no_match": leaf}}},
        lambda leaf: {"matcher_tree": {"input": {}, "custom_match": {"name": "ip", "typed_config": {
            "@type": f"{GOOGLE}/xds.type.matcher.v3.IPMatcher", "range_matchers": [{"ranges": [], "on_match": leaf}]}}},
            "on_no_match": action()},
        lambda leaf: {"matcher_tree": {"input": {}, "custom_match": {"name": "name", "typed_config": {
            "@type": f"{GOOGLE}/xds.type.matcher.v3.ServerNameMatcher", "domain_matchers": [{"domains": ["*"],
                                                                                         "on_match": leaf}]}}},
            "on_no_match": action()},
    ],
)  # fmt: skip
def test_an_open_leaf_is_found_however_deep_in_a_matcher_tree(wrap: Any):
    documents = good("static.yaml")
    del host(documents)["routes"]
    host(documents)["matcher"] = wrap(action())
    assert found(documents) == []
    host(documents)["matcher"] = wrap(action(typed_per_filter_config={NAME: OFF}))
    assert found(documents) == [("route-unchecked", "error")]


def test_a_filter_of_any_name_is_switched_by_that_name_and_by_no_other():
    documents = good("static.yaml")
    manager(documents)["http_filters"][1]["name"] = "myExtAuthz"
    for config in (host(documents), documents[0]):
        config.get("typed_per_filter_config", {}).pop(NAME, None)
    marks = {"myExtAuthz": {"check_settings": {"context_extensions": {"extauthz.network": "internet"}}}}
    host(documents)["typed_per_filter_config"] = marks
    assert found(documents) == []
    host(documents)["routes"][0]["typed_per_filter_config"] = {NAME: OFF}
    assert found(documents) == []
    host(documents)["routes"][0]["typed_per_filter_config"] = {"myExtAuthz": OFF}
    assert found(documents) == [("route-unchecked", "error")]


def test_a_route_that_asks_another_service_over_http_does_not_ask_us():
    documents = good("static.yaml")
    settings = {"check_settings": {"http_service": {"server_uri": {"uri": "http://other"}}}}
    host(documents)["routes"][0]["typed_per_filter_config"] = {NAME: settings}
    assert ("route-unchecked", "error") in found(documents)


def test_an_ext_authz_filter_over_http_is_none_of_ours():
    documents = good("static.yaml")
    ext_authz(documents)["http_service"] = {"server_uri": {"uri": "http://other"}}
    del ext_authz(documents)["grpc_service"]
    assert "no-ext-authz" in ids(documents)


def test_a_second_filter_that_asks_us_keeps_a_route_closed_that_the_first_leaves_open():
    documents = good("static.yaml")
    second = copy.deepcopy(manager(documents)["http_filters"][1]) | {"name": "second"}
    manager(documents)["http_filters"].insert(1, second)
    marks = host(documents)["typed_per_filter_config"]
    marks["second"] = copy.deepcopy(marks[NAME])
    host(documents)["routes"][0]["typed_per_filter_config"] = {NAME: OFF}
    assert found(documents) == []
    host(documents)["routes"][0]["typed_per_filter_config"]["second"] = OFF
    assert ("route-unchecked", "error") in found(documents)


def test_a_filter_whose_configuration_comes_from_elsewhere_is_said_to_be_unseen():
    documents = good("static.yaml")
    filters = manager(documents)["http_filters"]
    url = f"{GOOGLE}/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"
    filters[1] = {"name": NAME, "config_discovery": {"config_source": {"ads": {}}, "type_urls": [url]}}
    assert found(documents) == [("not-in-this-file", "warning")]
    filters[1]["config_discovery"]["type_urls"] = [f"{GOOGLE}/envoy.extensions.filters.http.lua.v3.Lua"]
    assert "no-ext-authz" in ids(documents)


def test_a_dump_shows_what_filters_were_given_from_elsewhere():
    documents = good("static.yaml")
    given = ext_authz(documents)
    manager(documents)["http_filters"][1] = {"name": NAME, "config_discovery": {"config_source": {"ads": {}}}}
    resources = documents[0]["static_resources"]
    dump = {"configs": [
        {"dynamic_listeners": [{"active_state": {"listener": one}} for one in resources["listeners"]]},
        {"dynamic_active_clusters": [{"cluster": one} for one in resources["clusters"]]},
        {"ecds_filters": [{"ecds_filter": {"name": NAME, "typed_config": given}}]},
    ]}  # fmt: skip
    assert found([dump]) == []
    given["failure_mode_allow"] = True
    assert found([dump]) == [("fails-open", "error")]


def test_an_ext_authz_filter_in_a_wrapper_that_nobody_knows_is_not_understood():
    documents = good("static.yaml")
    filters = manager(documents)["http_filters"]
    filters[1] = {"name": "w", "typed_config": {"@type": f"{GOOGLE}/acme.v1.Wrapper", "inner": filters[1]}}
    assert found(documents) == [("not-understood", "error")]


def test_a_composite_that_becomes_what_nobody_can_see_is_said_to_be_unseen():
    documents = good("static.yaml")
    execute = {"@type": f"{GOOGLE}/envoy.extensions.filters.http.composite.v3.ExecuteFilterAction",
               "dynamic_config": {"name": "x", "config_discovery": {}}}  # fmt: skip
    composite = {"@type": f"{GOOGLE}/envoy.extensions.filters.http.composite.v3.Composite"}
    wrapper = {"@type": f"{GOOGLE}/envoy.extensions.common.matching.v3.ExtensionWithMatcher",
               "extension_config": {"name": "c", "typed_config": composite},
               "xds_matcher": {"on_no_match": {"action": {"name": "x", "typed_config": execute}}}}  # fmt: skip
    manager(documents)["http_filters"][1] = {"name": NAME, "typed_config": wrapper}
    assert found(documents) == [("not-in-this-file", "warning")]


def test_upgrades_with_a_chain_of_their_own_must_ask_in_it():
    documents = good("static.yaml")
    ours, router = manager(documents)["http_filters"][1:]
    manager(documents)["upgrade_configs"] = [{"upgrade_type": "websocket", "enabled": False, "filters": [router]}]
    assert found(documents) == [("no-ext-authz", "error")]
    manager(documents)["upgrade_configs"][0]["filters"] = [ours, router]
    assert found(documents) == []
    manager(documents)["upgrade_configs"][0]["filters"] = [ours | {"disabled": True}, router]
    host(documents)["typed_per_filter_config"] = {}
    assert ("route-unchecked", "error") in found(documents)


def scoped(documents: list[Any], **scopes: Any) -> None:
    routes = manager(documents).pop("route_config")
    manager(documents)["scoped_routes"] = {
        "name": "scopes",
        "scope_key_builder": {"fragments": [{"header_value_extractor": {"name": "x-tenant"}}]},
        "scoped_route_configurations_list": {
            "scoped_route_configurations": [{"name": "a", **(scopes or {"route_configuration": routes})}]
        },
    }


def test_routes_of_every_scope_are_examined_and_unseen_ones_are_named():
    documents = good("static.yaml")
    scoped(documents)
    assert found(documents) == []
    documents = good("static.yaml")
    host(documents)["routes"].insert(0, off({"prefix": "/open/"}))
    scoped(documents)
    assert found(documents) == [("route-unchecked", "error")]
    documents = good("static.yaml")
    scoped(documents, route_configuration_name="elsewhere")
    assert found(documents) == [("not-in-this-file", "warning")]


@pytest.mark.parametrize(
    ("place", "value"), [("vhds", {"config_source": {"ads": {}}}), ("rds", {"route_config_name": "x"})]
)
def test_hosts_and_routes_that_come_from_elsewhere_are_said_to_be_unseen(place: str, value: dict[str, Any]):
    documents = good("static.yaml")
    if place == "rds":
        manager(documents)["rds"] = value
        del manager(documents)["route_config"]
    else:
        manager(documents)["route_config"][place] = value
    assert found(documents) == [("not-in-this-file", "warning")]


def test_every_filter_chain_counts_the_default_one_too():
    documents = good("static.yaml")
    chain = copy.deepcopy(listener(documents)["filter_chains"][0])
    listener(documents)["default_filter_chain"] = chain
    assert found(documents) == []
    del chain["filters"][0]["typed_config"]["http_filters"][1]
    assert found(documents) == [("no-ext-authz", "error")]


def internal(documents: list[Any], name: str = "inner") -> None:
    """The first listener leads to the second, which asks, by an internal address."""
    del manager(documents)["http_filters"][1]
    address = {"envoy_internal_address": {"server_listener_name": name}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    documents[0]["static_resources"]["clusters"].append(
        {"name": "inside", "load_assignment": {"cluster_name": "inside", "endpoints": endpoints}}
    )
    host(documents)["routes"][0]["route"]["cluster"] = "inside"
    listener(documents, 1)["name"] = "inner"


def test_a_listener_that_leads_to_one_that_asks_inside_envoy_needs_no_filter_of_its_own():
    documents = good("static.yaml")
    internal(documents)
    assert found(documents) == []
    documents = good("static.yaml")
    internal(documents, "nowhere")
    assert found(documents) == [("no-ext-authz", "error")]


def test_a_tcp_proxy_to_the_same_backend_on_another_port_is_a_way_past_us():
    documents = good("static.yaml")
    proxy = {"name": "tcp", "typed_config": {"@type": f"{GOOGLE}/x.TcpProxy", "cluster": "backend"}}
    other = {
        "name": "raw",
        "address": {"socket_address": {"port_value": 9999}},
        "filter_chains": [{"filters": [proxy]}],
    }
    documents[0]["static_resources"]["listeners"].append(other)
    assert found(documents) == [("passed-as-tcp", "error")]
    proxy["typed_config"]["cluster"] = "database"
    assert found(documents) == []


def test_a_host_without_a_catch_all_hurts_where_a_later_filter_may_find_a_route_after_all():
    documents = good("static.yaml")
    host(documents)["routes"][-1]["match"] = {"prefix": "/v1/"}
    assert found(documents) == [("no-catch-all", "note")]
    lua = {"name": "lua", "typed_config": {"@type": f"{GOOGLE}/envoy.extensions.filters.http.lua.v3.Lua"}}
    manager(documents)["http_filters"].insert(2, lua)
    assert ("no-catch-all", "error") in found(documents)


def upgrades(documents: list[Any], everywhere: bool | None, *on_routes: bool | None) -> None:
    entry = {"upgrade_type": "websocket"}
    manager(documents)["upgrade_configs"] = [entry if everywhere is None else entry | {"enabled": everywhere}]
    routes = [({"prefix": f"/{index}/"}, state) for index, state in enumerate(on_routes)]
    host(documents)["routes"] = []
    for match, state in [*routes, ({"prefix": "/"}, False)]:
        own = {} if state is None else {"upgrade_configs": [entry | {"enabled": state}]}
        host(documents)["routes"].append({"match": match, "route": {"cluster": "backend"} | own})


@pytest.mark.parametrize(
    ("everywhere", "routes", "warned"),
    [
        (None, [None], True),
        (True, [None, False], True),
        (True, [False, False], False),
        (True, [True], True),
        (False, [None], False),
        (False, [True], False),  # on one narrow route, by somebody who meant it
    ],
)
def test_upgrades_are_a_warning_unless_every_route_turns_them_off(
    everywhere: bool | None, routes: list[bool | None], warned: bool
):
    documents = good("static.yaml")
    upgrades(documents, everywhere, *routes)
    assert found(documents) == ([("upgrades-on", "warning")] if warned else [])


def staged(documents: list[Any], header: dict[str, Any], *pinned: str | None) -> None:
    matches = [{"prefix": "/", "headers": [{"name": "X-Ca-Stage", **header}]}, {"prefix": "/"}]
    host(documents)["routes"] = []
    for match, stage in zip(matches, pinned, strict=True):
        route: dict[str, Any] = {"match": match, "route": {"cluster": "backend"}}
        if stage:
            settings = {"check_settings": {"context_extensions": {"extauthz.stage": stage}}}
            route["typed_per_filter_config"] = {NAME: settings}
        host(documents)["routes"].append(route)


@pytest.mark.parametrize(
    ("header", "pinned", "spots"),
    [
        ({"string_match": {"exact": "TEST"}}, (None, None), 2),
        ({"exact_match": "TEST"}, (None, None), 2),
        ({"string_match": {"safe_regex": {"regex": "TEST|PRE"}}}, (None, None), 2),
        ({"safe_regex_match": {"regex": "TEST"}}, ("TEST", None), 1),
        ({"string_match": {"exact": "TEST"}}, ("TEST", None), 1),  # `test` is decided in TEST and goes to the other
        ({"string_match": {"exact": "TEST"}}, ("TEST", "RELEASE"), 0),
        ({"string_match": {"exact": "TEST", "ignore_case": True}}, (None, None), 0),
    ],
)
def test_routing_by_stage_must_pin_the_stage_that_is_decided(header: Any, pinned: tuple[str | None, ...], spots: int):
    documents = good("static.yaml")
    staged(documents, header, *pinned)
    assert found(documents) == [("stage-by-header", "error")] * spots


@pytest.mark.parametrize(
    ("buffer", "partial", "raised", "said"),
    [
        (65536, True, None, True),
        (65536, False, None, False),  # then ext_authz raises the limit itself
        (65536, True, 1048576, False),
        (65536, True, 65536, True),
        (None, True, None, False),
        (1048576, True, None, False),
        (1048575, True, None, True),
    ],
)
def test_the_connection_buffer_holds_what_the_body_limit_allows(
    buffer: int | None, partial: bool, raised: int | None, said: bool
):
    documents = good("static.yaml")
    listener(documents)["per_connection_buffer_limit_bytes"] = buffer
    ext_authz(documents)["with_request_body"]["allow_partial_message"] = partial
    if raised:
        host(documents)["request_body_buffer_limit"] = raised
    assert found(documents) == ([("buffer-below-body", "warning")] if said else [])


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ({"asking": 0}, True),
        ({"asking": {"numerator": 5000, "denominator": "TEN_THOUSAND"}}, True),
        ({"asking": 100}, False),
        ({"other": 0}, False),
    ],
)
def test_what_a_runtime_layer_says_counts_and_not_the_default_beside_its_key(layer: dict[str, Any], said: bool):
    documents = good("static.yaml")
    ext_authz(documents)["filter_enabled"] = {"runtime_key": "asking", "default_value": {"numerator": 100}}
    documents[0]["layered_runtime"] = {"layers": [{"name": "file", "static_layer": layer}]}
    assert found(documents) == ([("sampled", "error")] if said else [])


def test_files_from_which_envoy_takes_listeners_and_clusters_are_read():
    resources = good("static.yaml")[0]["static_resources"]
    kinds = [("listeners", "listener.v3.Listener"), ("clusters", "cluster.v3.Cluster")]
    document = {
        "resources": [
            {"@type": f"{GOOGLE}/envoy.config.{kind}", **one} for key, kind in kinds for one in resources[key]
        ]
    }
    assert found([document]) == []
    chain = document["resources"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    chain["route_config"]["virtual_hosts"][0]["routes"].insert(0, off({"prefix": "/open/"}))
    assert found([document]) == [("route-unchecked", "error")]


def test_a_buffer_filter_before_us_may_not_be_smaller_than_the_body_limit():
    documents = good("static.yaml")
    config = {"@type": f"{GOOGLE}/envoy.extensions.filters.http.buffer.v3.Buffer", "max_request_bytes": 4096}
    manager(documents)["http_filters"].insert(0, {"name": "buffer", "typed_config": config})
    assert found(documents) == [("buffer-below-body", "warning")]


def test_a_finding_in_lower_camel_case_has_the_line_where_it_stands():
    text = (ROOT / "tests/unit/envoy/doctor/generated/envoy-gateway-internet.json").read_text()
    documents = Documents(text)
    (spot,) = [one.spot for one in examine(documents.documents, TWO_WORKERS) if one.rule.id == "path-normalized"]
    assert '"normalizePath": true' in text.splitlines()[documents.line(spot.path) - 1]


@pytest.mark.parametrize("broken", [3, "x", None, [], {}, [3], ["x"], {"a": 1}, True, {"config": 3}, {"map": [3]}])
@pytest.mark.parametrize(
    "key", ["routes", "matcher", "typed_per_filter_config", "domains", "request_body_buffer_limit"]
)
def test_a_host_of_the_wrong_shape_stops_no_examination(key: str, broken: object):
    documents = good("static.yaml")
    host(documents)[key] = broken
    if key == "typed_per_filter_config":
        host(documents)[key] = {NAME: broken}
    try:
        examine(documents, TWO_WORKERS)
    except UnreadableError:
        pytest.fail("what is left can be read")


def test_notes_are_below_warnings_and_those_below_errors():
    assert tuple(Severity) == (Severity.ERROR, Severity.WARNING, Severity.NOTE)
