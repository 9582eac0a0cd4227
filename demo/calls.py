"""The calls that the demo plays, and what each is expected to end in."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from demo.keys import make_token
from demo.stack import Stack
from extauthz.client import Credentials, OutgoingRequest, SigningOptions, sign
from extauthz.client.curl import curl_line

APP = Credentials("demo-app-key-0001", "demo-app-secret-0001")
NO_GRANTS = Credentials("demo-app-key-0002", "demo-app-secret-0002")
EXPIRED = Credentials("demo-app-key-0003", "demo-app-secret-0003")
TEST_ONLY = Credentials("demo-app-key-0004", "demo-app-secret-0004")
WRONG_SECRET = Credentials("demo-app-key-0001", "not-the-secret")
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
JSON = {"Content-Type": "application/json", "Accept": "application/json"}


@dataclass(frozen=True)
class Call:
    """One call: what it shows, what is sent, what is expected."""

    shows: str
    network: str
    method: str
    path: str
    status: int
    code: str = ""
    """The expected X-Ca-Error-Code; empty for allowed calls."""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    backend_sees: dict[str, str | None] = field(default_factory=dict)
    """Headers that must reach the backend with this value; None: that must not reach it."""


@dataclass(frozen=True)
class Played:
    """A call and what happened."""

    call: Call
    status: int
    code: str
    message: str
    faults: list[str]

    @property
    def as_expected(self) -> bool:
        """Whether everything was as expected."""
        return not self.faults


def demo_calls(private_jwk: dict[str, Any]) -> list[Call]:
    """The calls, in order; the replay is the same request twice."""
    orders, one = "/v1/orders?status=open", "/v1/orders/42"
    token = {"Authorization": f"Bearer {make_token(private_jwk, sub='alice')}"}
    code = {"Authorization": "APPCODE demo-app-code-0001"}
    replayed = _signed("GET", orders, APP)
    other_key_token = {"Authorization": "Bearer " + make_token(private_jwk, sub="alice")[:-6] + "AAAAAA"}
    old_token = {"Authorization": f"Bearer {make_token(private_jwk, lifetime_s=-600, sub='alice')}"}
    return [
        Call("an open API", "internet", "GET", "/public/ping", 200),
        Call("an open API, forged identity", "vpc", "GET", "/public/ping", 200, headers={"X-Ca-App-Id": "admin"},
             backend_sees={"x-ca-app-id": None, "x-ca-network": "vpc"}),
        Call("AppCode in the header", "vpc", "GET", "/internal/report", 200, headers=code,
             backend_sees={"x-ca-app-id": "demo-app"}),
        Call("AppCode in the query", "vpc", "GET", "/internal/report?appCode=demo-app-code-0001", 200),
        Call("unknown AppCode", "vpc", "GET", "/internal/report", 400, "A400AC",
             headers={"Authorization": "APPCODE demo-app-code-9999"}),
        Call("a VPC-only API from the Internet", "internet", "GET", "/internal/report", 403, "A403IN", headers=code),
        Call("signed GET", "internet", "GET", orders, 200, headers=replayed,
             backend_sees={"x-ca-app-id": "demo-app", "x-ca-network": "internet"}),
        Call("the same request again", "internet", "GET", orders, 403, "S403NU", headers=replayed),
        Call("signed form POST", "vpc", "POST", "/v1/orders", 200, headers=_signed("POST", "/v1/orders", APP,
             FORM, b"item=tea&note=two+bags"), body=b"item=tea&note=two+bags"),
        Call("signed JSON PUT, HmacSHA1", "internet", "PUT", one, 200, headers=_signed("PUT", one, APP, JSON,
             b'{"item": "tea"}', algorithm="HmacSHA1"), body=b'{"item": "tea"}'),
        Call("the body changed on the way", "internet", "PUT", one, 400, "I400I5",
             headers=_signed("PUT", one, APP, JSON, b'{"item": "tea"}'), body=b'{"item": "oil"}'),
        Call("wrong secret", "internet", "GET", orders, 403, "A403SG", headers=_signed("GET", orders, WRONG_SECRET)),
        Call("an old timestamp", "internet", "GET", orders, 403, "S403TE",
             headers=_signed("GET", orders, APP, timestamp_ms=1_700_000_000_000)),
        Call("no credential", "internet", "GET", orders, 400, "A400MA"),
        Call("an app without a grant", "internet", "GET", orders, 403, "I403AA",
             headers=_signed("GET", orders, NO_GRANTS)),
        Call("an app whose grant has ended", "vpc", "GET", orders, 403, "A403EP",
             headers=_signed("GET", orders, EXPIRED)),
        Call("granted in TEST, calls RELEASE", "internet", "GET", orders, 403, "I403AA",
             headers=_signed("GET", orders, TEST_ONLY)),
        Call("granted in TEST, calls TEST", "internet", "GET", orders, 200,
             headers=_signed("GET", orders, TEST_ONLY, stage="TEST"),
             backend_sees={"x-ca-app-id": "demo-app-test-only"}),
        Call("forged identity, signed", "internet", "GET", orders, 200,
             headers=_signed("GET", orders, APP) | {"X-Ca-App-Id": "admin", "x_ca_app_id": "admin"},
             backend_sees={"x-ca-app-id": "demo-app", "x_ca_app_id": None}),
        Call("a token", "internet", "GET", "/web/profile", 200, headers=token,
             backend_sees={"x-token-sub": "alice", "x-ca-app-id": None}),
        Call("a token", "vpc", "GET", "/web/profile", 200, headers=token, backend_sees={"x-token-sub": "alice"}),
        Call("a token with another signature", "internet", "GET", "/web/profile", 403, "A403JT",
             headers=other_key_token),
        Call("a token that has expired", "internet", "GET", "/web/profile", 403, "A403JE", headers=old_token),
        Call("no token", "internet", "GET", "/web/profile", 400, "I400JR"),
        Call("a path that nobody serves", "internet", "GET", "/admin", 404, "I404NF"),
    ]  # fmt: skip


def play(stack: Stack, calls: list[Call]) -> Iterator[Played]:
    """Make the calls, one after the other."""
    with httpx.Client(timeout=10) as client:
        for call in calls:
            yield play_one(client.request, stack, call)


def play_one(request: Callable[..., httpx.Response], stack: Stack, call: Call) -> Played:
    """Make one call and compare."""
    answer = request(call.method, stack.url(call.network, call.path), headers=call.headers, content=call.body)
    code = answer.headers.get("x-ca-error-code", "")
    faults = []
    if answer.status_code != call.status:
        faults.append(f"status {answer.status_code}, expected {call.status}")
    if code != call.code:
        faults.append(f"code {code or 'none'}, expected {call.code or 'none'}")
    if not answer.headers.get("x-ca-request-id"):
        faults.append("no X-Ca-Request-Id")
    seen = answer.json().get("headers", {}) if answer.status_code == 200 else {}
    for name, value in call.backend_sees.items():
        if seen.get(name) != value:
            faults.append(f"backend saw {name}: {seen.get(name)}, expected {value}")
    return Played(call, answer.status_code, code, answer.headers.get("x-ca-error-message", ""), faults)


def curl_of(stack: Stack, call: Call) -> str:
    """The call as a line for a shell. Signed requests carry a nonce: the line works once, within 15 minutes."""
    url = stack.url(call.network, call.path)
    return curl_line(OutgoingRequest(call.method, url, body=call.body), call.headers)


def fresh_curl_line(stack: Stack) -> str:
    """A signed call that was not made yet."""
    call = Call("", "internet", "GET", "/v1/orders?a=1", 200, headers=_signed("GET", "/v1/orders?a=1", APP))
    return curl_of(stack, call)


def broken_call() -> Call:
    """A call whose signature does not match: some library put another Accept in the place of the signed one."""
    headers = _signed("GET", "/v1/orders?a=1&empty=", APP) | {"Accept": "*/*"}
    return Call("Accept changed after signing", "internet", "GET", "/v1/orders?a=1&empty=", 403, "A403SG", headers)


def _signed(
    method: str,
    path: str,
    credentials: Credentials,
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    **options: Any,
) -> dict[str, str]:
    outgoing = OutgoingRequest(method, path, headers or {"Accept": "application/json"}, body)
    return sign(outgoing, credentials, SigningOptions(nonce=str(uuid.uuid4()), **options))
