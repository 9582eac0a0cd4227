"""JWT: a bearer token checked by the API's JWT plug-in (vendor docs 103228 and 177489; RFC 7519, RFC 8725).

A token that was verified before is remembered by its hash: coming again it costs one hash, one look-up and one
comparison of times. What a token says about its key beyond ``kid`` (``jku``, ``x5u``, ``jwk``, ``x5c``) is never read.
"""

import hashlib
import json
import math
from typing import Any, Final

from jwt.exceptions import PyJWTError

from extauthz.auth.jwt_claims import claim_headers, claims_refusal, valid_between
from extauthz.auth.jwt_token import Token, find_tokens, parse_token
from extauthz.auth.lookalike import MISSPELLED
from extauthz.auth.method import Method
from extauthz.auth.parameters import MAX_COOKIES, TOO_MANY
from extauthz.domain import reason
from extauthz.domain.api import Api, AuthMethod
from extauthz.domain.decision import Proof, Refusal
from extauthz.domain.header_value import is_header_value
from extauthz.domain.one_time import token_use
from extauthz.domain.request import Request
from extauthz.domain.snapshot import Snapshot
from extauthz.domain.snapshot.token_memory import VerifiedToken
from extauthz.domain.tokens.jwk import KeySet, VerificationKey
from extauthz.domain.tokens.jwt import MAX_CLOCK_SKEW_S, JwtPlugin, TokenPlace, token_type

_MAX_KID: Final = 256
MAX_KEY_TRIES: Final = 16
"""Keys that one token is checked with. One of P-521 takes half a millisecond, in which no other check is answered."""
_NO_KEYS: Final = KeySet(())
"""Stands for "verified by Envoy", where no key set of ours was involved."""


def is_presented(request: Request, api: Api) -> bool:
    """Whether something stands where the plug-in looks for its token."""
    plugin = api.jwt
    if plugin is None:
        return False
    if plugin.envoy_payload is not None:
        return request.envoy_claims is not None and request.envoy_claims(plugin.envoy_payload) is not None
    return find_tokens(request, plugin) != []


def authenticate(request: Request, api: Api, snapshot: Snapshot, now_ms: int) -> Proof | Refusal:
    """Verify the one token that the request brings, and turn its claims into upstream headers."""
    plugin = api.jwt
    if plugin is None:
        return Refusal(reason.JWT_MISSING, detail="the API has no JWT plug-in")
    if plugin.envoy_payload is not None:
        return _from_envoy(request, plugin, plugin.envoy_payload, now_ms)
    if request.repeated and plugin.place is TokenPlace.HEADER and plugin.parameter in request.repeated:
        return Refusal(reason.HEADER_REPEATED, plugin.parameter)
    tokens = find_tokens(request, plugin)
    if tokens is None:
        return _too_many(plugin)
    if not tokens:
        return Refusal(reason.JWT_MISSING)
    if MISSPELLED in tokens:
        return Refusal(reason.JWT_INVALID, "misspelled name", f"something reads as {plugin.parameter!r}")
    if len(tokens) > 1:
        return Refusal(reason.JWT_INVALID, "more than one token")
    token = tokens[0]
    if len(token) > plugin.max_token_bytes:
        return Refusal(reason.JWT_MALFORMED, detail=f"longer than {plugin.max_token_bytes} bytes")
    key_set = plugin.key_source.current
    if key_set is None:
        return Refusal(reason.JWT_KEYS_UNAVAILABLE, detail=f"plug-in {plugin.id!r} has no keys")
    token_hash = hashlib.sha256(token).digest()
    now_s = now_ms // 1000
    memory = snapshot.gateway.tokens[plugin.id]
    verified = memory.recall(token_hash, key_set, now_s)
    if verified is None:
        outcome = _verify(token, plugin, key_set, now_s)
        if isinstance(outcome, Refusal):
            return outcome
        verified = outcome
        memory.remember(token_hash, verified, now_s)
    if not verified.jti:
        return verified.proof
    return _proof(request, plugin, verified, token, token.rpartition(b".")[0], now_ms)


def _too_many(plugin: JwtPlugin) -> Refusal:
    if plugin.place is TokenPlace.COOKIE:
        return Refusal(reason.HEADER_INVALID, "Cookie", f"more than {MAX_COOKIES} cookies")
    return Refusal(reason.REQUEST_INVALID, TOO_MANY, "in the query")


def _proof(
    request: Request, plugin: JwtPlugin, verified: VerifiedToken, token: bytes, signed: bytes, now_ms: int
) -> Proof:
    """The proof of a token that may pass once: its jti is remembered for as long as the token could be accepted.

    That is by the widest clock skew that there can be: a reload may widen the plug-in's.
    """
    if plugin.ignore_expiration:  # such a token never ends: remember it as long as the longest ordinary one
        until_ms = now_ms + (plugin.max_lifetime_s + plugin.clock_skew_s) * 1000
    else:
        until_ms = (math.ceil(verified.until_s) - plugin.clock_skew_s + MAX_CLOCK_SKEW_S) * 1000
    use = token_use(request, plugin.id, verified.jti, token, signed, until_ms)
    return verified.proof._replace(uses=(use,))


def _from_envoy(request: Request, plugin: JwtPlugin, key: str, now_ms: int) -> Proof | Refusal:
    """The claims that Envoy verified. Every rule about claims is applied to them as to a token of our own."""
    claims = None if request.envoy_claims is None else request.envoy_claims(key)
    if claims is None:
        return Refusal(reason.JWT_MISSING, detail=f"Envoy's jwt_authn left no payload under {key!r}")
    verified = _verified(dict(claims), plugin, _NO_KEYS, now_ms // 1000)
    if isinstance(verified, Refusal):
        return verified
    if not verified.jti:
        return verified.proof
    signed = json.dumps(claims, sort_keys=True, default=str).encode()
    return _proof(request, plugin, verified, verified.jti.encode("utf-8", "surrogatepass"), signed, now_ms)


def _verify(token: bytes, plugin: JwtPlugin, key_set: KeySet, now_s: int) -> VerifiedToken | Refusal:
    parsed = parse_token(token)
    if isinstance(parsed, Refusal):
        return parsed
    refusal = _signature_refusal(parsed, plugin, key_set)
    return refusal or _verified(parsed.claims, plugin, key_set, now_s)


def _verified(claims: dict[str, Any], plugin: JwtPlugin, key_set: KeySet, now_s: int) -> VerifiedToken | Refusal:
    """What claims prove that come from a token with a good signature."""
    refusal = claims_refusal(claims, plugin, now_s)
    if refusal:
        return refusal
    headers = claim_headers(claims, plugin)
    if isinstance(headers, Refusal):
        return headers
    subject = claims.get("sub", "")
    if not isinstance(subject, str) or not is_header_value(subject):
        return Refusal(reason.JWT_INVALID, "claim sub is not plain text")
    proof = Proof(AuthMethod.JWT, subject=subject, claim_headers=headers)
    from_s, until_s = valid_between(claims, plugin)
    if not plugin.prevent_jti_replay:
        return VerifiedToken(key_set, from_s, until_s, proof)
    jti = claims.get("jti")
    if not isinstance(jti, str) or not jti:
        return Refusal(reason.JTI_REQUIRED)
    return VerifiedToken(key_set, from_s, until_s, proof, jti)


def _signature_refusal(token: Token, plugin: JwtPlugin, key_set: KeySet) -> Refusal | None:
    header = token.header
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(algorithm, str) or algorithm not in plugin.algorithms:
        return Refusal(reason.JWT_INVALID, "algorithm not accepted")
    if "crit" in header or "b64" in header:
        return Refusal(reason.JWT_INVALID, "critical header not understood")
    if not isinstance(kind, str) or token_type(kind) not in plugin.token_types:
        return Refusal(reason.JWT_INVALID, "wrong type of token")
    if kid is not None and (not isinstance(kid, str) or len(kid) > _MAX_KID):
        return Refusal(reason.JWT_INVALID, "malformed kid")
    candidates = [key for key in key_set.candidates(kid) if algorithm in key.keys]
    if len(candidates) > MAX_KEY_TRIES:
        # Not the first of them: whether a token passes would depend on the order in which a provider lists its keys.
        return Refusal(reason.JWT_INVALID, "kid is needed", f"{len(candidates)} keys could have signed it")
    if any(_verifies(token, key, algorithm) for key in candidates):
        return None
    if kid is not None and not key_set.knows(kid):
        plugin.key_source.ask_refresh()
    if not candidates:
        return Refusal(reason.JWT_KEY_UNKNOWN, kid or "")
    return Refusal(reason.JWT_INVALID, "signature does not match")


def _verifies(token: Token, key: VerificationKey, algorithm: str) -> bool:
    # PyJWT's own verification of one algorithm. Its decoder would parse the token again, which costs more than RS256.
    jwk = key.keys[algorithm]
    try:
        return bool(jwk.Algorithm.verify(token.signed, jwk.key, token.signature))
    except (PyJWTError, ValueError):
        return False


def _credential_headers(api: Api) -> tuple[str, ...]:
    return (api.jwt.parameter,) if api.jwt is not None and api.jwt.place is TokenPlace.HEADER else ()


def _absent(api: Api) -> Refusal | None:
    return None if api.jwt is not None and api.jwt.bypass_empty_token else Refusal(reason.JWT_MISSING)


METHOD: Final = Method(AuthMethod.JWT, is_presented, authenticate, _credential_headers, _absent)
