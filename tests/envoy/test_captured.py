"""A check kept on its way through the real Envoy: found by its request id, and equal to what we make up for Envoy."""

import urllib.request
from collections.abc import Iterator

import pytest

from extauthz.config import load
from extauthz.domain.request import Request
from extauthz.explain.explained import Asked, explain
from extauthz.explain.reading import read_request as read_text
from extauthz.observe.capture.configured import capture_folder
from extauthz.observe.capture.folder import Captured, CaptureFolder
from extauthz.wire.asking import Entrance, question
from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.request import read_request
from tests.envoy.test_mistaken_clients import now_ms
from tests.gateway import FORM_TYPE, Gateway, wait_for
from tests.mistaken_client import Call, Client

ADDED_BY_ENVOY = {"x-request-id", "x-forwarded-for", "x-forwarded-proto", ":scheme", "x-envoy-external-address",
                  "x-envoy-internal", "x-envoy-expected-rq-timeout-ms"}  # fmt: skip
HIDDEN = {"cookies": {"header cookie": (b"a=1,b=2", b"***")}}
"""What a kept check leaves out."""


@pytest.fixture(scope="module")
def folder(gateway: Gateway) -> Iterator[CaptureFolder]:
    """The folder of captured checks, with capture on for the demo's app."""
    folder = capture_folder(load(gateway.stack.config_file))
    assert folder is not None
    folder.ask("demo-app", "", 200, now_ms() + 600_000, "tests", "what Envoy asks")
    ready = f"http://127.0.0.1:{gateway.stack.ports.operations}/readyz"

    def is_on() -> bool:
        with urllib.request.urlopen(ready, timeout=5) as answer:
            return b"capture" in answer.read()

    wait_for(is_on, "capture to be on")
    yield folder
    folder.clear()


def unsigned(method: str = "GET", target: str = "/v1/orders", headers: str = "", body: bytes = b"") -> bytes:
    """A raw request of the demo's app whose signature is wrong; what counts here is its bytes."""
    client = Client(Call(timestamp_ms=now_ms()))
    client.secret = b"not-the-secret"
    signed = [f"{name}: {value!s}" for name, value in client.send().headers]
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", *signed, *headers.splitlines(), "Connection: close"]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


RAW = {
    "plain": unsigned(),
    "query": unsigned(target="/v1/orders?b=2&a=%20x+y&empty=&k&k=2"),
    "blanks": unsigned(headers="X-Tenant:   north  \nX-Empty:"),
    "repeated": unsigned(headers="X-Rep: 1\nX-Rep: 2\nx-rep: 3"),
    "accept twice": unsigned(headers="Accept: text/html\nAccept-Encoding: gzip\nAccept-Encoding: br"),
    "cookies": unsigned(headers="Cookie: a=1\nCookie: b=2"),
    "joined": unsigned(headers="Cache-Control: no-cache\nCache-Control: no-store\nUser-Agent: a\nUser-Agent: b"),
    "via": unsigned(headers="Via: 1.1 a\nVia: 1.1 b\nReferer: http://a/\nOrigin: http://a"),
    "latin-1": unsigned(headers="X-Name: J\xfcrgen"),
    "form": unsigned("POST", headers=f"Content-Type: {FORM_TYPE}\nContent-Length: 11", body=b"a=1&b=%E8&c"),
    "chunked": unsigned("POST", headers="Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n"),
    "absolute": unsigned(target="http://127.0.0.1/v1/orders?a=1"),
    "port in host": unsigned().replace(b"Host: 127.0.0.1", b"Host: 127.0.0.1:8080"),
    "capital host": unsigned().replace(b"Host: 127.0.0.1", b"Host: API.Example.COM"),
}


def differences(ours: Request, envoys: Request) -> dict[str, object]:
    """What differs in two requests, but for what Envoy alone knows or adds."""
    mine, theirs = (
        one._replace(headers={}, parsed=None, context={}, stream_id="", envoy_claims=None)._asdict()
        | {f"header {name}": value for name, value in one.headers.items() if name not in ADDED_BY_ENVOY}
        for one in (ours, envoys)
    )
    return {name: (mine.get(name), theirs.get(name)) for name in mine | theirs if mine.get(name) != theirs.get(name)}


def kept(folder: CaptureFolder, request_id: str) -> Captured:
    return wait_for(lambda: next((one for one in folder.captured() if one.id == request_id), None), "a kept check")


@pytest.mark.parametrize("name", RAW)
def test_the_question_that_is_made_up_is_the_one_that_envoy_asks(gateway: Gateway, folder: CaptureFolder, name: str):
    answer = gateway.send(RAW[name])
    assert (answer.status, answer.code) == (403, "A403SG"), answer.message
    snapshot = load(gateway.stack.config_file).snapshot
    settings = snapshot.gateway.settings
    captured = kept(folder, answer.request_id)
    asked = read_request(pb.CheckRequest.FromString(captured.question), None, settings)
    entrance = Entrance({"extauthz.network": "internet"}, asked.peer)
    made_up = pb.CheckRequest.FromString(question(read_text(RAW[name]), entrance))
    assert differences(read_request(made_up, None, settings), asked) == HIDDEN.get(name, {})
    explained = explain(Asked(captured.question), snapshot, captured.at_ms)
    assert explained.way.checked.label == captured.reason == gateway.reason(answer)
    assert (captured.app, captured.network) == ("demo-app", "internet")
