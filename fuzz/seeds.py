"""Where the fuzzer begins: one input for each thing that the service reads, and the words that it looks for."""

import base64
from collections.abc import Mapping
from typing import Final

from fuzz.text import check_request
from fuzz.world import APP_KEY, NOW_MS

_FORM: Final = b"application/x-www-form-urlencoded"
_SIGNED: Final = b"\n".join(
    [
        b"accept: */*",
        b"x-ca-key: " + APP_KEY.encode(),
        b"x-ca-timestamp: %d" % NOW_MS,
        b"x-ca-nonce: n-1",
        b"x-ca-signature-headers: X-Ca-Key,X-Ca-Nonce,X-Ca-Timestamp",
        b"x-ca-signature: " + b"A" * 43 + b"=",
    ]
)
_REQUESTS: Final = (
    b"GET /public/ping api.example.com internet",
    b"GET /internal/report?appCode=guessed api.example.com vpc",
    b"GET /internal/report api.example.com vpc\nauthorization: APPCODE guessed",
    b"GET /web/profile api.example.com\nauthorization: Bearer eyJhbGciOiJSUzI1NiJ9.e30.AAAA",
    b"GET /v1/orders?b=2&a=%E6%9D%AD+1&a=3 api.example.com internet\n" + _SIGNED,
    b"POST /v1/orders/%34%32?q=1 api.example.com vpc\ncontent-type: " + _FORM + b"\n" + _SIGNED + b"\n\nq=2&r=%41&s",
    b"POST /v1/orders api.example.com vpc\ncontent-type: text/plain\ncontent-md5: AAAA\n" + _SIGNED + b"\n\nbody",
    b"PUT /v1/orders a.b:80 internet\nx-ca-stage: test\nx-ca-signature-method: HmacSHA1\n" + _SIGNED,
    b"CONNECT * [::1]:80 vpc\nupgrade: websocket\ncontent-type: application/grpc\nx_ca_app_id: 1",
)
_CLAIMS: Final = b'{"sub":"a","iat":%d,"exp":%d,"nbf":0,"roles":["a","b"],"n":1.5}' % (
    NOW_MS // 1000,
    NOW_MS // 1000 + 60,
)


def _token(header: bytes, claims: bytes) -> bytes:
    return b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, claims, b"signature"))


SEEDS: Final[Mapping[str, tuple[bytes, ...]]] = {
    "check": (*_REQUESTS, *(check_request(one).SerializeToString() for one in _REQUESTS), b""),
    "sign": _REQUESTS,
    "token": (
        _CLAIMS,
        b'{"exp":1e400,"sub":["a",{"b":[[]]}]}',
        _token(b'{"alg":"HS256"}', _CLAIMS),
        _token(b'{"alg":"none"}', _CLAIMS),
        _token(b'{"alg":"HS384","kid":"k","typ":"JWT","crit":["b64"],"b64":false}', b"[[[[{}]]]]"),
    ),
    "path": (
        b"/", b"/v1/orders/42", b"/v1/%6frders/%E6%9D%AD", b"/a/./b", b"/a/%2e%2e/b", b"/a;b", b"/a%2Fb", b"/%", b"//a",
        b"/a\\b", b"/a%255c", b"/a/...", b"/a+b/\xe6\x9d\xad", b"*",
    ),
}  # fmt: skip
WORDS: Final = (
    "x-ca-key", "x-ca-signature", "x-ca-signature-headers", "x-ca-signature-method", "x-ca-timestamp", "x-ca-nonce",
    "x-ca-stage", "authorization", "content-type", "content-length", "content-md5", "accept", "date", "cookie",
    "upgrade", "x-envoy-auth-partial-body", "HmacSHA1", "HmacSHA256", "APPCODE ", "Bearer ", "internet", "vpc",
    "RELEASE", "TEST", "PRE", "/public/ping", "/internal/report", "/v1/orders", "/web/profile", "?appCode=", "%2F",
    "%2e", "%00", "%25", "%F0%9F%98%80", "%EE%80%80", "alg", "none", "crit", "exp", "nbf", "NaN", "Infinity", "1e999",
    "application/x-www-form-urlencoded", APP_KEY, str(NOW_MS),
)  # fmt: skip
