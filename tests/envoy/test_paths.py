"""No spelling of a path reaches a protected API without its proof, or another API than the one that was signed."""

import pytest

from tests.gateway import CODE, Gateway, signed_headers

TO_THE_REPORT = [
    "//internal/report",
    "/internal//report",
    "/./internal/report",
    "/internal/./report",
    "/public/../internal/report",
    "/public/ping/../../internal/report",
    "/public/ping/%2e%2e/%2e%2e/internal/report",
    "/public/ping/.%2e/%2E./internal/report",
    "/public/ping/..;/..;/internal/report",
    "/public/ping;/../../internal/report",
    "/internal;x=1/report",
    "/internal/report;x=1",
    "/internal%2freport",
    "/internal%2Freport",
    "/public/ping/..%2f..%2finternal/report",
    "/internal%5creport",
    "/internal%5Creport",
    "/internal\\report",
    "/public/ping\\..\\..\\internal/report",
    "/internal/report%00",
    "/internal/report%00.css",
    "/internal/report%0a",
    "/internal/report%3f",
    "/internal/report%3Fx",
    "/internal/report%23",
    "/internal/report%20",
    "/internal/report/",
    "/internal/report/.",
    "/internal/report/..",
    "/Internal/report",
    "/INTERNAL/REPORT",
    "/internal/%2572eport",
    "/internal/%u0072eport",
    "/internal/%7",
    "/internal/report%",
    "/internal/%e2%98%a0/report",
    "/internal/%c0%ae%c0%ae/report",
    "/%2e/internal/report",
    "/internal/report*",
    "*",
    "internal/report",
    "",
    "?/internal/report",
    "/?/internal/report",
    "#/internal/report",
    "/internal/report#x",
]  # fmt: skip


@pytest.mark.parametrize("network", ["internet", "vpc"])
def test_no_spelling_of_a_path_goes_round_the_proof(gateway: Gateway, network: str):
    passed = {}
    for target in TO_THE_REPORT:
        answer = gateway.call("GET", target, network=network)
        if not 400 <= answer.status <= 499:
            passed[target] = answer.status
    assert passed == {}


def test_ambiguous_spellings_are_refused_even_with_the_right_proof(gateway: Gateway):
    """A valid AppCode with a path that two readers may take differently: refused, not guessed."""
    passed = {}
    for target in TO_THE_REPORT:
        answer = gateway.call("GET", target, [("Authorization", CODE)], network="vpc")
        if answer.status == 200:
            passed[target] = answer.seen["path"]
    assert passed == {}


@pytest.mark.parametrize("target", ["/internal/%72eport", "/%69nternal/report", "/v1/%6frders", "/public/%70ing"])
def test_an_escaped_letter_in_a_plain_segment_is_refused(gateway: Gateway, target: str):
    """`%72` is `r` for us and for most backends, but Envoy's routes compare raw text and take another way."""
    for network in "internet", "vpc":
        answer = gateway.call("GET", target, [("Authorization", CODE)], network=network)
        assert (answer.status, answer.code) == (400, "I400PA")


@pytest.mark.parametrize(
    "target",
    ["/v1/orders/..%2fping", "/v1/orders/%2e%2e", "/v1/orders/a%2fb", "/v1/orders/a;b", "/v1/orders/", "/v1/orders//a"],
)
def test_a_path_parameter_cannot_hold_a_path(gateway: Gateway, target: str):
    answer = gateway.signed("GET", target)
    assert answer.status in (400, 404)


@pytest.mark.parametrize(
    "target", ["/v1/orders/%E4%B8%AD", "/v1/orders/a%20b", "/v1/orders/~a.b-c_d", "/v1/orders/a%7Eb"]
)
def test_an_ordinary_escape_in_a_path_parameter_passes_unchanged(gateway: Gateway, target: str):
    assert gateway.signed("GET", target).seen["path"] == target


def test_a_query_inside_the_path_is_not_a_path(gateway: Gateway):
    for target in ("/admin?/public/ping", "/admin?x=/public/ping", "/public/pingx?/public/ping", "/?/public/ping"):
        answer = gateway.call("GET", target)
        assert (answer.status, answer.code) == (404, "I404NF")
    assert gateway.call("GET", "/public/ping?/internal/report").seen["path"] == "/public/ping?/internal/report"


def test_a_second_question_mark_belongs_to_the_query(gateway: Gateway):
    assert gateway.signed("GET", "/v1/orders?a=b?c").seen["path"] == "/v1/orders?a=b?c"


def test_a_path_that_nobody_serves_is_refused_by_us(gateway: Gateway):
    for network in ("internet", "vpc"):
        answer = gateway.call("GET", "/admin", network=network)
        assert (answer.status, answer.code, gateway.reason(answer)) == (404, "I404NF", "api_not_found")


def test_a_method_that_the_api_does_not_have_is_refused(gateway: Gateway):
    for method in ("POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"):
        answer = gateway.call(method, "/public/ping")
        assert answer.status == 404, method
    assert gateway.call("get", "/public/ping").status >= 400
    assert gateway.signed("PATCH", "/v1/orders").status == 404


def test_method_override_headers_do_not_change_the_method(gateway: Gateway):
    override = [("X-HTTP-Method-Override", "GET"), ("X-Method-Override", "GET"), ("X-HTTP-Method", "GET")]
    assert gateway.call("POST", "/public/ping", override).status == 404


@pytest.mark.parametrize("host", ["EXAMPLE.com", "example.com:8080", "example.com.", "[::1]:8080", "127.0.0.1:1"])
def test_letter_case_and_port_of_the_host_change_nothing(gateway: Gateway, host: str):
    assert gateway.call("GET", "/public/ping", host=host).status == 200
    assert gateway.signed("GET", "/v1/orders", host=host).status == 200
    answer = gateway.call("GET", "/internal/report", host=host)
    assert (answer.status, answer.code) == (403, "A403IN")


def test_an_absolute_target_is_the_path_it_holds(gateway: Gateway):
    answer = gateway.call("GET", "http://example.com/internal/report", [("Authorization", CODE)])
    assert (answer.status, answer.code) == (403, "A403IN")
    signed = signed_headers("GET", "/v1/orders")
    assert gateway.call("GET", "http://example.com/v1/orders", signed).seen["path"] == "/v1/orders"


def test_two_host_headers_are_not_a_way_in(gateway: Gateway):
    answer = gateway.call("GET", "/internal/report", [("Host", "vpc.example")])
    assert 400 <= answer.status <= 499


@pytest.mark.parametrize("target", [b"/v1/orders/\xff", b"/v1/orders?a=\xff", b"/internal/report\x01", b"/caf\xc3\xa9"])
def test_raw_bytes_in_a_target_are_refused(gateway: Gateway, target: bytes):
    assert gateway.call("GET", target).status == 400


def test_connect_is_no_way_round(gateway: Gateway):
    for target in ("127.0.0.1:80", "/internal/report", f"127.0.0.1:{gateway.stack.ports.backend}"):
        assert 400 <= gateway.call("CONNECT", target, network="vpc").status <= 499
