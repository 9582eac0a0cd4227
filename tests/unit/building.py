"""Requests and snapshots for tests: real domain objects, with defaults that a test overrides where it matters."""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from extauthz.auth.string_to_sign import StringToSign, signed_names
from extauthz.client import Credentials, OutgoingRequest, SigningOptions, sign
from extauthz.domain.api import Api, ApiGroup, AuthMethod, AuthPolicy, DigestRules, Strictness
from extauthz.domain.app import HMAC_SHA1, HMAC_SHA256, App, Grant, KeyPair, hash_app_code, sign_with
from extauthz.domain.decision import Allow, Deny
from extauthz.domain.request import Delivery, Network, Request, Stage
from extauthz.domain.settings import Settings
from extauthz.domain.snapshot import Snapshot
from extauthz.domain.snapshot.directory import EMPTY, build_directory
from extauthz.domain.snapshot.gateway import build_gateway
from extauthz.wire.checked import Checked, checked

NOW_MS = 1_700_000_000_000
NOW_S = NOW_MS // 1000
KEY = "demo-app-key-0001"
SECRET = "demo-app-secret-0001"
CODE = "demo-app-code-0001"
FORM = "application/x-www-form-urlencoded"
GROUP = ApiGroup("demo", frozenset({"*"}))
APP = App("demo-app", "demo")
BOTH_ALGORITHMS = DigestRules(algorithms=frozenset({HMAC_SHA256, HMAC_SHA1}))
STRICT = DigestRules(algorithms=frozenset({HMAC_SHA256, HMAC_SHA1}), strict=Strictness.ON)

NONE, APP_CODE, DIGEST, JWT = AuthMethod.NONE, AuthMethod.APP_CODE, AuthMethod.DIGEST, AuthMethod.JWT


def policy(*alternatives: Iterable[str] | AuthMethod) -> AuthPolicy:
    """Each argument is one alternative: a method, or methods that must all hold."""
    sets = []
    for one in alternatives:
        methods = {one} if isinstance(one, AuthMethod) else set(one)
        sets.append(frozenset(methods - {NONE}))
    return AuthPolicy(tuple(sets))


def api(*alternatives: Iterable[str] | AuthMethod, **changes: Any) -> Api:
    """An API open on both networks with the given alternatives; it matches every path of its own."""
    opened = policy(*(alternatives or (DIGEST,)))
    defaults: dict[str, Any] = {
        "id": "orders",
        "group": GROUP,
        "methods": frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"}),
        "path": "/*",
        "stages": frozenset({Stage.RELEASE, Stage.TEST}),
        "auth": {Network.INTERNET: opened, Network.VPC: opened},
        "digest": BOTH_ALGORITHMS,
    }
    return Api(**{**defaults, **changes})


def snapshot(
    *apis: Api,
    app: App = APP,
    keys: Mapping[str, str] | None = None,
    codes: Iterable[str] = (CODE,),
    grants: Iterable[Grant] | None = None,
    settings: Settings | None = None,
) -> Snapshot:
    """A snapshot with one app; unless told otherwise it is granted every API in every stage."""
    everything = [Grant(app.id, one.id, stage) for one in apis for stage in one.stages]
    directory = build_directory(
        "directory",
        [app],
        [KeyPair(app.id, key, secret.encode()) for key, secret in ({KEY: SECRET} if keys is None else keys).items()],
        [(hash_app_code(code.encode()), app.id) for code in codes],
        everything if grants is None else grants,
    )
    return Snapshot(build_gateway("gateway", NOW_MS, settings or Settings(), apis), directory)


def request(
    method: str = "GET",
    target: str = "/v1/orders",
    headers: Mapping[str, str | bytes] | Iterable[tuple[str, str | bytes]] = (),
    body: bytes = b"",
    **changes: Any,
) -> Request:
    """A request as the decision sees it. Header names may be in any case; repeated ones are joined and noted."""
    joined: dict[str, bytes] = {}
    firsts: dict[str, bytes] = {}
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        lower, encoded = name.lower(), value if isinstance(value, bytes) else value.encode()
        if lower in joined:
            firsts.setdefault(lower, joined[lower])
            encoded = joined[lower] + b"," + encoded
        joined[lower] = encoded
    path, _, query = target.partition("?")
    made = Request(
        stream_id="stream-1", method=method, host="api.example.com", path=path, query=query, headers=joined,
        repeated=frozenset(firsts), body=body, delivery=Delivery.WHOLE, network=Network.INTERNET, scheme="https",
        peer="192.0.2.1", context={}, firsts=firsts,
    )  # fmt: skip
    return made._replace(**changes)


def signed(
    method: str = "GET",
    target: str = "/v1/orders",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    options: SigningOptions | None = None,
    secret: str = SECRET,
    key: str = KEY,
    **changes: Any,
) -> Request:
    """A request that was signed at NOW_MS with a fixed nonce."""
    chosen = options or SigningOptions(timestamp_ms=NOW_MS, nonce="nonce-1")
    sent = sign(OutgoingRequest(method, target, headers or {}, body), Credentials(key, secret), chosen)
    return request(method, target, sent, body, **changes)


def resigned(sent: Request, secret: str = SECRET) -> Request:
    """The same request with the HmacSHA256 signature that its headers call for, whatever they are."""
    names = signed_names(sent.headers.get("x-ca-signature-headers", b""))
    assert names is not None
    signature = sign_with(secret.encode(), HMAC_SHA256, StringToSign(sent, names).primary())
    return sent._replace(headers={**sent.headers, "x-ca-signature": base64.b64encode(signature)})


def from_vector(vector: Mapping[str, Any]) -> Request:
    """The request of an entry in a vectors file."""
    return request(vector["method"], vector["target"], vector["headers"], base64.b64decode(vector["body_base64"]))


_NO_APIS = build_gateway("r1", NOW_MS, Settings(), [])


def record_of(
    check_id: str, sent: Request | None, decision: Allow | Deny, seconds: float, revision: str = "r1"
) -> Checked:
    """The record of a check as the servicer would make it."""
    network = Network.INTERNET if sent is None else sent.network
    made = checked(check_id, 0.0, network, sent, decision, Snapshot(_NO_APIS, EMPTY), revision)
    return made._replace(seconds=seconds)
