"""Reading a CheckRequest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.domain.request import Delivery, Network
from extauthz.domain.settings import Settings
from extauthz.wire.request import canonical_host, is_grpc, read_request
from tests.unit.wire.checking import check_request


def read(message, binding=None, settings=None):
    return read_request(message, binding, settings or Settings())


@pytest.mark.parametrize("raw", [True, False])
def test_both_forms_of_headers_and_body_read_alike(raw):
    message = check_request("POST", "/a", {"X-City": "杭州", "Accept": "*/*"}, "茶".encode(), raw=raw)
    sent = read(message)
    assert sent.headers == {
        "x-city": "杭州".encode(),
        "accept": b"*/*",
        "host": message.attributes.request.http.host.encode(),
    }
    assert sent.body == "茶".encode()


@pytest.mark.parametrize("raw", [True, False])
def test_the_host_header_is_the_host_that_envoy_states_and_no_header_of_the_client(raw):
    message = check_request(headers={"Host": "forged.example", "Accept": "*/*"}, raw=raw)
    message.attributes.request.http.host = "Orders.example:8080"
    assert read(message).headers["host"] == b"Orders.example:8080"


def test_header_bytes_that_are_no_utf8_arrive_as_they_were():
    assert read(check_request(headers={"x-city": b"\xff\xfe"})).headers["x-city"] == b"\xff\xfe"


def test_body_bytes_that_are_no_utf8_arrive_as_they_were():
    assert read(check_request("POST", body=b"\x00\xff")).body == b"\x00\xff"


def test_a_header_that_came_twice_is_noted_and_joined():
    sent = read(check_request(headers=[("x-ca-key", "a"), ("accept", "x"), ("X-Ca-Key", "b"), ("x-ca-key", "c")]))
    assert sent.repeated == {"x-ca-key"}
    assert sent.headers["x-ca-key"] == b"a,b,c"


def test_raw_headers_win_over_the_joined_map():
    message = check_request(headers={"x-ca-key": "raw"})
    message.attributes.request.http.headers["x-ca-key"] = "joined"
    assert read(message).headers["x-ca-key"] == b"raw"


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [("/a?b=1?c", "/a", "b=1?c"), ("//evil/x", "//evil/x", ""), ("/a#b?c", "/a#b", "c"), ("", "", ""),
     ("http://x/a?b", "http://x/a", "b"), ("/a%3Fb", "/a%3Fb", ""), ("?", "", "")],
)  # fmt: skip
def test_the_path_is_cut_at_the_first_question_mark_and_nowhere_else(target, path, query):
    sent = read(check_request(path=target))
    assert (sent.path, sent.query) == (path, query)


@pytest.mark.parametrize(
    ("host", "canonical"),
    [("API.Example.com", "api.example.com"), ("api.example.com:8443", "api.example.com"),
     ("api.example.com.", "api.example.com"), ("api.example.com.:80", "api.example.com"), ("[::1]:80", "[::1]"),
     ("[::1]", "[::1]"), ("", ""), (":80", ""), (".", "")],
)  # fmt: skip
def test_a_host_has_one_spelling(host, canonical):
    assert canonical_host(host) == canonical


@given(st.text(max_size=30))
def test_a_canonical_host_is_canonical(host):
    assert canonical_host(canonical_host(host)) == canonical_host(host)


CASES = [
    ({}, b"", {}, Delivery.WHOLE, "no body"),
    ({"content-length": "0"}, b"", {}, Delivery.WHOLE, "an empty body"),
    ({"content-length": "3"}, b"abc", {}, Delivery.WHOLE, "all of it"),
    ({}, b"abc", {}, Delivery.WHOLE, "a chunked body"),
    ({"content-length": "4"}, b"abc", {}, Delivery.PARTIAL, "less than was announced"),
    ({"content-length": "x"}, b"abc", {}, Delivery.PARTIAL, "a length that is no number"),
    ({"x-envoy-auth-partial-body": "true"}, b"abc", {}, Delivery.PARTIAL, "Envoy says so"),
    ({"content-length": "3"}, b"", {}, Delivery.NOT_DELIVERED, "a length without a body"),
    ({}, b"", {"size": 3}, Delivery.NOT_DELIVERED, "a size without a body"),
    ({"content-type": "application/grpc"}, b"", {}, Delivery.NOT_DELIVERED, "gRPC streams"),
    ({"upgrade": "websocket"}, b"", {}, Delivery.NOT_DELIVERED, "an upgrade"),
]


@pytest.mark.parametrize(
    ("headers", "body", "http", "expected"), [case[:4] for case in CASES], ids=[c[4] for c in CASES]
)
def test_how_much_of_the_body_we_hold(headers, body, http, expected):
    assert read(check_request("POST", "/a", headers, body, **http)).delivery is expected


def test_a_tunnel_has_a_body_that_we_do_not_see():
    assert read(check_request("CONNECT", "/a")).delivery is Delivery.NOT_DELIVERED


def test_a_route_that_envoy_does_not_buffer_says_so():
    message = check_request("POST", "/a")
    message.attributes.context_extensions["extauthz.body"] = "unbuffered"
    assert read(message).delivery is Delivery.NOT_DELIVERED


def test_the_listeners_own_network_wins_over_the_context():
    assert read(check_request(network="internet"), Network.VPC).network is Network.VPC
    assert read(check_request(network="vpc"), Network.INTERNET).network is Network.INTERNET


def test_the_context_wins_over_the_port():
    message = check_request(network="vpc")
    message.attributes.destination.address.socket_address.port_value = 8080
    assert read(message, settings=Settings(port_networks={8080: Network.INTERNET})).network is Network.VPC


def test_a_port_may_stand_for_a_network():
    message = check_request()
    message.attributes.destination.address.socket_address.port_value = 8081
    assert read(message, settings=Settings(port_networks={8081: Network.VPC})).network is Network.VPC


@pytest.mark.parametrize("stated", ["", "VPC", "intranet", "vpc "])
def test_an_unknown_network_is_the_internet(stated):
    message = check_request()
    message.attributes.context_extensions["extauthz.network"] = stated
    assert read(message, settings=Settings(port_networks={0: Network.VPC})).network is Network.INTERNET


@pytest.mark.parametrize("name", ["extauthz.network", "x-ca-network", "x-forwarded-port", "extauthz-network"])
def test_no_header_chooses_the_network(name):
    assert read(check_request(headers={name: "vpc"})).network is Network.INTERNET


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [(b"application/grpc", True), (b"Application/gRPC+proto; x=1", True), (b"application/grpc-web", False),
     (b"application/json", False), (b"", False)],
)  # fmt: skip
def test_who_speaks_grpc(content_type, expected):
    assert is_grpc({"content-type": content_type}) is expected
