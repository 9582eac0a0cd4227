"""Signing a request the way the vendor's SDKs do, with the very code that verifies it."""

import base64
import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from extauthz.auth.parameters import TOO_MANY, is_form
from extauthz.auth.string_to_sign import StringToSign, signed_names
from extauthz.domain.app import HMAC_SHA1, HMAC_SHA256, sign_with
from extauthz.domain.clock import wall_clock_ms
from extauthz.domain.header_names import (
    PREFIX,
    X_CA_KEY,
    X_CA_NONCE,
    X_CA_SIGNATURE,
    X_CA_SIGNATURE_HEADERS,
    X_CA_SIGNATURE_METHOD,
    X_CA_STAGE,
    X_CA_TIMESTAMP,
    as_written,
)
from extauthz.domain.request import Delivery, Network, Request


@dataclass(frozen=True, slots=True)
class Credentials:
    """An AppKey and its AppSecret. The secret is not in ``repr``."""

    app_key: str
    app_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """A request about to be sent. ``url`` may be absolute or begin with the path; it must be percent-encoded."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class SigningOptions:
    """What the SDKs let a caller choose. The defaults are what most of them send."""

    algorithm: str = HMAC_SHA256
    """HmacSHA256 or HmacSHA1."""
    timestamp_ms: int | None = None
    """Milliseconds since 1970; None: now."""
    nonce: str | None = None
    """None: a new UUID; an empty text: no nonce at all."""
    stage: str | None = None
    sign_headers: tuple[str, ...] = ()
    """Further headers of the request to sign, beside every X-Ca-* header."""
    content_md5: bool = True
    """Whether a body that is no form is bound by Content-MD5."""


def sign(request: OutgoingRequest, credentials: Credentials, options: SigningOptions | None = None) -> dict[str, str]:
    """The headers to send: those of the request plus the signature's.

    Send Accept as it is here, or the signature will not hold: where the request has none, ``*/*`` is set, which is
    what most HTTP libraries would add anyway.

    Raises ValueError for an unknown algorithm or a header that is to be signed and is not in the request.
    """
    headers = _headers_to_send(request, credentials, options or SigningOptions())
    string = _string_to_sign(request, headers)
    algorithm = (options or SigningOptions()).algorithm
    signature = sign_with(credentials.app_secret.encode(), algorithm, string)
    return {**headers, as_written(X_CA_SIGNATURE): base64.b64encode(signature).decode()}


def string_to_sign(request: OutgoingRequest, headers: Mapping[str, str]) -> str:
    """The string to sign of a request with these headers (as ``sign`` returned them), for comparing with a server's."""
    return _string_to_sign(request, headers).decode("utf-8", "replace")


def path_and_query(url: str) -> tuple[str, str]:
    """Path and query of a URL as they go on the wire. Not a URI parser: nothing is decoded or normalized."""
    rest = url.partition("#")[0]
    if "://" in rest.partition("?")[0]:
        authority_and_path = rest.partition("://")[2]
        slash = min((i for i in (authority_and_path.find("/"), authority_and_path.find("?")) if i >= 0), default=-1)
        rest = authority_and_path[slash:] if slash >= 0 else "/"
    path, _, query = rest.partition("?")
    return path or "/", query


def _headers_to_send(request: OutgoingRequest, credentials: Credentials, options: SigningOptions) -> dict[str, str]:
    if options.algorithm not in (HMAC_SHA256, HMAC_SHA1):
        raise ValueError(f"algorithm must be {HMAC_SHA256} or {HMAC_SHA1}, not {options.algorithm!r}")
    headers = dict(request.headers)
    present = {name.lower() for name in headers}
    missing = [name for name in options.sign_headers if name.lower() not in present]
    if missing:
        raise ValueError(f"cannot sign headers that the request does not have: {', '.join(missing)}")
    if "accept" not in present:
        headers["Accept"] = "*/*"
    content_type = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    bind = options.content_md5 and request.body and not is_form(content_type.encode())
    if bind and "content-md5" not in present:
        headers["Content-MD5"] = base64.b64encode(hashlib.md5(request.body, usedforsecurity=False).digest()).decode()
    headers[as_written(X_CA_KEY)] = credentials.app_key
    headers[as_written(X_CA_TIMESTAMP)] = str(wall_clock_ms() if options.timestamp_ms is None else options.timestamp_ms)
    if options.nonce != "":
        headers[as_written(X_CA_NONCE)] = options.nonce or str(uuid.uuid4())
    if options.stage is not None:
        headers[as_written(X_CA_STAGE)] = options.stage
    if options.algorithm != HMAC_SHA256:
        headers[as_written(X_CA_SIGNATURE_METHOD)] = options.algorithm
    listed = [name for name in headers if name.lower().startswith(PREFIX)]
    headers[as_written(X_CA_SIGNATURE_HEADERS)] = ",".join(sorted({*listed, *options.sign_headers}))
    return headers


def _string_to_sign(request: OutgoingRequest, headers: Mapping[str, str]) -> bytes:
    path, query = path_and_query(request.url)
    lower = {name.lower(): value.encode() for name, value in headers.items()}
    names = signed_names(lower.get(X_CA_SIGNATURE_HEADERS, b""))
    if names is None:
        raise ValueError("a header to sign has a name that no header can have")
    as_received = Request(
        stream_id="", method=request.method, host="", path=path, query=query, headers=lower,
        repeated=frozenset(), body=request.body, delivery=Delivery.WHOLE, network=Network.INTERNET, scheme="", peer="",
        context={},
    )  # fmt: skip
    string = StringToSign(as_received, names)
    if string.query is None or string.form is None:
        raise ValueError(TOO_MANY)
    return string.primary()
