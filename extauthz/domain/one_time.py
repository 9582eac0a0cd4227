"""How nonces and jtis become keys of the replay store: fixed-length hashes, bound to whom and what they belong to.

Each value has two keys. The one follows the vendor's rule and holds the id of the API or plug-in. The other is of what
was signed alone: after an API or plug-in was renamed, or under the name of another host, which no signature covers,
the same signed request or token is still the same.
"""

import hashlib

from extauthz.domain import reason
from extauthz.domain.decision import OneTimeKind, OneTimeUse
from extauthz.domain.request import Request


def nonce_use(
    request: Request, app_key: bytes, app_id: str, api_id: str, nonce: bytes, signature: bytes, expires_ms: int
) -> OneTimeUse:
    """The use of a nonce, unique per AppKey, API and nonce (vendor doc: X-Ca-Nonce)."""
    key = _hash(b"nonce", app_key, api_id.encode(), nonce)
    # With the nonce: where it is not signed, requests that differ in nothing else share a signature.
    proof = _hash(b"signature", nonce, signature)
    return OneTimeUse(key, expires_ms, _fingerprint(request, signature), reason.NONCE_USED, proof, app_id)


def token_use(request: Request, plugin_id: str, jti: str, token: bytes, signed: bytes, expires_ms: int) -> OneTimeUse:
    """The use of a token id, unique per plug-in and ``jti`` (vendor: preventJtiReplay).

    ``signed`` is what the token's signature covers: a signature may have several spellings, what it covers has one.
    """
    key = _hash(b"jti", plugin_id.encode(), jti.encode("utf-8", "surrogatepass"))
    proof = _hash(b"token", signed)
    fingerprint = _fingerprint(request, token)
    return OneTimeUse(key, expires_ms, fingerprint, reason.JTI_USED, proof, plugin_id, OneTimeKind.JTI)


def _fingerprint(request: Request, proof: bytes) -> bytes:
    # Envoy may ask twice about one stream (a retry, a buffered body). Its stream id is random and no client sees it,
    # unlike x-request-id, which a client may choose; so equal stream and proof means Envoy, not a replay.
    return _hash(request.stream_id.encode(), proof) if request.stream_id else b""


def _hash(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"\0".join(parts), digest_size=16).digest()
