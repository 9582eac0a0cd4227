"""A nonce passes once. Envoy asking twice about one request is not a replay; everything else is."""

import grpc
import pytest

from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.servicer import CHECK_PATH
from tests.gateway import Gateway, Header, signed_headers

OK, UNAUTHENTICATED = 0, 16


def test_the_same_request_twice_is_a_replay(gateway: Gateway):
    signed = signed_headers("GET", "/v1/orders")
    assert gateway.call("GET", "/v1/orders", signed).status == 200
    for _ in range(3):
        answer = gateway.call("GET", "/v1/orders", signed)
        assert (answer.status, answer.code, gateway.reason(answer)) == (403, "S403NU", "nonce_used")


@pytest.mark.parametrize("header", ["x-request-id", "x-ca-request-id", "x-envoy-attempt-count", "x-correlation-id"])
def test_a_request_id_of_the_clients_choice_does_not_make_a_replay_pass(gateway: Gateway, header: str):
    chosen: Header = (header, "11111111-2222-4333-8444-555555555555")
    signed = [*signed_headers("GET", "/v1/orders"), chosen]
    assert gateway.call("GET", "/v1/orders", signed).status == 200
    answer = gateway.call("GET", "/v1/orders", signed)
    assert (answer.status, gateway.reason(answer)) == (403, "nonce_used")


def test_a_replay_on_the_same_connection_is_a_replay(gateway: Gateway):
    lines = [f"{name}: {text!s}" for name, text in signed_headers("GET", "/v1/orders")]
    first = "\r\n".join(["GET /v1/orders HTTP/1.1", "Host: x", *lines, "", ""])
    last = "\r\n".join(["GET /v1/orders HTTP/1.1", "Host: x", "Connection: close", *lines, "", ""])
    answers = gateway.send_pipelined(first + last)
    assert [answer.status for answer in answers] == [200, 403]


def test_one_nonce_may_be_used_by_two_apps_and_on_two_apis(gateway: Gateway):
    nonce = "shared-by-purpose"
    other = {"key": "demo-app-key-0004", "secret": "demo-app-secret-0004", "stage": "TEST"}
    assert gateway.signed("GET", "/v1/orders", nonce=nonce).status == 200
    assert gateway.signed("GET", "/v1/orders", nonce=nonce, **other).status == 200
    assert gateway.signed("GET", "/v1/orders/1", nonce=nonce).status == 200
    assert gateway.signed("GET", "/v1/orders", nonce=nonce).code == "S403NU"
    assert gateway.signed("GET", "/v1/orders/2", nonce=nonce).code == "S403NU"


def test_a_stranger_cannot_burn_a_nonce(gateway: Gateway):
    for wrong in ({"secret": "wrong"}, {"key": "nobody"}):
        assert gateway.signed("GET", "/v1/orders", nonce="to-be-used", **wrong).status in (400, 403)
    no_grant = {"key": "demo-app-key-0002", "secret": "demo-app-secret-0002"}
    assert gateway.signed("GET", "/v1/orders", nonce="to-be-used", **no_grant).status == 403
    assert gateway.signed("GET", "/v1/orders", nonce="to-be-used").status == 200


class TestEnvoyAsksAgain:
    """Envoy's retry of a Check, sent to the service's own port: the same bytes a second time."""

    def test_the_same_check_again_passes_and_says_so(self, gateway: Gateway):
        check = check_request("stream-1", signed_headers("GET", "/v1/orders"))
        assert [ask(gateway, check) for _ in range(3)] == [(OK, "allowed"), (OK, "asked_again"), (OK, "asked_again")]

    def test_the_same_signature_in_another_stream_is_a_replay(self, gateway: Gateway):
        signed = signed_headers("GET", "/v1/orders")
        assert ask(gateway, check_request("stream-2", signed)) == (OK, "allowed")
        assert ask(gateway, check_request("stream-3", signed)) == (UNAUTHENTICATED, "nonce_used")
        assert ask(gateway, check_request("", signed)) == (UNAUTHENTICATED, "nonce_used")

    def test_without_a_stream_id_nothing_counts_as_asked_again(self, gateway: Gateway):
        check = check_request("", signed_headers("GET", "/v1/orders"))
        assert [ask(gateway, check) for _ in range(2)] == [(OK, "allowed"), (UNAUTHENTICATED, "nonce_used")]

    def test_another_request_with_the_same_nonce_in_the_same_stream_is_a_replay(self, gateway: Gateway):
        once = check_request("stream-4", signed_headers("GET", "/v1/orders", nonce="n-4"))
        other = check_request("stream-4", signed_headers("GET", "/v1/orders", nonce="n-4", accept="text/plain"))
        assert ask(gateway, once) == (OK, "allowed")
        assert ask(gateway, other) == (UNAUTHENTICATED, "nonce_used")

    def test_a_check_without_an_http_request_is_denied(self, gateway: Gateway):
        for empty in (pb.CheckRequest(), pb.CheckRequest(attributes=pb.AttributeContext())):
            assert ask(gateway, empty) == (7, "request_invalid")

    def test_bytes_that_are_no_check_are_denied_in_words_and_not_by_a_grpc_error(self, gateway: Gateway):
        assert ask(gateway, b"\xff\xff\xff\xff") == (7, "request_invalid")


def check_request(stream_id: str, headers: list[Header]) -> pb.CheckRequest:
    http = pb.AttributeContext.HttpRequest(id=stream_id, method="GET", path="/v1/orders", host="x", scheme="http")
    for name, text in headers:
        assert isinstance(text, str)
        http.header_map.headers.add(key=name.lower(), raw_value=text.encode())
    request = pb.AttributeContext.Request(http=http)
    return pb.CheckRequest(attributes=pb.AttributeContext(request=request))


def ask(gateway: Gateway, check: pb.CheckRequest | bytes) -> tuple[int, str]:
    """Status code and reason of the service's answer."""
    payload = check if isinstance(check, bytes) else check.SerializeToString()
    with grpc.insecure_channel(f"127.0.0.1:{gateway.stack.ports.service}") as channel:
        answer = pb.CheckResponse.FromString(channel.unary_unary(CHECK_PATH)(payload, timeout=5))
    assert (answer.status.code == OK) == answer.HasField("ok_response")
    return answer.status.code, answer.dynamic_metadata.fields["reason"].string_value
