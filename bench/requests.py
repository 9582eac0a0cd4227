"""Serialized CheckRequests as a real Envoy 1.40 sends them for a browser or an SDK, one builder for each method."""

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import jwt

from bench.world import APP_KEY, HOST, KID, World
from extauthz.client.signer import Credentials, OutgoingRequest, SigningOptions, sign
from extauthz.wire.generated import ext_authz_pb2 as pb

NONE: Final = "none"
APP_CODE: Final = "appcode"
DIGEST_GET: Final = "digest_get"
DIGEST_POST: Final = "digest_post"
JWT: Final = "jwt_repeated"
REFUSED: Final = "refused_signature"
METHODS: Final = (NONE, APP_CODE, DIGEST_GET, DIGEST_POST, JWT, REFUSED)
WORDS: Final = {
    NONE: "none",
    APP_CODE: "AppCode",
    DIGEST_GET: "digest, GET",
    DIGEST_POST: "digest, POST of 1 KiB",
    JWT: "JWT seen before",
    REFUSED: "digest, signature refused",
}
DENIED: Final = frozenset({REFUSED})
BODY_BYTES: Final = 1024

_SDK: Final = {
    "accept": "application/json; charset=utf-8",
    "accept-encoding": "gzip, deflate",
    "user-agent": "ALIYUN-ANDROID-DEMO",
    "content-type": "application/json; charset=utf-8",
    "date": "Mon, 23 Nov 2026 09:00:00 GMT",
}
_BROWSER: Final = {
    "accept": "application/json, text/plain, */*",
    "accept-encoding": "gzip, deflate, br, zstd",
    "accept-language": "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7",
    "cookie": "session=3f1b0c9d5b8e4d0f9f6f6a3f6e1f7c55; theme=dark; _ga=GA1.1.1234567890.1700000000",
    "origin": "https://www.example.com",
    "referer": "https://www.example.com/account/profile",
    "sec-ch-ua": '"Chromium";v="142", "Not_A Brand";v="99"',
    "sec-ch-ua-mobile": "?0",
    "sec-ch-ua-platform": '"Linux"',
    "sec-fetch-dest": "empty",
    "sec-fetch-mode": "cors",
    "sec-fetch-site": "same-site",
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0",
}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What a client sends."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


def http_request(world: World, method: str, *, nonce: str = "", token: str | None = None) -> HttpRequest:
    """The request of a client that proves itself by ``method``. Signed now: good for fifteen minutes.

    Without a nonce, so that it may be sent again and again; the cost of a nonce is measured on its own.
    """
    if method == NONE:
        return HttpRequest("GET", "/public/ping", _BROWSER)
    if method == APP_CODE:
        return HttpRequest(
            "GET", "/internal/report?day=2026-11-23", {**_SDK, "authorization": f"APPCODE {world.app_code}"}
        )
    if method == JWT:
        return HttpRequest("GET", "/web/profile", {**_BROWSER, "authorization": f"Bearer {token or make_token(world)}"})
    if method == DIGEST_POST:
        body = json.dumps({"item": "tea", "note": "x" * BODY_BYTES})[:BODY_BYTES].encode()
        return _signed(world, OutgoingRequest("POST", "/v1/orders", _SDK, body), nonce)
    request = _signed(world, OutgoingRequest("GET", "/v1/orders/8123?expand=items&page=2&size=20", _SDK), nonce)
    if method == REFUSED:
        signature = request.headers["X-Ca-Signature"]
        spoiled = ("B" if signature[0] == "A" else "A") + signature[1:]
        return HttpRequest("GET", request.path, {**request.headers, "X-Ca-Signature": spoiled})
    if method == DIGEST_GET:
        return request
    raise ValueError(f"no such method: {method}")


def signed_check(world: World, number: int, app: tuple[str, str] | None = None, *, spoiled: bool = False) -> bytes:
    """A signed GET with a nonce, as every SDK sends it. ``app``: AppKey and AppSecret, where it is another caller."""
    asked = OutgoingRequest("GET", f"/v1/orders?expand=items&page={number}&size=20", _SDK)
    signed = _signed(world, asked, f"{number:036}", app)
    if spoiled:
        signature = signed.headers["X-Ca-Signature"]
        spoilt = ("B" if signature[0] == "A" else "A") + signature[1:]
        signed = HttpRequest("GET", signed.path, {**signed.headers, "X-Ca-Signature": spoilt})
    return as_envoy_sends(signed)


def coded_check(world: World, number: int, *, spoiled: bool = False) -> bytes:
    """An AppCode."""
    code = f"nobodys-{number:024}" if spoiled else world.app_code
    headers = {**_SDK, "authorization": f"APPCODE {code}"}
    return as_envoy_sends(HttpRequest("GET", f"/internal/report?page={number}", headers))


def token_check(world: World, token: str, number: int, *, spoiled: bool = False) -> bytes:
    """A token; spoiled: with the signature of another."""
    if spoiled:
        begin, _, signature = token.rpartition(".")
        token = f"{begin}.{('B' if signature[0] == 'A' else 'A') + signature[1:]}"
    return as_envoy_sends(
        HttpRequest("GET", f"/web/profile?page={number}", {**_BROWSER, "authorization": f"Bearer {token}"})
    )


def check_request(
    world: World, method: str, *, header_map: bool = True, nonce: str = "", token: str | None = None
) -> bytes:
    """The serialized CheckRequest for it. ``header_map``: as Envoy sends it with ``encode_raw_headers``."""
    return as_envoy_sends(http_request(world, method, nonce=nonce, token=token), header_map=header_map)


def as_envoy_sends(request: HttpRequest, *, header_map: bool = True) -> bytes:
    """What Envoy asks about a request: pseudo headers first, names in lower case, its own headers added."""
    headers = {
        ":authority": HOST,
        ":path": request.path,
        ":method": request.method,
        ":scheme": "https",
        **{name.lower(): value for name, value in request.headers.items()},
        "x-forwarded-for": "203.0.113.7",
        "x-forwarded-proto": "https",
        "x-envoy-external-address": "203.0.113.7",
        "x-request-id": str(uuid.uuid4()),
    }
    if request.body:
        headers |= {"content-length": str(len(request.body)), "x-envoy-auth-partial-body": "false"}
    http = pb.AttributeContext.HttpRequest(
        id=str(uuid.uuid4().int >> 64),
        method=request.method,
        path=request.path,
        host=HOST,
        scheme="https",
        size=len(request.body),
        protocol="HTTP/2",
        raw_body=request.body,
    )
    if header_map:
        http.header_map.headers.extend(
            pb.HeaderValue(key=name, raw_value=value.encode()) for name, value in headers.items()
        )
    else:
        http.headers.update(headers)
    asked = pb.AttributeContext.Request(http=http)
    # request.time, a Timestamp that we do not read: Envoy sends it, so the parser has to skip it.
    timestamp = b"\x08" + _varint(int(time.time())) + b"\x10" + _varint(123_456_789)
    asked.MergeFromString(b"\x0a" + _varint(len(timestamp)) + timestamp)
    message = pb.CheckRequest(
        attributes=pb.AttributeContext(
            source=_peer("203.0.113.7", 52_344),
            destination=_peer("10.0.0.5", 8443),
            request=asked,
            context_extensions={"extauthz.network": "internet"},
        )
    )
    return message.SerializeToString()


def make_token(world: World, number: int = 0) -> str:
    """A token for ``/web/profile``, good for an hour. Different numbers make different tokens."""
    now = int(time.time())
    claims = {
        "iss": "https://login.example.com",
        "sub": f"user-{number:08}",
        "aud": "web",
        "iat": now,
        "exp": now + 3600,
    }
    return jwt.encode(claims, world.token_key, algorithm="RS256", headers={"kid": KID})


def frame(message: bytes) -> bytes:
    """A gRPC message as it stands in an HTTP/2 body."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def _signed(world: World, request: OutgoingRequest, nonce: str, app: tuple[str, str] | None = None) -> HttpRequest:
    credentials = Credentials(*(app or (APP_KEY, world.app_secret)))
    headers = sign(request, credentials, SigningOptions(nonce=nonce))
    return HttpRequest(request.method, request.url, headers, request.body)


def _peer(address: str, port: int) -> pb.AttributeContext.Peer:
    return pb.AttributeContext.Peer(
        address=pb.Address(socket_address=pb.SocketAddress(address=address, port_value=port))
    )


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
