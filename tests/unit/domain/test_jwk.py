"""Which keys a verifier takes, and which it refuses to hold."""

import base64
import contextlib

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from extauthz.domain.tokens.jwk import KeyRefused, KeySet, read_key
from tests.unit.auth.token_making import private_key, public_jwk


def k(length):
    return base64.urlsafe_b64encode(b"s" * length).rstrip(b"=").decode()


def small_rsa():
    return RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True)


REFUSED = {
    "a private RSA key": lambda: RSAAlgorithm.to_jwk(private_key("rsa"), as_dict=True),
    "an encryption key": lambda: public_jwk("rsa", use="enc"),
    "a key that only signs": lambda: public_jwk("rsa", key_ops=["sign"]),
    "a kid that is no text": lambda: public_jwk("rsa", kid=7),
    "a small RSA key": small_rsa,
    "an alg of the other Edwards curve": lambda: public_jwk("Ed448", alg="Ed25519"),
    "an alg of another type": lambda: public_jwk("rsa", alg="HS256"),
    "alg none": lambda: public_jwk("rsa", alg="none"),
    "an unknown curve": lambda: public_jwk("P-256", crv="secp256k1"),
    "a key agreement curve": lambda: public_jwk("Ed25519", crv="X25519"),
    "no type": dict,
    "an unknown type": lambda: {"kty": "magic"},
    "a point off the curve": lambda: public_jwk("P-256", x=k(32)),
    "a modulus that is none": lambda: public_jwk("rsa", n="!!"),
    "a missing member": lambda: {"kty": "RSA", "e": "AQAB"},
    "a secret of 31 bytes": lambda: {"kty": "oct", "k": k(31)},
    "a secret that is missing": lambda: {"kty": "oct"},
    "an empty secret": lambda: {"kty": "oct", "k": ""},
    "a secret that is no text": lambda: {"kty": "oct", "k": 7},
    "a secret too short for its alg": lambda: {"kty": "oct", "k": k(40), "alg": "HS512"},
    "key_ops that is a number": lambda: public_jwk("rsa", key_ops=7),
    "an alg that is a list": lambda: public_jwk("rsa", alg=["RS256"]),
    "a curve that is a list": lambda: public_jwk("P-256", crv=["P-256"]),
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
def test_a_key_that_must_not_be_used_is_refused_without_being_quoted(make):
    jwk = make()
    with pytest.raises(KeyRefused) as refused:
        read_key(jwk)
    for member in "k", "n", "d", "x":
        assert not jwk.get(member) or str(jwk[member]) not in str(refused.value)


def test_a_secret_serves_the_algorithms_it_is_long_enough_for():
    assert set(read_key({"kty": "oct", "k": k(32)}).keys) == {"HS256"}
    assert set(read_key({"kty": "oct", "k": k(48)}).keys) == {"HS256", "HS384"}
    assert set(read_key({"kty": "oct", "k": k(64)}).keys) == {"HS256", "HS384", "HS512"}


@pytest.mark.parametrize(
    ("kind", "algorithms"),
    [("P-256", {"ES256"}), ("P-384", {"ES384"}), ("P-521", {"ES512"}), ("Ed25519", {"EdDSA", "Ed25519"}),
     ("Ed448", {"EdDSA", "Ed448"}),
     ("rsa", {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})],
)  # fmt: skip
def test_a_key_verifies_what_its_type_can(kind, algorithms):
    assert set(read_key(public_jwk(kind)).keys) == algorithms


def test_a_keys_repr_says_nothing_of_the_key():
    key = read_key({"kty": "oct", "k": k(32), "kid": "one"})
    assert repr(KeySet((key,))) == "KeySet(keys=(VerificationKey(kid='one', algorithms=['HS256']),))"


def test_a_key_that_states_its_algorithm_verifies_no_other():
    assert set(read_key(public_jwk("Ed25519", alg="Ed25519")).keys) == {"Ed25519"}
    assert set(read_key(public_jwk("Ed25519", alg="EdDSA")).keys) == {"EdDSA"}


def test_a_member_that_is_null_is_an_absent_one():
    nothing = dict.fromkeys(("use", "key_ops", "alg", "kid", "d", "p", "x5c"))
    for kind in ("rsa", "P-256", "Ed25519", "Ed448", "oct"):
        assert read_key(public_jwk(kind) | nothing).keys.keys() == read_key(public_jwk(kind)).keys.keys()


_MEMBERS = st.sampled_from(["kty", "crv", "alg", "kid", "use", "key_ops", "n", "e", "x", "y", "k", "d", "oth", "x5c"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8)
    | st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "Ed448", "AQAB", "sig"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip


@given(st.sampled_from(["rsa", "P-256", "Ed25519", "Ed448", "oct"]), st.dictionaries(_MEMBERS, _VALUES, max_size=6))
def test_whatever_a_key_holds_it_is_read_or_refused(kind, changes):
    with contextlib.suppress(KeyRefused):
        assert read_key({**public_jwk(kind), **changes}).keys
