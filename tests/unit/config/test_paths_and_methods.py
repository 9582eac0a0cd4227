"""A path or method that no request can have is a mistake with its cure; what is accepted can be reached."""

import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from extauthz.config import ConfigError
from extauthz.config.sections.apis.paths import example_of
from extauthz.domain.routing.path import path_fault
from extauthz.wire.request import canonical_host
from tests.unit.config.writing import config, found, snapshot


@pytest.mark.parametrize(
    ("path", "cure"),
    [
        ("/users/[userId]", "write `{userId}` instead of `[userId]`"),
        ("/users/:userId", "write `{userId}` instead of `:userId`"),
        ("/users/:user-id/orders", "write `{user-id}` instead of"),
        ("/users/:id(\\d+)", "write `{id}`"),
        ("/users/:id?", "write `{id}`"),
        ("/users/<id>", "write `{id}`"),
        ("/users/<int:id>", "write `{id}`"),
        ("/users/${id}", "write `{id}`"),
        ("/users/{{id}}", "write `{id}`"),
        ("/users/{id:[0-9]+}", "write `{id}`"),
        ("/users/{id:int}", "write `{id}`"),
        ("/users/{id?}", "write `{id}`"),
        ("/users/{ id }", "write `{id}`"),
        ("/users/{}", "write a name between the braces"),
        ("/users/{id}.json", "a name takes a whole segment"),
        ("/users/:id.json", "a name takes a whole segment"),
        ("/v{version}/users", "a name takes a whole segment"),
        ("/users/**", "write `*` as the last segment"),
        ("/users/{proxy+}", "write `*` as the last segment"),
        ("/users/{rest*}", "write `*` as the last segment"),
        ("/users/{rest:path}", "write `*` as the last segment"),
        ("/users/[...slug]", "write `*` as the last segment"),
        ("/users/[[...slug]]", "write `*` as the last segment"),
        ("/users/*rest", "write `*` as the last segment"),
        ("/users/.*", "write `*` as the last segment"),
        ("/users/*/orders", "write `{name}` for one segment"),
        ("/users/**/orders", "is not known here"),
        ("/users/a*", "`{name}` for a whole segment"),
        ("/users/[0-9]+", "regular expression"),
        ("/users/(?:a|b)", "regular expression"),
        ("/users/\\d+", "regular expression"),
        ("/(users|orders)", "regular expression"),
        ("/users$", "regular expression"),
        ("/users/.+", "regular expression"),
        ("/users/([^/]+)", "regular expression"),
        ("^/users", "regular expression"),
        ("~ ^/users", "regular expression"),
        ("/users?all=1", "write `/users`"),
        ("/users#top", "write `/users`"),
        ("/users;v=1", "paths with `;` are refused"),
        ("/users\\all", "backslash"),
        ("/b%C3%BCcher", "write the characters themselves"),
        ("/a%2Fb", "write the characters themselves"),
        ("/users//all", "empty or dot segment"),
        ("//users", "empty or dot segment"),
        ("/users/../all", "empty or dot segment"),
        ("/users/.", "empty or dot segment"),
        ("", "must begin with `/`"),
        ("users", "write `/users`"),
        ("https://api.example.com/users", "write `/users`, and the host under the group's `domains`"),
        ("GET /users", "write `/users`, and the method under `methods`"),
        ("/users ", "begins or ends with white space"),
        ("/us\ners", "line break"),
        ("/us\u00a0ers", "invisible character U+00A0"),
        ("/" + "a" * 1024, "1024 at most"),
    ],
)
def test_a_path_that_no_request_can_match_is_a_mistake_with_its_cure(write, path, cure):
    first, *more = found(write, config(apis={"path": path}))
    assert "apis[0].path: " in first
    assert cure in first
    assert not more


@pytest.mark.parametrize(
    ("path", "request_path"),
    [
        ("/", "/"),
        ("/users/", "/users/"),
        ("/users/{user-id}", "/users/42"),
        ("/users/{user_id}/orders/{id}", "/users/42/orders/7"),
        ("/v1/orders:batchGet", "/v1/orders:batchGet"),
        ("/odata/Products(1)/$value", "/odata/Products(1)/%24value"),
        ("/@scope/pkg", "/@scope/pkg"),
        ("/bücher", "/b%C3%BCcher"),
        ("/two words", "/two%20words"),
        ("/users/*", "/users/a/b/c"),
        ("/...", "/..."),
    ],
)
def test_a_path_that_requests_can_match_is_taken(write, path, request_path):
    assert not path_fault(request_path)
    found_api = snapshot(write, config(apis={"path": path})).gateway.routes.find("api.example.com", "GET", request_path)
    assert found_api.id == "user"


@pytest.mark.parametrize(
    ("method", "cure"),
    [
        ("ANY", "list those that are meant, such as GET, HEAD, POST"),
        ("any", "list those that are meant"),
        ("ALL", "list those that are meant"),
        ("*", "list those that are meant"),
        ("get", "write `GET`"),
        ("Post", "write `POST`"),
        ("GET,POST", "each as an entry of its own"),
        ("GET POST", "each as an entry of its own"),
        ("GET|POST", "each as an entry of its own"),
        ("DELTE", "did you mean `DELETE`?"),
        ("FETCH", "is not an HTTP method"),
        ("HTTP", "is not an HTTP method"),
        ("CONNECT", "has no path"),
        ("", "is not an HTTP method"),
        (" GET", "begins or ends with white space"),
    ],
)
def test_a_method_that_no_request_has_is_a_mistake_with_its_cure(write, method, cure):
    (only,) = found(write, config(apis={"methods": ["GET", method]}))
    assert "apis[0].methods[1]: " in only
    assert cure in only


def test_every_place_of_one_entry_that_is_wrong_is_told_at_once(write):
    apis = {"methods": ["any", "get"], "path": "/:id", "group": "wbe"}
    text = "\n".join(found(write, config(apis=apis, groups={"domains": ["x:1", "y/z"]})))
    for place in ("domains[0]", "domains[1]", "methods[0]", "methods[1]", "apis[0].path", "apis[0].group"):
        assert place in text


PLAIN = ["v1", "users", "{id}", "{user-id}", "a b", "ü", "x:y", "a.b", "(1)", "$ref", "~", "c++", "\u0130", "*"]
ODD = [":id", "[id]", ";", "%41", "", ".", "é%", "**", "a*", "<x>", "$"]
PATHS = st.lists(st.sampled_from(PLAIN * 4 + ODD), min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
LABELS = st.sampled_from(["api", "bücher", "EXAMPLE", "com", "a_b", "xn--bcher-kva", "ﬀ", "", "-x", "1", "☕", "*"])
DOMAINS = st.one_of(
    st.just("*"), st.tuples(st.sampled_from(["", "*."]), st.lists(LABELS, min_size=1, max_size=3)).map(
        lambda parts: parts[0] + ".".join(parts[1])
    )
)  # fmt: skip
SOME_METHODS = st.lists(st.sampled_from(["GET", "POST", "M-SEARCH", "QUERY", "get"]), min_size=1, max_size=2)


@pytest.mark.long
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(PATHS, SOME_METHODS), min_size=1, max_size=4), st.lists(DOMAINS, min_size=1, max_size=2))
@example([("/{id}/users", ["GET"]), ("/v1/*", ["GET", "POST"]), ("/v1/{id}", ["GET"])], ["*.bücher.example", "*"])
def test_every_api_of_an_accepted_configuration_can_be_reached(write, apis, domains):
    entries = [
        {"id": f"a{number}", "group": "web", "methods": methods, "path": path, "auth": {"internet": "none"}}
        for number, (path, methods) in enumerate(apis)
    ]
    try:
        built = snapshot(write, config(groups={"domains": domains}, apis=entries, grants=[]))
    except ConfigError:
        return
    for api in built.gateway.apis.values():
        # Names that no literal of another API can be, and a rest that is longer than any other template.
        path = example_of(re.sub(r"\{.*?\}", "unused", api.path).replace("/*", "/unused" * 5))
        assert not path_fault(path)
        for domain in api.group.domains:
            host = canonical_host("unused" + domain[1:] if domain.startswith("*") else domain)
            assert host.isascii()
            assert all(built.gateway.routes.find(host, method, path) is api for method in api.methods)
