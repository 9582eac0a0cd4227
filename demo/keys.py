"""The demo's token key: made at every start, the private half for whoever wants to sign tokens."""

import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

KID = "demo-1"


def make_keys(folder: Path) -> dict[str, Any]:
    """Write ``jwt-private.jwk`` and ``jwt-public.jwks`` into the folder; return the private JWK."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    described = {"kid": KID, "alg": "RS256", "use": "sig"}
    private_jwk = _without_ops(RSAAlgorithm.to_jwk(private, as_dict=True)) | described
    public_jwk = _without_ops(RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)) | described
    private_file = folder / "jwt-private.jwk"
    private_file.touch(mode=0o600)
    private_file.write_text(json.dumps(private_jwk))
    (folder / "jwt-public.jwks").write_text(json.dumps({"keys": [public_jwk]}))
    return private_jwk


def make_token(private_jwk: dict[str, Any], lifetime_s: int = 600, **claims: Any) -> str:
    """A token signed with the demo's key, valid for ``lifetime_s`` seconds from now."""
    now = int(time.time())
    payload = {"iat": now, "exp": now + lifetime_s, **claims}
    return jwt.encode(payload, jwt.PyJWK(private_jwk).key, algorithm="RS256", headers={"kid": KID})


def _without_ops(jwk: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in jwk.items() if name != "key_ops"}
