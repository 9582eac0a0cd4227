"""The same promises over HTTP/2, where pseudo headers and duplicates look different."""

from collections.abc import Iterator

import httpx
import pytest

from tests.gateway import CODE, Gateway, signed_headers


@pytest.fixture
def http2() -> Iterator[httpx.Client]:
    with httpx.Client(http1=False, http2=True, timeout=10) as client:
        client.headers.clear()
        yield client


def text_headers(**parts: str) -> list[tuple[str, str]]:
    return [(name, str(text)) for name, text in signed_headers("GET", "/v1/orders", **parts)]


def test_a_signed_call_passes_and_a_forged_identity_does_not(gateway: Gateway, http2: httpx.Client):
    forged = [
        ("x-ca-app-id", "forged"),
        ("x-ca-app-id", "forged"),
        ("x_ca_app_id", "forged"),
        ("x-token-sub", "forged"),
    ]
    answer = http2.get(gateway.stack.url("internet", "/v1/orders"), headers=[*text_headers(), *forged])
    assert (answer.status_code, answer.http_version) == (200, "HTTP/2")
    seen = answer.json()["headers"]
    assert seen["x-ca-app-id"] == "demo-app"
    assert "forged" not in str(seen)


def test_a_replay_on_one_connection_is_a_replay(gateway: Gateway, http2: httpx.Client):
    headers, url = text_headers(), gateway.stack.url("internet", "/v1/orders")
    assert [http2.get(url, headers=headers).status_code for _ in range(3)] == [200, 403, 403]


def test_a_credential_header_that_comes_twice_is_refused(gateway: Gateway, http2: httpx.Client):
    twice = [*text_headers(), ("x-ca-key", "demo-app-key-0002")]
    answer = http2.get(gateway.stack.url("internet", "/v1/orders"), headers=twice)
    assert (answer.status_code, answer.headers["x-ca-error-code"]) == (400, "I400HD")


def test_the_authority_does_not_move_a_call_to_the_other_network(gateway: Gateway, http2: httpx.Client):
    headers = [("host", f"127.0.0.1:{gateway.stack.ports.vpc}"), ("authorization", CODE), ("x-envoy-internal", "true")]
    answer = http2.get(gateway.stack.url("internet", "/internal/report"), headers=headers)
    assert (answer.status_code, answer.headers["x-ca-error-code"]) == (403, "A403IN")


def test_a_form_without_a_stated_length_is_read_whole(gateway: Gateway, http2: httpx.Client):
    signed = [
        (name, str(text))
        for name, text in signed_headers(
            "POST", "/v1/orders", content_type="application/x-www-form-urlencoded", resource="/v1/orders?item=tea"
        )
    ]
    url = gateway.stack.url("internet", "/v1/orders")
    changed = http2.post(url, headers=signed, content=iter([b"item", b"=oil"]))
    assert (changed.status_code, changed.headers["x-ca-error-code"]) == (403, "A403SG")
    assert http2.post(url, headers=signed, content=iter([b"item", b"=tea"])).json()["body"] == "item=tea"
