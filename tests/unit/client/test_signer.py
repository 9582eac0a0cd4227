"""Our own client: a thin public API whose signatures hold."""

import asyncio
import inspect

import httpx
import pytest

import extauthz.client
from extauthz.auth import digest
from extauthz.client import Credentials, OutgoingRequest, SignedAuth, SigningOptions, sign, string_to_sign
from extauthz.client.comparison import compare_strings
from extauthz.client.signer import path_and_query
from extauthz.domain.decision import Proof
from tests.unit.building import FORM, KEY, NOW_MS, SECRET, api, request, snapshot

CREDENTIALS = Credentials(KEY, SECRET)
FIXED = SigningOptions(timestamp_ms=NOW_MS)


@pytest.mark.parametrize(
    ("url", "parts"),
    [("/a?b=1", ("/a", "b=1")), ("https://x.com/a/b?c#d", ("/a/b", "c")), ("https://x.com", ("/", "")),
     ("https://x.com?a=1", ("/", "a=1")), ("/a?u=http://y/z", ("/a", "u=http://y/z")), ("/a#b?c", ("/a", "")),
     ("https://x.com:8443/a", ("/a", "")), ("/%E8%8C%B6", ("/%E8%8C%B6", "")), ("", ("/", ""))],
)  # fmt: skip
def test_a_url_is_cut_and_not_rewritten(url, parts):
    assert path_and_query(url) == parts


def test_a_signed_request_carries_what_the_vendors_sdks_send():
    headers = sign(OutgoingRequest("POST", "/a", {"Content-Type": "application/json"}, b"{}"), CREDENTIALS, FIXED)
    assert set(headers) == {"Content-Type", "Accept", "Content-MD5", "X-Ca-Key", "X-Ca-Timestamp", "X-Ca-Nonce",
                            "X-Ca-Signature-Headers", "X-Ca-Signature"}  # fmt: skip
    assert headers["X-Ca-Signature-Headers"] == "X-Ca-Key,X-Ca-Nonce,X-Ca-Timestamp"
    assert headers["Accept"] == "*/*"


def test_a_form_needs_no_content_md5_because_its_fields_are_signed():
    assert "Content-MD5" not in sign(OutgoingRequest("POST", "/a", {"Content-Type": FORM}, b"a=1"), CREDENTIALS, FIXED)


def test_two_requests_have_two_nonces():
    sent = OutgoingRequest("GET", "/a")
    assert sign(sent, CREDENTIALS)["X-Ca-Nonce"] != sign(sent, CREDENTIALS)["X-Ca-Nonce"]


def test_what_cannot_be_signed_is_said():
    with pytest.raises(ValueError, match="HmacMD5"):
        sign(OutgoingRequest("GET", "/a"), CREDENTIALS, SigningOptions("HmacMD5"))
    with pytest.raises(ValueError, match="X-Tenant"):
        sign(OutgoingRequest("GET", "/a"), CREDENTIALS, SigningOptions(sign_headers=("X-Tenant",)))
    with pytest.raises(ValueError, match="name"):
        sign(OutgoingRequest("GET", "/a", {"X Bad": "1"}), CREDENTIALS, SigningOptions(sign_headers=("X Bad",)))


def test_the_string_to_sign_can_be_compared_with_a_servers():
    sent = OutgoingRequest("GET", "/v1/orders?b=2&a=1", {"Accept": "application/json"})
    headers = sign(sent, CREDENTIALS, SigningOptions(timestamp_ms=NOW_MS, nonce=""))
    assert string_to_sign(sent, headers) == (
        f"GET\napplication/json\n\n\n\nX-Ca-Key:{KEY}\nX-Ca-Timestamp:{NOW_MS}\n/v1/orders?a=1&b=2"
    )


def verified(sent: httpx.Request):
    target = sent.url.raw_path.decode()
    arrived = request(sent.method, target, dict(sent.headers), sent.content)
    now_ms = int(sent.headers["x-ca-timestamp"])
    return isinstance(digest.authenticate(arrived, api(), snapshot(api()), now_ms), Proof)


SENT = [
    ("GET", "https://api.example.com/v1/orders?a=1&b=x y&ü=茶", {}),
    ("POST", "https://api.example.com/v1/orders", {"json": {"a": "茶"}}),
    ("POST", "https://api.example.com/v1/orders?q=1", {"data": {"a": "x y", "b": "1+1"}}),
    ("PUT", "https://api.example.com/v1/茶", {"content": b"\x00\xff"}),
    ("DELETE", "https://api.example.com", {}),
]


@pytest.mark.parametrize(("method", "url", "body"), SENT)
def test_httpx_signs_what_it_sends(method, url, body):
    seen = []
    transport = httpx.MockTransport(lambda sent: seen.append(sent) or httpx.Response(200))
    with httpx.Client(transport=transport, auth=SignedAuth(CREDENTIALS)) as client:
        client.request(method, url, **body)
    assert verified(seen[0])


def test_httpx_signs_asynchronously_and_every_request_anew():
    seen = []

    async def call():
        transport = httpx.MockTransport(lambda sent: seen.append(sent) or httpx.Response(200))
        async with httpx.AsyncClient(transport=transport, auth=SignedAuth(CREDENTIALS)) as client:
            for _ in range(2):
                await client.get("https://api.example.com/v1/orders")

    asyncio.run(call())
    assert [verified(sent) for sent in seen] == [True, True]
    assert seen[0].headers["x-ca-nonce"] != seen[1].headers["x-ca-nonce"]


def test_the_public_names_are_documented():
    assert all(inspect.getdoc(getattr(extauthz.client, name)) for name in extauthz.client.__all__)


def test_a_value_that_the_echo_does_not_show_is_named_when_all_else_is_the_same():
    ours = "GET\n*/*\n\n\n\nX-Ca-Key:k\nX-Tenant:blue\n/a"
    echo = "Invalid Signature, Server StringToSign:`GET#*/*####X-Ca-Key:k#X-Tenant:***#/a`"
    assert "X-Tenant" in compare_strings(ours, echo)
    assert "the same string" in compare_strings(ours, echo)
    absent = compare_strings(ours, echo.replace("X-Tenant:***", "X-Tenant:"))
    assert "part at line 7" in absent
    assert compare_strings(ours, echo.replace(":k#", ":other#")).startswith("The strings to sign part at line 6")
    assert "differ in length" in compare_strings(ours, echo.replace("/a`", "/a#b`"))


def test_what_no_server_would_read_is_not_signed():
    with pytest.raises(ValueError, match="too many parameters"):
        sign(OutgoingRequest("GET", "/?" + "a=1&" * 5_001), CREDENTIALS)
