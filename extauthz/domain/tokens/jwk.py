"""JSON Web Keys: which keys may verify tokens, and the key sets they form (RFC 7517, RFC 7518, RFC 8725)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from jwt import PyJWK
from jwt.exceptions import InvalidKeyError, PyJWKError

_BY_CURVE: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_BY_EDWARDS_CURVE: Final = {"Ed25519": frozenset({"EdDSA", "Ed25519"}), "Ed448": frozenset({"EdDSA", "Ed448"})}
"""``EdDSA`` leaves the curve to the key (RFC 8037); the other names state it (RFC 9864, section 2.2)."""
_NAME_IN_PYJWT: Final = {"Ed25519": "EdDSA", "Ed448": "EdDSA"}
"""PyJWT knows one name for both curves."""
_TEXT_MEMBERS: Final = ("kid", "kty", "crv", "alg")
_SECRET_MEMBERS: Final = ("d", "p", "q", "dp", "dq", "qi", "oth")
RSA_ALGORITHMS: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
HMAC_ALGORITHMS: Final = frozenset({"HS256", "HS384", "HS512"})
PUBLIC_KEY_ALGORITHMS: Final = RSA_ALGORITHMS | {*_BY_CURVE.values(), "EdDSA", "Ed25519", "Ed448"}
ALGORITHMS: Final = PUBLIC_KEY_ALGORITHMS | HMAC_ALGORITHMS
_MIN_RSA_BITS: Final = 2048
_MAX_RSA_BITS: Final = 8192
"""Past this a single verification would cost milliseconds of a core."""


class KeyRefused(ValueError):
    """A JWK that must not be used. The message says why and never contains key material."""


@dataclass(frozen=True, slots=True, eq=False)
class VerificationKey:
    """One key and the algorithms that it may verify. The key itself stays out of ``repr``."""

    kid: str | None
    keys: Mapping[str, PyJWK]
    """By algorithm."""

    def __repr__(self) -> str:
        return f"VerificationKey(kid={self.kid!r}, algorithms={sorted(self.keys)})"


@dataclass(frozen=True, slots=True, eq=False)
class KeySet:
    """The keys of one plug-in at one moment."""

    keys: tuple[VerificationKey, ...]

    def knows(self, kid: str) -> bool:
        """Whether a key has this ``kid``."""
        return any(key.kid == kid for key in self.keys)

    def candidates(self, kid: str | None) -> tuple[VerificationKey, ...]:
        """The keys that may have signed a token: those of its ``kid``, else those without one.

        A token without ``kid`` may be checked by any key (vendor doc 103228: JWKs without kid are allowed).
        """
        if kid is None:
            return self.keys
        named = tuple(key for key in self.keys if key.kid == kid)
        return named or tuple(key for key in self.keys if key.kid is None)


def read_key(jwk: Mapping[str, Any]) -> VerificationKey:
    """Read one JWK into a verification key. Raises KeyRefused.

    Refused are private keys (a verifier must not hold one), keys meant for encryption, keys too weak for their
    algorithm, and key types that no algorithm of ours uses. A member that is null counts as absent.
    """
    jwk = {member: value for member, value in jwk.items() if value is not None}
    for member in _TEXT_MEMBERS:
        if not isinstance(jwk.get(member, ""), str):
            raise KeyRefused(f"`{member}` is not text")
    kid = jwk.get("kid")
    if jwk.get("use", "sig") != "sig":
        raise KeyRefused("`use` is not `sig`")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise KeyRefused("`key_ops` does not list `verify`")
    if jwk.get("kty") != "oct" and any(member in jwk for member in _SECRET_MEMBERS):
        raise KeyRefused("is a private key; publish the public half only")
    algorithms = _algorithms_of(jwk)
    try:
        keys = {name: PyJWK(jwk, algorithm=_NAME_IN_PYJWT.get(name, name)) for name in sorted(algorithms)}
    except (PyJWKError, InvalidKeyError, UnsupportedAlgorithm, ValueError, TypeError, KeyError) as error:
        raise KeyRefused(f"is not a valid key ({type(error).__name__})") from None
    _refuse_weak(keys)
    return VerificationKey(kid, keys)


def _algorithms_of(jwk: Mapping[str, Any]) -> frozenset[str]:
    kty, curve = jwk.get("kty"), jwk.get("crv")
    if kty == "RSA":
        possible = RSA_ALGORITHMS
    elif kty == "EC" and curve in _BY_CURVE:
        possible = frozenset({_BY_CURVE[str(curve)]})
    elif kty == "OKP" and curve in _BY_EDWARDS_CURVE:
        possible = _BY_EDWARDS_CURVE[str(curve)]
    elif kty == "oct":
        possible = HMAC_ALGORITHMS
    else:
        raise KeyRefused(
            "has a key type or curve that is not supported; use RSA, P-256, P-384, P-521, Ed25519, Ed448 or oct"
        )
    stated = jwk.get("alg")
    if stated is None:
        return possible
    if stated not in possible:
        raise KeyRefused("has an `alg` that is not a signature algorithm of its key type")
    return frozenset({stated})


def _refuse_weak(keys: dict[str, PyJWK]) -> None:
    for algorithm in tuple(keys):
        key = keys[algorithm].key
        if algorithm in RSA_ALGORITHMS and not _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS:
            raise KeyRefused(f"has fewer than {_MIN_RSA_BITS} bits or more than {_MAX_RSA_BITS}")
        if algorithm in HMAC_ALGORITHMS and len(key) * 8 < int(algorithm[2:]):
            del keys[algorithm]  # RFC 7518, section 3.2: a key at least as long as the hash
    if not keys:
        raise KeyRefused("is a secret shorter than 32 bytes, too short for HS256")
