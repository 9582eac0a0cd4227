"""How nonces and jtis become keys of the replay store: fixed-length hashes, bound to whom and what they belong to."""

import hashlib

from extauthz.domain import reason
from extauthz.domain.decision import OneTimeUse
from extauthz.domain.request import Request


def nonce_use(
    request: Request, app_key: bytes, api_id: str, nonce: bytes, signature: bytes, expires_ms: int
) -> OneTimeUse:
    """The use of a nonce, unique per AppKey, API and nonce (vendor doc: X-Ca-Nonce)."""
    key = _hash(b"nonce", app_key, api_id.encode(), nonce)
    return OneTimeUse(key, expires_ms, _fingerprint(request, signature), reason.NONCE_USED)


def token_use(request: Request, plugin_id: str, jti: str, token: bytes, expires_ms: int) -> OneTimeUse:
    """The use of a token id, unique per plug-in and ``jti`` (vendor: preventJtiReplay)."""
    key = _hash(b"jti", plugin_id.encode(), jti.encode("utf-8", "surrogatepass"))
    return OneTimeUse(key, expires_ms, _fingerprint(request, token), reason.JTI_USED)


def _fingerprint(request: Request, proof: bytes) -> bytes:
    # Envoy may ask twice about one stream (a retry, a buffered body). Its stream id is random and no client sees it,
    # unlike x-request-id, which a client may choose; so equal stream and proof means Envoy, not a replay.
    return _hash(request.stream_id.encode(), proof) if request.stream_id else b""


def _hash(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"\0".join(parts), digest_size=16).digest()
