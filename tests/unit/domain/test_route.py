"""Routes: one API for a path, none for a path that two readers could take differently."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.domain.api import ApiGroup
from extauthz.domain.route import RouteConflict, RouteTable, TemplateError, parse_template, path_fault
from tests.unit.building import NONE, api


def table(*routes, domain="*"):
    """Routes are ``METHOD /path`` or ``METHOD domain/path``; an API's id is its route."""
    apis = []
    for route in routes:
        method, _, place = route.partition(" ")
        host, slash, path = place.partition("/")
        group = ApiGroup(host or domain, frozenset({host or domain}))
        apis.append(api(NONE, id=route, group=group, methods=frozenset({method}), path=slash + path))
    return RouteTable(apis)


def found(routes, path, host="api.example.com", method="GET"):
    one = routes.find(host, method, path)
    return one.id if one else None


@pytest.mark.parametrize(
    ("path", "fault"),
    [("//", "empty segment"), ("//v1", "empty segment"), ("/v1//orders", "empty segment"), ("/v1/../x", "dot segment"),
     ("/..", "dot segment"), ("/.", "dot segment"), ("/./v1", "dot segment"), ("/v1/.", "dot segment"),
     ("/%2e%2e/x", "dot segment"), ("/.%2e", "dot segment"), ("/%2E", "dot segment"), ("/a%2Fb", "encoded delimiter"),
     ("/a%2fb", "encoded delimiter"), ("/a%5Cb", "encoded delimiter"), ("/a%3Fb", "encoded delimiter"),
     ("/a%00", "encoded delimiter"), ("/a%0d%0a", "encoded delimiter"), ("/a%7f", "encoded delimiter"),
     ("/%252e%252e", "encoded delimiter"), ("/a;b", "reserved character"), ("/..;/admin", "reserved character"),
     ("/a\\b", "reserved character"), ("/a#b", "reserved character"), ("/a%", "broken escape"),
     ("/a%2", "broken escape"), ("/a%zz", "broken escape"), ("/a b", "control character"),
     ("/a\tb", "control character"), ("/a\x00b", "control character"), ("/a\x7f", "control character"),
     ("", "not absolute"), ("*", "not absolute"), ("v1", "not absolute"), ("http://evil/v1", "not absolute")],
)  # fmt: skip
def test_a_path_that_two_readers_could_take_differently_is_refused(path, fault):
    assert path_fault(path) == fault


@pytest.mark.parametrize("path", ["/", "/v1/orders", "/v1/orders/", "/.well-known/x", "/a..b", "/...", "/v1/%E8%8C%B6",
                                  "/a%20b", "/a+b", "/a:b@c,d=e!$&'()*", "/~x", "/v1/茶", "/%41"])  # fmt: skip
def test_a_plain_path_is_not_refused(path):
    assert path_fault(path) == ""


@given(st.text("/.%2eEfF5cC;\\\x00a?# ", max_size=12).map(lambda rest: "/" + rest))
def test_no_path_without_fault_climbs_or_hides_a_delimiter(path):
    """Decoded once or twice, by any reader, it has the segments that we matched."""
    if path_fault(path) or "?" in path:
        return
    once = unquote(path)
    assert once.count("/") == path.count("/")
    assert unquote(once) == once or "%25" in path
    assert not {"..", "."} & set(once.split("/"))
    assert "\\" not in once
    assert "\x00" not in once


def test_a_literal_beats_a_name_and_a_name_beats_the_rest():
    routes = table("GET /v1/orders/mine", "GET /v1/orders/{id}", "GET /v1/*")
    assert found(routes, "/v1/orders/mine") == "GET /v1/orders/mine"
    assert found(routes, "/v1/orders/7") == "GET /v1/orders/{id}"
    assert found(routes, "/v1/orders/7/items") == "GET /v1/*"
    assert found(routes, "/v1/other") == "GET /v1/*"
    assert found(routes, "/v2") is None


def test_a_literal_that_leads_nowhere_is_taken_back():
    routes = table("GET /a/b/c", "GET /a/{x}/d", "GET /{y}/b/e")
    assert found(routes, "/a/b/c") == "GET /a/b/c"
    assert found(routes, "/a/b/d") == "GET /a/{x}/d"
    assert found(routes, "/a/b/e") == "GET /{y}/b/e"
    assert found(routes, "/a/b/f") is None


def test_a_method_that_the_literal_lacks_is_looked_for_further_on():
    routes = table("GET /v1/orders/mine", "DELETE /v1/orders/{id}")
    assert found(routes, "/v1/orders/mine", method="DELETE") == "DELETE /v1/orders/{id}"


def test_an_escaped_letter_is_that_letter():
    routes = table("GET /v1/orders", "GET /茶")
    assert found(routes, "/v1/%6Frders") == "GET /v1/orders"
    assert found(routes, "/%E8%8C%B6") == "GET /茶"


def test_case_and_trailing_slash_make_another_path():
    routes = table("GET /v1/orders")
    assert found(routes, "/V1/orders") is None
    assert found(routes, "/v1/orders/") is None
    assert found(table("GET /v1/orders/"), "/v1/orders/") == "GET /v1/orders/"


def test_a_name_and_the_rest_are_never_empty():
    routes = table("GET /v1/{id}", "GET /v2/*")
    assert found(routes, "/v1/") is None
    assert found(routes, "/v2/") is None
    assert found(routes, "/v2") is None


def test_the_closest_domain_wins():
    routes = table("GET api.example.com/a", "GET *.example.com/a", "GET *.eu.example.com/a", "GET */a")
    assert found(routes, "/a", "api.example.com") == "GET api.example.com/a"
    assert found(routes, "/a", "x.example.com") == "GET *.example.com/a"
    assert found(routes, "/a", "x.eu.example.com") == "GET *.eu.example.com/a"
    assert found(routes, "/a", "x.y.eu.example.com") == "GET *.eu.example.com/a"
    assert found(routes, "/a", "example.com") == "GET */a"
    assert found(routes, "/a", "badexample.com") == "GET */a"
    assert found(routes, "/a", ".example.com") == "GET */a"


def test_a_host_is_known_when_some_group_serves_it():
    routes = table("GET *.example.com/a")
    assert routes.knows_host("x.example.com")
    assert not routes.knows_host("example.com")
    assert not routes.knows_host("")


@pytest.mark.parametrize("second", ["/v1/{other}", "/v1/{id}"])
def test_two_apis_on_one_route_are_a_conflict_that_names_both(second):
    group = ApiGroup("g", frozenset({"a.example.com"}))
    first, other = (api(NONE, id=name, group=group, path=path) for name, path in (("one", "/v1/{id}"), ("two", second)))
    with pytest.raises(RouteConflict, match="'one' and 'two'"):
        RouteTable([first, other])


def test_two_methods_or_two_domains_are_two_routes():
    assert found(table("GET /a", "POST /a"), "/a", method="POST") == "POST /a"
    assert found(table("GET x.com/a", "GET y.com/a"), "/a", "y.com") == "GET y.com/a"


@pytest.mark.parametrize("template", ["", "v1", "/a//b", "/../a", "/a/.", "/{}", "/{1a}", "/x{a}", "/{a}x", "/*/a",
                                      "/a*", "/a?b", "/a#b", "/a;b", "/%41", "/{a b}", "/a\\b"])  # fmt: skip
def test_a_template_that_no_plain_path_could_match_is_refused(template):
    with pytest.raises(TemplateError):
        parse_template(template)


@given(st.lists(st.sampled_from(["a", "b", "{x}", "{y}"]), min_size=1, max_size=4), st.data())
def test_every_path_made_of_a_template_finds_it(segments, data):
    template = "/" + "/".join(segments)
    path = "/" + "/".join(one if "{" not in one else data.draw(st.sampled_from(["a", "7", "c"])) for one in segments)
    assert found(table(f"GET {template}"), path) == f"GET {template}"
