"""Keys and tokens for the tests, and an API that takes them."""

import json
import time
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from extauthz.domain.api import Api, ApiGroup, AuthMethod, AuthPolicy
from extauthz.domain.request import Delivery, Network, Request, Stage
from extauthz.domain.settings import Settings
from extauthz.domain.snapshot import Snapshot
from extauthz.domain.snapshot.directory import EMPTY
from extauthz.domain.snapshot.gateway import build_gateway
from extauthz.domain.tokens.jwk import PUBLIC_KEY_ALGORITHMS, KeySet, read_key
from extauthz.domain.tokens.jwt import JwtPlugin
from extauthz.domain.tokens.key_source import KeySource

NOW_S = 1_800_000_000


def _jwk(made: dict[str, Any], kid: str, algorithm: str) -> dict[str, Any]:
    return {name: value for name, value in made.items() if name != "key_ops"} | {"kid": kid, "alg": algorithm}


RSA_KEY = _jwk(RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048), as_dict=True), "rsa-1", "RS256")
EC_KEY = _jwk(json.loads(ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()))), "ec-1", "ES256")


def public_half(jwk: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in jwk.items() if name not in ("d", "p", "q", "dp", "dq", "qi")}


def token(claims: dict[str, Any] | None = None, jwk: dict[str, Any] = RSA_KEY, **header: Any) -> str:
    """A token that is good at NOW_S, but for what a test changes."""
    content = {"sub": "alice", "iat": NOW_S, "exp": NOW_S + 600} | (claims or {})
    names = {name: value for name, value in ({"kid": jwk["kid"]} | header).items() if value is not None}
    return jwt.encode(content, jwt.PyJWK(jwk).key, jwk["alg"], headers=names)


def fresh(claims: dict[str, Any] | None = None, **header: Any) -> str:
    """A token that is good at the machine's own time."""
    now = int(time.time())
    return token({"iat": now, "exp": now + 600} | (claims or {}), **header)


def key_set(*jwks: dict[str, Any]) -> KeySet:
    return KeySet(tuple(read_key(public_half(jwk)) for jwk in jwks or (RSA_KEY,)))


def plugin(source: KeySource | None = None, **settings: Any) -> JwtPlugin:
    return JwtPlugin("p", source or KeySource.fixed(key_set()), PUBLIC_KEY_ALGORITHMS, **settings)


def api(jwt_plugin: JwtPlugin) -> Api:
    policy = AuthPolicy((frozenset({AuthMethod.JWT}),))
    return Api(
        id="a",
        group=ApiGroup("g", frozenset({"*"})),
        methods=frozenset({"GET"}),
        path="/a",
        stages=frozenset({Stage.RELEASE}),
        auth={Network.INTERNET: policy},
        jwt=jwt_plugin,
    )


@cache
def serving(jwt_plugin: JwtPlugin) -> Snapshot:
    """A snapshot with the API of a plug-in, the same one each time, as it remembers the plug-in's tokens."""
    return Snapshot(build_gateway("r1", 0, Settings(), [api(jwt_plugin)]), EMPTY)


def request(text: str, *, query: str = "", headers: dict[str, bytes] | None = None, **more: Any) -> Request:
    sent = {"authorization": f"Bearer {text}".encode()} if text else {}
    return Request(
        stream_id="1",
        method="GET",
        host="a.example.com",
        path="/a",
        query=query,
        headers=sent | (headers or {}),
        repeated=frozenset(),
        body=b"",
        delivery=Delivery.WHOLE,
        network=Network.INTERNET,
        scheme="https",
        peer="192.0.2.1",
        context={},
        **more,
    )
