"""Routes: one API for a path, none for a path that two readers could take differently."""

import posixpath
import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.domain.api import ApiGroup
from extauthz.domain.routing.lenient_path import MAX_LENIENT_LENGTH, lenient_path_fault
from extauthz.domain.routing.path import (
    TemplateError,
    decoded_segments,
    parse_template,
    path_fault,
    spelled_as_template,
)
from extauthz.domain.routing.route import RouteConflict, RouteTable, is_host
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
     ("/%252e%252e", "encoded delimiter"), ("/%25%32%65", "encoded delimiter"),
     ("/%252%65", "encoded delimiter"), ("/..%3B/", "encoded delimiter"), ("/%2e%2e%3Bx/", "encoded delimiter"),
     ("/a%3bb", "encoded delimiter"), ("/%25%75%30%30%32%65", "encoded delimiter"), ("/%25u002e", "encoded delimiter"),
     ("/a%C2%85", "encoded delimiter"), ("/..%20/a", "dot segment"), ("/%c0%ae", "not UTF-8"),
     ("/a;b", "reserved character"), ("/..;/admin", "reserved character"),
     ("/a\\b", "reserved character"), ("/a#b", "reserved character"), ("/a%", "broken escape"),
     ("/a%2", "broken escape"), ("/a%zz", "broken escape"), ("/a b", "control character"),
     ("/a\tb", "control character"), ("/a\x00b", "control character"), ("/a\x7f", "control character"),
     ("", "not absolute"), ("*", "not absolute"), ("v1", "not absolute"), ("http://evil/v1", "not absolute")],
)  # fmt: skip
def test_a_path_that_two_readers_could_take_differently_is_refused(path, fault):
    assert path_fault(path) == fault


@pytest.mark.parametrize("path", ["/", "/v1/orders", "/v1/orders/", "/.well-known/x", "/a..b", "/...", "/v1/%E8%8C%B6",
                                  "/a%20b", "/a+b", "/a:b@c,d=e!$&'()*", "/~x", "/v1/茶", "/%41", "/100%25", "/%25off",
                                  "/a%23b", "/%E8%8C%B6%20x"])  # fmt: skip
def test_a_plain_path_is_not_refused(path):
    assert path_fault(path) == ""


PIECES = ["/", ".", "..", "%", "25", "2", "e", "E", "%2e", "%2F", "%5c", "%3B", ";", "x", "%25", "32", "65", "%63",
          "\\", "%00", "%c0%ae", "%u002e",
          "u00", "?", "%3F", "#", " ", "%20", "%C2%85", "茶", "a", "admin"]  # fmt: skip
SPELLINGS = st.lists(st.sampled_from(PIECES), max_size=10).map(lambda pieces: "/" + "".join(pieces))


def what_some_reader_sees(path):
    """The segments of a path to readers that decode again, drop matrix parameters, or take a backslash for a slash."""
    seen = {path}
    for _ in range(4):
        seen |= {unquote(one) for one in seen} | {one.replace("\\", "/") for one in seen}
        seen |= {"/".join(segment.partition(";")[0] for segment in one.split("/")) for one in seen}
        seen |= {one.partition("?")[0] for one in seen}
        seen |= {re.sub("%u00([0-9a-fA-F]{2})", r"%\1", one) for one in seen}
    return {tuple(posixpath.normpath(one).split("/")) for one in seen}


@given(SPELLINGS)
def test_a_path_without_fault_has_the_same_segments_for_every_reader_however_often_it_decodes(path):
    if path_fault(path):
        return
    assert len(what_some_reader_sees(unquote(path))) == 1
    assert posixpath.normpath(unquote(path)) == unquote(path).removesuffix("/") or path == "/"
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\\;]", unquote(path))


@given(SPELLINGS)
def test_a_lenient_path_has_as_many_segments_for_every_reader_and_climbs_for_none(path):
    if lenient_path_fault(path):
        return
    count = len([segment for segment in path.split("/") if segment])
    for segments in what_some_reader_sees(path):
        assert len([segment for segment in segments if segment]) == count
        assert not {".", ".."} & set(segments)


@given(SPELLINGS)
def test_segments_are_decoded_as_everybody_decodes_them(path):
    if not path_fault(path):
        assert decoded_segments(path) == unquote(path)[1:].split("/")


def test_a_long_path_is_not_read_leniently():
    longest = "/v1/;" + "x" * (MAX_LENIENT_LENGTH - 5)
    assert lenient_path_fault(longest.replace("/;", "/a", 1)) == ""
    assert lenient_path_fault("/v1/a;" + "x" * (MAX_LENIENT_LENGTH - 5)) == "too long"


def test_what_a_lenient_path_takes_beyond_others():
    for path in "/v1/a;b", "/v1/a%3Bb", "/v1/a%3Fb", "/v1/a%2541", "/v1/100%25", "/v1/%E8%8C%B6;x":
        assert lenient_path_fault(path) == ""
    for path in ("/..;/a", "/;/a", "/a;/..", "/%2e%2e%3Bx", "/%252e%252e", "/%25252e", "/a%252fb", "/a%2Fb", "/a%255cb",
                 "/a%2500", "/a%00", "/%3Fx", "/..%3Fx", "/a%25252525252541", "/a\\b", "/a#b", "/a%", "a", "/a%ff",
                 "/a%25ff", "//a", "/a%250a"):  # fmt: skip
        assert lenient_path_fault(path)


@pytest.mark.parametrize(
    ("path", "template", "plain"),
    [("/public/%70ing", "/public/ping", False), ("/%70ublic/ping", "/public/ping", False),
     ("/public/ping", "/public/ping", True), ("/v1/%7Ex", "/v1/~x", False), ("/a%3Ab", "/a:b", False),
     ("/v1/%7Ex", "/v1/{id}", True), ("/v1/%41", "/v1/*", True), ("/%76%31/a", "/v1/*", False),
     ("/%E8%8C%B6", "/茶", True), ("/v1/a;b", "/v1/{id}", True),
     ("/v1;x/a", "/v1/{id}", False), ("/v1/a;b", "/v1/*", False), ("/v1/a/b%3Fc", "/v1/{id}/*", False),
     ("/v1/a;b/b", "/v1/{id}/*", True), ("/v1/", "/v1/", True)],
)  # fmt: skip
def test_only_a_named_segment_may_be_spelled_as_the_client_likes(path, template, plain):
    assert spelled_as_template(path, template) is plain


@pytest.mark.parametrize(
    "host", ["a,b", "user@a.example.com", "a b", "a/b", "a%2eb", "å", "a\x00", "[::1", "[::1]x", "a;b"]
)
def test_a_host_that_two_readers_could_take_differently_is_no_host(host):
    assert not is_host(host)


@pytest.mark.parametrize("host", ["", "a", "a-b.example.com", "a_b", "127.0.0.1", "[::1]", "[::ffff:1.2.3.4]"])
def test_a_name_or_an_address_is_a_host(host):
    assert is_host(host)


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
