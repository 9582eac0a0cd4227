"""What callers are told: on every answer who to quote, on refusals why, and nothing that a client wrote as a header."""

import grpc
import pytest

from tests.gateway import CODE, FORM_TYPE, Gateway, signed_headers

SECRETS = ("demo-app-secret", "demo-app-code")


def test_every_answer_has_a_request_id_of_its_own(gateway: Gateway):
    answers = [
        gateway.call("GET", "/public/ping"),
        gateway.signed("GET", "/v1/orders"),
        gateway.call("GET", "/v1/orders"),
        gateway.call("GET", "/admin"),
        gateway.call("GET", "/internal/report"),
        gateway.call("GET", "//"),
        gateway.call("HEAD", "/notes"),
        gateway.signed("HEAD", "/notes"),
        gateway.call("OPTIONS", "/notes"),
    ]
    ids = {answer.request_id for answer in answers}
    assert len(ids) == len(answers)
    assert all(len(one) == 36 and one == one.upper() for one in ids)


def test_the_backends_own_request_id_header_does_not_reach_the_caller(gateway: Gateway):
    """One X-Ca-Request-Id, ours; `Answer.header` fails on a second one."""
    assert gateway.call("GET", "/public/ping", [("X-Ca-Request-Id", "mine")]).request_id != "mine"


def test_a_refusal_has_code_message_and_a_json_body_that_agree(gateway: Gateway):
    answer = gateway.call("GET", "/v1/orders")
    assert (answer.status, answer.code) == (400, "A400MA")
    assert answer.header("content-type") == "application/json; charset=utf-8"
    assert answer.json() == {"code": answer.code, "message": answer.message, "request_id": answer.request_id}


def test_a_wrong_signature_is_answered_with_the_string_to_sign_and_nothing_secret(gateway: Gateway):
    answer = gateway.signed("GET", "/v1/orders?b=2&a=1", secret="wrong", nonce="n", timestamp_ms=None)
    stamp = answer.message.partition("X-Ca-Timestamp:")[2].partition("#")[0]
    assert answer.message == (
        "Invalid Signature, Server StringToSign:`GET#application/json####X-Ca-Key:demo-app-key-0001#X-Ca-Nonce:n#"
        f"X-Ca-Timestamp:{stamp}#/v1/orders?a=1&b=2`"
    )
    assert not any(secret in answer.head.decode() + answer.body.decode() for secret in SECRETS)


@pytest.mark.parametrize(
    "attempt",
    [
        "%0d%0aSet-Cookie:%20evil=1",
        "%0D%0A%0D%0A<script>alert(1)</script>",
        "%0aX-Ca-App-Id:%20admin",
        "%0dX-Evil:%201",
        "%00%01%1f%7f",
        "%E5%98%8A%E5%98%8DSet-Cookie:evil",
        "%c2%85Set-Cookie:evil",
        "%ff%fe",
        "%e2%80%a8X-Evil:1",
    ],
)
def test_nothing_in_a_query_becomes_a_line_of_the_answer(gateway: Gateway, attempt: str):
    form = gateway.signed(
        "POST", "/v1/orders", secret="wrong", content_type=FORM_TYPE, body=f"a={attempt}&b{attempt}=1".encode()
    )
    query = gateway.signed("GET", f"/v1/orders?a={attempt}&b{attempt}=1", secret="wrong")
    for answer in (form, query):
        assert (answer.status, answer.code) == (403, "A403SG")
        plain = gateway.signed("GET", "/v1/orders", secret="wrong")
        assert [name for name, _ in answer.headers] == [name for name, _ in plain.headers]
        assert not any(byte < 0x20 or byte == 0x7F for _, value in answer.headers for byte in value)
        answer.message.encode("utf-8")  # valid UTF-8, or `message` would have failed


def test_nothing_in_a_path_or_host_or_header_becomes_a_line_of_the_answer(gateway: Gateway):
    plain = {name for name, _ in gateway.call("GET", "/admin").headers}
    for answer in (
        gateway.call("GET", "/v1/orders/%0d%0aSet-Cookie:%20evil=1"),
        gateway.call("GET", "/admin%0d%0aSet-Cookie:%20evil=1"),
        gateway.call("GET", "/admin", host="evil%0d%0aSet-Cookie:1"),
        gateway.signed("GET", "/v1/orders", extra=[("X-Ca-Signature-Method", "x%0d%0aSet-Cookie:1")]),
        gateway.call("GET", "/web/profile", [("Authorization", "Bearer eyJraWQiOiJcclxuU2V0LUNvb2tpZTogMSJ9.e30.x")]),
    ):
        assert 400 <= answer.status <= 499
        assert {name for name, _ in answer.headers} <= plain | {"connection"}


def test_a_very_long_string_to_sign_is_cut_in_the_message(gateway: Gateway):
    answer = gateway.signed("GET", "/v1/orders?a=" + "x" * 20_000, secret="wrong")
    assert answer.code == "A403SG"
    assert len(answer.message.encode()) <= 4096
    assert answer.message.startswith("Invalid Signature, Server StringToSign:`GET#")
    form = gateway.signed("POST", "/v1/orders", secret="wrong", content_type=FORM_TYPE, body="中".encode() * 100_000)
    assert len(form.message.encode()) <= 4096


def test_text_beyond_ascii_is_echoed_as_utf_8(gateway: Gateway):
    answer = gateway.signed("GET", "/v1/orders?name=%E4%B8%AD%20%E6%96%87", secret="wrong")
    assert answer.message.endswith("/v1/orders?name=中 文`")


def test_head_is_decided_like_any_method_and_has_no_body(gateway: Gateway):
    refused = gateway.call("HEAD", "/notes")
    assert (refused.status, refused.code, refused.body) == (400, "A400MA", b"")
    passed = gateway.signed("HEAD", "/notes")
    assert (passed.status, passed.body) == (200, b"")
    assert gateway.call("HEAD", "/notes", signed_headers("GET", "/notes")).code == "A403SG"


def test_options_needs_the_proof_that_the_api_asks_for(gateway: Gateway):
    preflight = [("Origin", "https://web.example"), ("Access-Control-Request-Method", "GET")]
    assert gateway.call("OPTIONS", "/notes", preflight).code == "A400MA"
    assert gateway.call("OPTIONS", "/v1/orders", preflight).code == "I404NF"
    assert gateway.signed("OPTIONS", "/notes").seen["method"] == "OPTIONS"


class TestGrpcCallers:
    def test_a_refused_grpc_caller_gets_a_grpc_status(self, gateway: Gateway):
        for metadata, code, error in (
            ([], grpc.StatusCode.UNAUTHENTICATED, "A400MA"),
            ([("authorization", "APPCODE wrong-code-0001")], grpc.StatusCode.UNAUTHENTICATED, "A400AC"),
            ([("authorization", "APPCODE demo-app-code-0002")], grpc.StatusCode.PERMISSION_DENIED, "I403AA"),
        ):
            failed = call_grpc(gateway, "/demo.Orders/List", metadata)
            answered = dict(failed.trailing_metadata())
            assert (failed.code(), answered["x-ca-error-code"]) == (code, error)
            assert failed.details() == answered["x-ca-error-message"]
            assert answered["x-ca-request-id"]

    def test_an_unknown_grpc_method_is_unimplemented(self, gateway: Gateway):
        assert call_grpc(gateway, "/demo.Nothing/List", []).code() == grpc.StatusCode.UNIMPLEMENTED

    def test_an_allowed_grpc_request_reaches_the_backend_with_its_body(self, gateway: Gateway):
        headers = [("Authorization", CODE), ("Content-Type", "application/grpc"), ("X-Ca-App-Id", "forged")]
        seen = gateway.call("POST", "/demo.Orders/List", headers, b"\0\0\0\0\1x").seen
        assert (seen["body"], seen["headers"]["x-ca-app-id"]) == ("\0\0\0\0\1x", "demo-app")


def call_grpc(gateway: Gateway, method: str, metadata: list[tuple[str, str]]) -> grpc.RpcError:
    """The error that a real gRPC client sees."""
    address = f"127.0.0.1:{gateway.stack.ports.internet}"
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as failed:
        channel.unary_unary(method)(b"x", timeout=10, metadata=metadata)
    return failed.value


def test_envoys_access_log_tells_what_was_decided_and_why(gateway: Gateway):
    allowed, refused = gateway.signed("GET", "/v1/orders?a=1"), gateway.signed("GET", "/v1/orders", secret="wrong")
    line = gateway.access_line(allowed)
    assert (line["status"], line["decision"]["reason"], line["decision"]["app_id"]) == (200, "allowed", "demo-app")
    line = gateway.access_line(refused)
    assert (line["status"], line["decision"]["reason"]) == (403, "signature_mismatch")
    assert line["details"] == "ext_authz_denied"
