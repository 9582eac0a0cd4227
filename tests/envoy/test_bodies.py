"""A proof that covers the body holds for the whole body, or is refused."""

import pytest

from tests.gateway import FORM_TYPE, Gateway, md5_of, signed_headers, without

LIMIT = 1024 * 1024
"""`max_request_bytes` in the shipped Envoy configuration."""
JSON = "application/json"


def test_a_form_over_the_limit_is_refused_and_one_at_the_limit_passes(gateway: Gateway):
    fits = b"a=" + b"x" * (LIMIT - 2)
    for body, status in ((fits, 200), (fits + b"x", 413), (fits * 2, 413)):
        resource = "/v1/orders?" + body.decode()
        answer = gateway.signed("POST", "/v1/orders", body=body, content_type=FORM_TYPE, resource=resource)
        assert answer.status == status
        if status == 413:
            assert (answer.code, gateway.reason(answer)) == ("I413RL", "body_too_large")


def test_a_signature_over_only_the_part_that_we_see_does_not_pass(gateway: Gateway):
    body = b"a=" + b"x" * (LIMIT - 2) + b"&admin=true"
    resource = "/v1/orders?" + body[:LIMIT].decode()
    answer = gateway.signed("POST", "/v1/orders", body=body, content_type=FORM_TYPE, resource=resource)
    assert (answer.status, gateway.reason(answer)) == (413, "body_too_large")


def test_a_large_body_bound_by_content_md5_is_refused_and_an_unbound_one_passes(gateway: Gateway):
    """The vendor binds JSON only through Content-MD5; without it a body is unprotected, and documented so."""
    body = b'"' + b"x" * LIMIT + b'"'
    bound = gateway.signed("PUT", "/notes", body=body, content_type=JSON, md5=md5_of(body))
    assert (bound.status, gateway.reason(bound)) == (413, "body_too_large")
    assert len(gateway.signed("PUT", "/notes", body=body, content_type=JSON).seen["body"]) == len(body)


def test_a_changed_body_is_refused(gateway: Gateway):
    body = b'{"item": "tea"}'
    signed = signed_headers("PUT", "/notes", body=body, content_type=JSON, md5=md5_of(body))
    changed = gateway.call("PUT", "/notes", signed, b'{"item": "oil"}')
    assert (changed.status, gateway.reason(changed)) == (400, "content_md5_invalid")
    missing = gateway.call("PUT", "/notes", signed)
    assert (missing.status, gateway.reason(missing)) == (400, "content_md5_invalid")
    assert gateway.call("PUT", "/notes", signed, body).status == 200


def test_a_refused_body_does_not_burn_the_nonce(gateway: Gateway):
    """Whoever catches a request and changes its body must not thereby block the real one."""
    body = b'{"item": "tea"}'
    signed = signed_headers("PUT", "/notes", body=body, content_type=JSON, md5=md5_of(body))
    assert gateway.call("PUT", "/notes", signed, b"{}").status == 400
    assert gateway.call("PUT", "/notes", signed, body).status == 200


def test_a_changed_form_is_refused(gateway: Gateway):
    signed = signed_headers("POST", "/v1/orders", content_type=FORM_TYPE, resource="/v1/orders?item=tea&n=1")
    for body in (b"item=oil&n=1", b"item=tea&n=1&x=2", b"item=tea", b""):
        assert gateway.reason(gateway.call("POST", "/v1/orders", signed, body)) == "signature_mismatch"
    assert gateway.call("POST", "/v1/orders", signed, b"n=1&item=tea").status == 200


def test_a_chunked_form_is_read_whole(gateway: Gateway):
    signed = signed_headers("POST", "/v1/orders", content_type=FORM_TYPE, resource="/v1/orders?item=tea")
    chunked = [*signed, ("Transfer-Encoding", "chunked")]
    changed = gateway.call("POST", "/v1/orders", chunked, b"3\r\nite\r\n5\r\nm=oil\r\n0\r\n\r\n")
    assert gateway.reason(changed) == "signature_mismatch"
    answer = gateway.call("POST", "/v1/orders", chunked, b"3\r\nite\r\n5\r\nm=tea\r\n0\r\n\r\n")
    assert answer.seen["body"] == "item=tea"


@pytest.mark.parametrize("spelling", [FORM_TYPE.upper(), FORM_TYPE + "; charset=UTF-8", FORM_TYPE + " ;x=y"])
def test_every_spelling_of_the_form_type_is_a_form(gateway: Gateway, spelling: str):
    signed = signed_headers("POST", "/v1/orders", content_type=spelling, resource="/v1/orders?item=tea")
    assert gateway.call("POST", "/v1/orders", signed, b"item=oil").status == 403
    assert gateway.call("POST", "/v1/orders", signed, b"item=tea").status == 200


@pytest.mark.parametrize(
    "hiding",
    [
        [("Upgrade", "websocket"), ("Connection", "Upgrade")],
        [("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")],
        [("Expect", "100-continue")],
        [("x-envoy-auth-partial-body", "false")],
        [("X-Envoy-Auth-Partial-Body", "true")],
    ],
    ids=["websocket", "h2c", "expect", "not partial", "partial"],
)
def test_a_client_cannot_hide_its_body_from_the_signature(gateway: Gateway, hiding: list[tuple[str, str]]):
    """The signature is right for an empty form: with a body it must never reach the backend."""
    signed = signed_headers("POST", "/v1/orders", content_type=FORM_TYPE)
    answer = gateway.call("POST", "/v1/orders", [*signed, *hiding], b"item=oil")
    final = answer.body.rpartition(b"HTTP/1.1 ")[2] if answer.status == 100 else str(answer.status).encode()
    assert final[:3] in (b"400", b"403")


@pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc+proto", "application/grpc-web"])
def test_a_grpc_type_does_not_hide_a_body_that_content_md5_binds(gateway: Gateway, content_type: str):
    body = b"\0\0\0\0\1x"
    signed = signed_headers("POST", "/notes", body=body, content_type=content_type, md5=md5_of(body))
    answer = gateway.call("POST", "/notes", signed, b"\0\0\0\0\1y")
    assert answer.header("grpc-status") == "16" or answer.status == 400
    assert gateway.reason(answer) == "content_md5_invalid"


def test_an_unbound_body_is_what_strict_mode_refuses(gateway: Gateway):
    body = b'{"item": "tea"}'
    answer = gateway.signed("POST", "/strict", body=body, content_type=JSON)
    assert (answer.status, gateway.reason(answer)) == (403, "strict_refused")
    assert gateway.signed("POST", "/strict", body=body, content_type=JSON, md5=md5_of(body)).status == 200
    assert gateway.signed("POST", "/notes", body=body, content_type=JSON).status == 200


def test_content_md5_twice_is_refused(gateway: Gateway):
    body = b"{}"
    signed = signed_headers("PUT", "/notes", body=body, content_type=JSON, md5=md5_of(body))
    answer = gateway.call("PUT", "/notes", [*signed, ("content-md5", md5_of(b"[]"))], b"[]")
    assert (answer.status, gateway.reason(answer)) == (400, "header_repeated")
    only = [*without(signed, "content-md5"), ("Content-MD5", md5_of(b"[]"))]
    assert gateway.reason(gateway.call("PUT", "/notes", only, b"[]")) == "signature_mismatch"


def test_a_form_of_countless_parameters_is_refused_before_it_is_sorted(gateway: Gateway):
    """Anybody can send one; half a second of sorting would hold up every other caller."""
    fits = "&".join(f"k{number:05d}" for number in range(5_000))
    for form, status in ((fits, 200), (fits + "&one-more", 400), ("&".join("abcd" * 60_000), 400)):
        answer = gateway.signed("POST", "/notes", content_type=FORM_TYPE, resource=f"/notes?{form}", body=form.encode())
        assert answer.status == status
        assert status == 200 or gateway.reason(answer) == "body_unavailable"


def test_trailers_after_a_body_do_not_carry_an_identity(gateway: Gateway):
    signed = signed_headers("POST", "/v1/orders", content_type=FORM_TYPE, resource="/v1/orders?a=1")
    chunked = [*signed, ("Transfer-Encoding", "chunked"), ("Trailer", "X-Ca-App-Id")]
    answer = gateway.call("POST", "/v1/orders", chunked, b"3\r\na=1\r\n0\r\nX-Ca-App-Id: forged\r\n\r\n")
    assert answer.seen_headers["x-ca-app-id"] == "demo-app"


def test_two_lengths_or_length_and_chunks_are_refused(gateway: Gateway):
    """Request smuggling: whoever reads the other length sees another request."""
    signed = signed_headers("POST", "/v1/orders", content_type=FORM_TYPE, resource="/v1/orders?a=1")
    smuggled = b"a=1GET /internal/report HTTP/1.1\r\nHost: x\r\n\r\n"
    for lengths in (
        [("Content-Length", "3"), ("Content-Length", str(len(smuggled)))],
        [("Content-Length", "3"), ("Transfer-Encoding", "chunked")],
        [("Content-Length", "3"), ("Transfer-Encoding", "chunked, identity")],
        [("Content-Length", "+3")],
        [("Transfer-Encoding", "xchunked")],
    ):
        assert gateway.call("POST", "/v1/orders", [*signed, *lengths], smuggled).status in (400, 403, 501)
