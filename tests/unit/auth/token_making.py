"""Keys, tokens and JWT plug-ins for tests."""

import base64
import json
from functools import cache

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from extauthz.domain.tokens.jwk import KeySet, read_key
from extauthz.domain.tokens.jwt import JwtPlugin
from extauthz.domain.tokens.key_source import KeySource
from tests.unit.building import NOW_S

HMAC_SECRET = b"a secret of exactly sixty-four bytes, long enough for HS512 too!"


@cache
def private_key(kind):
    """One key pair of each kind, made once."""
    made = {
        "rsa": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "other-rsa": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
        "Ed25519": ed25519.Ed25519PrivateKey.generate,
        "Ed448": ed448.Ed448PrivateKey.generate,
        "oct": lambda: HMAC_SECRET,
    }
    return made[kind]()


def public_jwk(kind, **members):
    """The JWK that verifies what ``private_key(kind)`` signs."""
    key = private_key(kind)
    if kind == "oct":
        jwk = {"kty": "oct", "k": base64.urlsafe_b64encode(key).rstrip(b"=").decode()}
    else:
        family = RSAAlgorithm if "rsa" in kind else OKPAlgorithm if kind.startswith("Ed") else ECAlgorithm
        jwk = family.to_jwk(key.public_key(), as_dict=True)
    jwk.pop("key_ops", None)
    return {**jwk, **members}


def plugin(*jwks, algorithms=None, **changes):
    """A plug-in that trusts the RSA key under the kid ``k1``, unless other keys are given."""
    keys = tuple(read_key(jwk) for jwk in jwks or [public_jwk("rsa", kid="k1")])
    possible = {name for key in keys for name in key.keys}
    return JwtPlugin("login", KeySource.fixed(KeySet(keys)), frozenset(algorithms or possible), **changes)


def claims(**changes):
    """Claims that hold at NOW; a change to None takes a claim out."""
    merged = {"sub": "alice", "iat": NOW_S, "exp": NOW_S + 600, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def token(kind="rsa", algorithm="RS256", headers=None, **changes):
    """A signed token."""
    return jwt.encode(
        claims(**changes), private_key(kind), algorithm=algorithm, headers={"kid": "k1", **(headers or {})}
    )


def bearer(*given, **changes):
    """The value of the Authorization header."""
    return "Bearer " + token(*given, **changes)


def encoded(value):
    """A part of a token: JSON text or an object, Base64url."""
    text = value if isinstance(value, str | bytes) else json.dumps(value)
    raw = text if isinstance(text, bytes) else text.encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed_raw(header, payload, kind="rsa", algorithm="RS256"):
    """A token out of exact JSON texts, rightly signed: for what no library would produce."""
    signing_input = f"{encoded(header)}.{encoded(payload)}".encode()
    family = jwt.get_algorithm_by_name("EdDSA" if algorithm.startswith("Ed") else algorithm)
    signature = family.sign(signing_input, family.prepare_key(private_key(kind)))
    return signing_input.decode() + "." + base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
