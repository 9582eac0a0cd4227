"""The configuration that is measured: one API for each method, one caller, and as much else as is asked for."""

import hmac
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from extauthz.config import ServiceConfig, load
from extauthz.domain.api import Api, ApiGroup, AuthMethod, AuthPolicy
from extauthz.domain.app import App, Grant, KeyPair
from extauthz.domain.request import Network, Stage
from extauthz.domain.snapshot import Snapshot
from extauthz.domain.snapshot.directory import Changes
from extauthz.domain.snapshot.gateway import build_gateway

HOST = "api.example.com"
STAGE = "RELEASE"
KID = "bench-1"
APP_KEY = "203750321"
SMALL = 10
"""Apps, and APIs, of the small world."""
_FILLER_KEYS_FROM = 600_000_000


@dataclass(frozen=True, slots=True)
class World:
    """Secrets of one run. They are made anew for every run and never leave it."""

    app_secret: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    app_code: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    token_key: rsa.RSAPrivateKey = field(
        default_factory=lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048), repr=False
    )

    def root(self) -> bytes:
        """What the secrets of the many apps are made of."""
        return self.app_secret.encode()

    def config(
        self,
        address: str,
        operations: str,
        transport: str,
        decision_log: str | None = None,
        workers: int = 1,
        tls: dict[str, str] | None = None,
        redis: str = "",
    ) -> dict[str, Any]:
        """The configuration file of the small world: ten APIs, ten apps. ``decision_log`` is a file, or nothing."""
        scope = "per_worker" if workers > 1 else "service"
        store: dict[str, Any] = {"redis": {"url": redis, "timeout": 1}} if redis else {"scope": scope}
        jwk = {
            name: value
            for name, value in RSAAlgorithm.to_jwk(self.token_key.public_key(), as_dict=True).items()
            if name != "key_ops"
        }
        anywhere = ("internet", "vpc")
        apis = [
            _api("ping", "/public/ping", dict.fromkeys(anywhere, "none")),
            _api("report", "/internal/report", dict.fromkeys(anywhere, "appcode")),
            _api("orders", "/v1/orders", dict.fromkeys(anywhere, "digest")),
            _api("order", "/v1/orders/{orderId}", dict.fromkeys(anywhere, "digest")),
            _api("profile", "/web/profile", dict.fromkeys(anywhere, "jwt"), plugins=["login"]),
        ]
        apis += [_api(name, path, {"internet": "digest"}) for name, path in _filler_paths(SMALL - len(apis))]
        apps: list[dict[str, Any]] = [
            {"id": "caller", "owner": "bench", "app_codes": [self.app_code],
             "keys": [{"app_key": APP_KEY, "app_secret": self.app_secret}]}
        ]  # fmt: skip
        apps += [
            {"id": f"app-{i}", "keys": [{"app_key": str(_FILLER_KEYS_FROM + i), "app_secret": secrets.token_hex(16)}]}
            for i in range(SMALL - 1)
        ]
        return {
            "listen": [{"address": address, **({"tls": tls} if tls else {})}],
            "operations": operations,
            "transport": transport,
            "drain": 0,
            "decision_log": {"destination": {"file": decision_log} if decision_log else "none"},
            "replay": {"share": 1, **store},
            "groups": [{"id": "bench", "domains": [HOST]}],
            "plugins": [
                {"id": "login", "type": "jwt", "claim_headers": {"sub": "X-Token-Sub"},
                 "jwks": {"keys": [{**jwk, "kid": KID, "alg": "RS256", "use": "sig"}]}}
            ],
            "apis": apis,
            "apps": apps,
            "grants": [{"app": "caller", "apis": ["report", "orders", "order", "profile"], "granted_by": "bench"}],
        }  # fmt: skip

    def write(self, folder: Path, name: str, **options: Any) -> Path:
        """Write ``config(**options)`` to a file that only we can read."""
        file = folder / f"{name}.yaml"
        file.touch(mode=0o600)
        file.write_text(yaml.safe_dump(self.config(**options)))
        return file

    def snapshot(self, folder: Path, apps: int = SMALL, apis: int = SMALL) -> Snapshot:
        """The snapshot that a service of this world serves."""
        file = self.write(folder, "snapshot", address="127.0.0.1:1", operations="127.0.0.1:2", transport="auto")
        return enlarge(load(file), apps, apis).snapshot


def filler(root: bytes, number: int) -> tuple[str, str]:
    """AppKey and AppSecret of one of the many apps."""
    key = str(_FILLER_KEYS_FROM + SMALL + number)
    return key, hmac.digest(root, key.encode(), "sha256").hex()[:32]


def enlarge(config: ServiceConfig, apps: int, apis: int) -> ServiceConfig:
    """The same configuration with a snapshot of that many apps and APIs, built without a YAML file of that size."""
    small = config.snapshot
    if apps <= SMALL and apis <= SMALL:
        return config
    gateway = small.gateway
    group = next(iter(gateway.apis.values())).group
    fillers = [_filler_api(group, name, path) for name, path in _filler_paths(apis) if name not in gateway.apis]
    more_apis = [*gateway.apis.values(), *fillers[: apis - SMALL]]
    more_apps = list(_filler_apps(apps - SMALL))
    caller = small.directory.key_pair(APP_KEY.encode())
    root = b"" if caller is None else caller.secret
    changes = Changes(
        apps=tuple((app.id, app) for app in more_apps),
        key_pairs=tuple(
            (key.encode(), KeyPair(app.id, key, secret.encode()))
            for app, (key, secret) in ((app, filler(root, number)) for number, app in enumerate(more_apps))
        ),
        app_codes=tuple((secrets.token_bytes(32), app.id) for app in more_apps),
        grants=tuple(((app.id, "orders", Stage.RELEASE), Grant(app.id, "orders", Stage.RELEASE)) for app in more_apps),
    )
    snapshot = Snapshot(
        build_gateway(gateway.revision, gateway.built_at_ms, gateway.settings, more_apis),
        small.directory.apply(changes, small.directory.revision),
    )
    return replace(config, snapshot=snapshot)


def _api(name: str, path: str, auth: dict[str, str], **more: Any) -> dict[str, Any]:
    return {"id": name, "group": "bench", "methods": ["GET", "POST"], "path": path, "auth": auth, **more}


def _filler_paths(count: int) -> Iterator[tuple[str, str]]:
    for i in range(count):
        yield f"filler-{i}", f"/service{i}/v1/items/{{itemId}}"


def _filler_apps(count: int) -> Iterator[App]:
    for i in range(count):
        yield App(f"app-{SMALL + i}")


def _filler_api(group: ApiGroup, name: str, path: str) -> Api:
    policy = AuthPolicy((frozenset({AuthMethod.DIGEST}),))
    return Api(name, group, frozenset({"GET", "POST"}), path, frozenset({Stage.RELEASE}), {Network.INTERNET: policy})
