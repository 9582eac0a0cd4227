"""The fuzz targets: each takes bytes that a stranger chose and raises AssertionError where a promise breaks."""

import base64
import hashlib
import hmac
import json
import posixpath
import secrets
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

from extauthz.auth import jwt
from extauthz.auth.strict import strict_violation
from extauthz.auth.string_to_sign import StringToSign, signed_names
from extauthz.domain import reason
from extauthz.domain.api import Api, ApiGroup, AuthMethod, AuthPolicy
from extauthz.domain.decision import Allow, Decision, Proof
from extauthz.domain.request import Network, Request, Stage
from extauthz.domain.routing.path import decoded_segments, path_fault
from extauthz.domain.settings import Settings
from extauthz.domain.snapshot import Snapshot
from extauthz.domain.snapshot.directory import EMPTY
from extauthz.domain.snapshot.gateway import build_gateway
from extauthz.domain.tokens.jwk import KeySet, read_key
from extauthz.domain.tokens.jwt import ClaimHeader, JwtPlugin
from extauthz.domain.tokens.key_source import KeySource
from extauthz.replay.memory import MemoryReplayStore
from extauthz.wire.checked import Checked
from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.servicer import Servicer
from fuzz import oracle, text
from fuzz.world import NOW_MS, snapshot

_OPEN_API: Final = "ping"
_SECRET: Final = secrets.token_bytes(64)
_TOKEN_HEADER: Final = base64.urlsafe_b64encode(b'{"alg":"HS256"}').rstrip(b"=")


class _LastDecision:
    decision: Decision | None = None

    def record(self, checked: Checked) -> bool:
        self.decision = checked.decision
        return True


@cache
def _serving() -> tuple[Servicer, _LastDecision]:
    seen = _LastDecision()
    return Servicer(snapshot(), MemoryReplayStore(1000), seen, lambda: NOW_MS), seen


def check(data: bytes) -> None:
    """Bytes to decision. It never raises, never fails inside, and opens nothing protected without a proof."""
    # A capital letter begins a request in lines; what begins otherwise is taken for protobuf, as a peer could send it.
    payload = text.check_request(data).SerializeToString() if data[:1].isalpha() and data[:1].isupper() else data
    servicer, seen = _serving()
    seen.decision = None
    answer = servicer.check(payload)
    assert isinstance(answer, bytes), "an in-memory store answers at once"
    decision = seen.decision
    response = pb.CheckResponse.FromString(answer)
    if isinstance(decision, Allow):
        assert decision.about.api is not None
        assert decision.about.api.id == _OPEN_API, "a protected API opened without a proof"
        assert response.status.code == 0
        assert response.WhichOneof("http_response") == "ok_response"
        assert not response.ok_response.headers or decision.about.app is None
        return
    assert decision is not None, "a decision that nobody was told of"
    assert decision.reason is not reason.INTERNAL_ERROR, "an exception inside the check"
    assert response.status.code != 0, "a denial with status 0"
    assert response.WhichOneof("http_response") == "denied_response"
    assert 400 <= response.denied_response.status.code <= 599
    for header in response.denied_response.headers:
        assert not any(character < " " or character == "\x7f" for character in header.header.value)


def sign(data: bytes) -> None:
    """The string to sign: as a second, plain implementation writes it; under strict mode it can be read back."""
    request = text.request(data)
    listed = request.headers.get("x-ca-signature-headers", b"")
    names = signed_names(listed)
    if names is None:
        return
    string = StringToSign(request, names)
    primary = string.primary()
    assert primary == oracle.string_to_sign(request, listed)
    for other in string.others():
        assert other.head.startswith(request.method.upper().encode() + b"\n")
    if not strict_violation(request, names, string) and not path_fault(request.path):
        _read_back(primary, request)


def _read_back(primary: bytes, request: Request) -> None:
    """Whoever holds a string to sign that strict mode accepts knows method, path and every parameter."""
    assert primary.split(b"\n", 1)[0] == request.method.upper().encode()
    path, _, encoded = primary.rpartition(b"\n")[2].partition(b"?")
    assert path == request.path.encode()
    read = [tuple(pair.partition(b"=")[::2]) for pair in encoded.split(b"&")] if encoded else []
    sent = oracle.parameters(request.query.encode())
    if oracle.is_form(request):
        sent += oracle.parameters(request.body)
    assert sorted(read) == sorted(sent)


@cache
def _token_api() -> Api:
    key = read_key({"kty": "oct", "k": base64.urlsafe_b64encode(_SECRET).decode()})
    claims = tuple(ClaimHeader((name,), f"x-{name}") for name in ("sub", "roles", "n"))
    plugin = JwtPlugin("login", KeySource.fixed(KeySet((key,))), frozenset({"HS256", "HS384"}), claim_headers=claims)
    policy = AuthPolicy((frozenset({AuthMethod.JWT}),))
    return Api(
        "web", ApiGroup("g", frozenset({"*"})), frozenset({"GET"}), "/", frozenset({Stage.RELEASE}),
        {Network.INTERNET: policy}, jwt=plugin,
    )  # fmt: skip


@cache
def _token_snapshot() -> Snapshot:
    return Snapshot(build_gateway("r", 0, Settings(), [_token_api()]), EMPTY)


def token(data: bytes) -> None:
    """Tokens of strangers are refused; whatever JSON a trusted issuer signs, what is accepted still lives."""
    ours = data[:1] == b"{"
    if ours:
        unsigned = _TOKEN_HEADER + b"." + base64.urlsafe_b64encode(data).rstrip(b"=")
        signature = base64.urlsafe_b64encode(hmac.digest(_SECRET, unsigned, hashlib.sha256)).rstrip(b"=")
        value = unsigned + b"." + signature
    else:
        value = data
    request = text.request(b"GET / h")._replace(headers={"authorization": b"Bearer " + value})
    outcome = jwt.authenticate(request, _token_api(), _token_snapshot(), NOW_MS)
    if not isinstance(outcome, Proof):
        return
    assert ours, "a token opened that nobody of ours signed"
    claims = json.loads(data)
    assert claims["exp"] + 60 > NOW_MS // 1000
    assert claims.get("nbf", 0) <= NOW_MS // 1000 + 60
    for _, header in outcome.claim_headers:
        assert not any((character < " " and character != "\t") or character == "\x7f" for character in header)


def path(data: bytes) -> None:
    """A path that is let through means to every reader what it means to us."""
    raw = data.decode("utf-8", "replace").partition("?")[0]
    if path_fault(raw):
        return
    segments = decoded_segments(raw)
    joined = "/" + "/".join(segments)
    assert oracle.decode(raw.replace("+", "%2B").encode()) == joined.encode("utf-8", "surrogateescape")
    normal = posixpath.normpath(joined)
    assert joined in (normal, normal + "/"), "another reader would take this path for another one"
    assert not any(character in "\\?\x7f" or character < " " for character in joined)
    snapshot().gateway.routes.find("api.example.com", "GET", raw)


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {"check": check, "sign": sign, "token": token, "path": path}
