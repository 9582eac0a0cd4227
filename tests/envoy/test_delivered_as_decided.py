"""What Envoy sanitizes, joins or compares raw: the upstream gets what was decided about, or nothing."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from demo.keys import make_keys, make_token
from tests.envoy.policy_stack import Caller, bootstrap, policy_stack
from tests.gateway import Gateway, signed_headers

Fields = dict[str, bytes]


def over_http2(
    gateway: Gateway, target: bytes, headers: list[tuple[bytes, bytes]] | None = None, scheme: bytes = b"http"
) -> tuple[Fields, bytes]:
    """Status and headers of an HTTP/2 GET, and its body. The target may hold any byte."""
    config = h2.config.H2Configuration(
        header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False
    )
    connection = h2.connection.H2Connection(config)
    connection.initiate_connection()
    pseudo = [(b":method", b"GET"), (b":scheme", scheme), (b":authority", b"127.0.0.1"), (b":path", target)]
    connection.send_headers(1, pseudo + (headers or []), end_stream=True)
    answered: Fields = {}
    body, ended = b"", False
    with socket.create_connection(("127.0.0.1", gateway.stack.ports.internet), timeout=15) as peer:
        peer.sendall(connection.data_to_send())
        while not ended and (received := peer.recv(65_536)):
            for event in connection.receive_data(received):
                if isinstance(event, h2.events.ResponseReceived):
                    answered = {bytes(name).decode(): bytes(value) for name, value in event.headers}
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                ended = ended or isinstance(event, h2.events.StreamEnded | h2.events.StreamReset)
    return answered, body


def signed_for(target: str) -> list[tuple[bytes, bytes]]:
    signed = signed_headers("GET", target)
    return [(name.lower().encode(), text if isinstance(text, bytes) else text.encode()) for name, text in signed]


def test_a_request_signed_for_a_mark_is_not_delivered_with_another_byte(gateway: Gateway):
    good, body = over_http2(gateway, b"/v1/orders?msg=hello!", signed_for("/v1/orders?msg=hello!"))
    assert (good[":status"], json.loads(body)["path"]) == (b"200", "/v1/orders?msg=hello!")
    for sent in b"/v1/orders?msg=hello\xff", b"/v1/orders?msg=hello\xc0\xaf":
        signed = sent.decode("utf-8", "replace").replace("\ufffd", "!")
        refused, _ = over_http2(gateway, sent, signed_for(signed))
        assert (refused[":status"], refused["x-ca-error-code"]) == (b"400", b"I400PA")


@pytest.mark.parametrize("path", [b"/public/ping\xff", b"/public/\xc0\xae\xc0\xae/ping", b"/\xff"])
def test_a_path_that_is_no_utf8_reaches_no_open_api(gateway: Gateway, path: bytes):
    refused, _ = over_http2(gateway, path)
    assert (refused[":status"], refused["x-ca-error-code"]) == (b"400", b"I400PA")


def test_raw_utf8_over_http2_is_what_it_says(gateway: Gateway):
    answered, _ = over_http2(gateway, "/v1/orders/茶".encode(), signed_for("/v1/orders/茶"))
    assert answered[":status"] == b"200"


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Caller, dict[str, Any]]]:
    """Routes by stage as docs/envoy.md has them, an API that lets empty tokens pass, and told identities."""
    folder = tmp_path_factory.mktemp("staged")
    private = make_keys(folder)
    envoy = bootstrap()
    for listener in envoy["static_resources"]["listeners"]:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        for host in manager["route_config"]["virtual_hosts"]:
            host["routes"] = [
                _route(
                    "TEST", headers=[{"name": "x-ca-stage", "string_match": {"exact": "TEST", "ignore_case": True}}]
                ),
                _route("RELEASE"),
            ]
    config: dict[str, Any] = {
        "identity_headers": {"X-Stage": "stage", "X-Ca-Scheme": "scheme", "X-User": "subject"},
        "groups": [{"id": "g", "domains": ["*"]}],
        "plugins": [{
            "id": "login", "type": "jwt", "jwks": {"file": str(folder / "jwt-public.jwks")},
            "bypass_empty_token": True,
        }],
        "apis": [
            {"id": "open", "group": "g", "methods": ["GET"], "path": "/open", "auth": {"internet": "none"},
             "stages": ["RELEASE", "TEST"]},
            {"id": "me", "group": "g", "methods": ["GET"], "path": "/me", "auth": {"internet": "jwt"},
             "plugins": ["login"]},
        ],
    }  # fmt: skip
    with policy_stack(folder, config, envoy) as caller:
        yield caller, private


def _route(stage: str, **match: Any) -> dict[str, Any]:
    return {
        "match": {"prefix": "/", **match},
        "route": {"cluster": "backend"},
        "request_headers_to_add": [{"header": {"key": "x-delivered-to", "value": stage}}],
        "typed_per_filter_config": {
            "envoy.filters.http.ext_authz": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
                "check_settings": {"context_extensions": {"extauthz.network": "internet", "extauthz.stage": stage}},
            }
        },
    }


@pytest.mark.parametrize("asked", ["", "TEST", "test", "Test", "RELEASE", "release", "PRE", "tesT,x"])
def test_a_call_is_delivered_to_the_stage_that_it_was_decided_in(staged: tuple[Caller, Any], asked: str):
    caller, _ = staged
    answer = caller.call("/open", headers=[("X-Ca-Stage", asked)] if asked else [])
    if answer.status_code == 200:
        seen = answer.json()["headers"]
        assert seen["x-stage"] == seen["x-delivered-to"] == (asked.strip().upper() or "RELEASE")
    else:
        assert answer.headers["x-ca-error-code"] == "I400SG"
        assert asked in ("PRE", "tesT,x")


def test_no_backend_gets_a_token_that_nobody_verified(staged: tuple[Caller, dict[str, Any]]):
    caller, private = staged
    token = make_token(private, sub="alice")
    forged = token[:-8] + "AAAAAAAA"
    assert caller.call("/me", headers=[("Authorization", f"Bearer {token}")]).json()["headers"]["x-user"] == "alice"
    for value in f"Bearer {forged}", f"Digest Bearer {forged}", f"Basic x,Bearer {forged}", forged:
        assert caller.call("/me", headers=[("Authorization", value)]).status_code in (400, 403)
    twice = [("Authorization", "Basic x"), ("Authorization", f"Bearer {forged}")]
    assert caller.call("/me", headers=twice).status_code == 400
    for value in "Basic x", f"Basic {forged}", f"DPoP {forged}":
        seen = caller.call("/me", headers=[("Authorization", value)]).json()["headers"]
        assert "authorization" not in seen


def test_a_claim_arrives_as_it_is_or_not_at_all(staged: tuple[Caller, dict[str, Any]]):
    caller, private = staged
    for subject in "alice", "al\tice", "张伟", "al\nice", "al\x7fice", " alice", "al\x85ice":
        token = make_token(private, sub=subject)
        answer = caller.call("/me", headers=[("Authorization", f"Bearer {token}")])
        if answer.status_code == 200:
            arrived = answer.json()["headers"]["x-user"]
            assert subject in (arrived, arrived.encode("latin-1", "ignore").decode("utf-8", "ignore"))
        else:
            assert (answer.status_code, answer.headers["x-ca-error-code"]) == (403, "A403JT")
            assert subject not in ("alice", "张伟")


def test_no_client_says_which_scheme_it_came_by(staged: tuple[Caller, Any]):
    caller, _ = staged
    for forged in [], [("X-Forwarded-Proto", "https")], [("X-Ca-Scheme", "https")], [("X_Ca_Scheme", "https")]:
        seen = caller.call("/open", headers=forged).json()["headers"]
        assert "x-ca-scheme" not in seen
        assert "x_ca_scheme" not in seen
