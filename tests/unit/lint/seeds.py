"""For each finding of the lint one change that makes a good configuration bad in exactly that way."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from extauthz.config import load
from extauthz.lint.examine import examine
from extauthz.lint.finding import DAY_MS, Finding, Subject
from extauthz.lint.registry_facts import RegistryFacts, Told
from tests.unit.building import NOW_MS

Data = dict[str, Any]
SOON = "2023-11-20T00:00:00Z"
"""Six days after NOW_MS."""
NONE: Told = Told((), 0)
JWK = {"kty": "EC", "crv": "P-256", "kid": "one", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
       "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}  # fmt: skip


def good() -> Data:
    """Nothing to say about it."""
    get = {"group": "shop", "methods": ["GET"]}
    return {
        "listen": [{"address": "127.0.0.1:9191"}],
        "groups": [{"id": "shop", "domains": ["api.example.com"]}],
        "plugins": [{"id": "tokens", "type": "jwt", "jwk": JWK, "audiences": ["shop"]}],
        "digest": {"require_timestamp": True, "require_nonce": True},
        "apis": [
            {**get, "id": "orders", "path": "/v1/orders/{id}", "auth": {"internet": "digest"}},
            {**get, "id": "me", "path": "/v1/me", "auth": {"internet": "jwt"}, "plugins": ["tokens"]},
        ],
        "apps": [{"id": "web", "keys": [{"app_key": "web-key-1", "app_secret": {"file": "secret"}}]}],
        "grants": [{"app": "web", "apis": ["orders"]}],
    }  # fmt: skip


def written(folder: Path, data: Data) -> Path:
    """The configuration as a file, its secrets beside it."""
    for name in ("secret", "code", "short", "previous"):
        file = folder / name
        file.write_text("k8x2m9qzq" if name == "short" else f"b7f0c1d29e834a56-{name}")
        file.chmod(0o600)
    file = folder / "extauthz.yaml"
    file.write_text(yaml.safe_dump(data, sort_keys=False))
    file.chmod(0o600)
    return file


def facts(**kinds: Told) -> RegistryFacts:
    """What the registry says: by default nothing that could be told."""
    names = ("without_grant", "without_credential", "ending", "ended", "unserved")
    return RegistryFacts(**{name: kinds.get(name, NONE) for name in names}, granted_apis=frozenset())


def found(file: Path, registry: RegistryFacts | None = None) -> list[Finding]:
    """What the lint says of a file at NOW_MS."""
    return examine(Subject(load(file, lambda: NOW_MS), NOW_MS, 30 * DAY_MS, registry))


def api(data: Data, **changes: Any) -> None:
    """Change the first API."""
    data["apis"][0].update(changes)


def another(data: Data, **entry: Any) -> None:
    """Add an API that needs no app."""
    jwt = {"group": "shop", "methods": ["GET"], "auth": {"internet": "jwt"}, "plugins": ["tokens"]}
    data["apis"].append({**jwt, **entry})


def _shadowed(data: Data) -> None:
    for number, path in enumerate(("/files/{name}", "/files/{name}/*", "/files/*")):
        another(data, id=f"files-{number}", path=path)


def _tied(data: Data, **tie: str) -> None:
    data["groups"][0]["domains"].append({"name": "tied.example.com", **tie})


def _app_codes(data: Data, network: str, **changes: Any) -> None:
    api(data, auth={network: "appcode"}, **changes)
    data["apps"][0]["app_codes"] = [{"file": "code"}]


def _app(data: Data, **entry: Any) -> None:
    data["apps"].append({"id": "other", "keys": [{"app_key": "other-key", "app_secret": {"file": "code"}}], **entry})


def _granted(data: Data, **entry: Any) -> None:
    data["grants"].append({"app": "other", "apis": ["orders"], **entry})


def _app_with_grant(data: Data, entry: Data, grant: Data) -> None:
    _app(data, **entry)
    _granted(data, **grant)


def _previous(data: Data, until: str) -> None:
    data["apps"][0]["keys"][0]["previous"] = {"secret": {"file": "previous"}, "until": until}


def _plugin(data: Data, **changes: Any) -> None:
    data["plugins"][0].update(changes)


def _remote(data: Data) -> None:
    del data["plugins"][0]["jwk"]
    _plugin(data, issuer="one", remote_keys={"jwks_uri": "http://keys.example.com/jwks", "allow_http": True})


def _key_set(data: Data) -> None:
    del data["plugins"][0]["jwk"]
    _plugin(data, jwks={"keys": [JWK, {**JWK, "kid": "two", "use": "enc", "x": "broken"}]})


def _registry(data: Data, **changes: Any) -> None:
    data["registry"] = {"database": {"file": "code"}, "unsealed": True, **changes}


def _captured(data: Data, until_ms: int) -> None:
    data["capture"] = {"folder": f"captured-{until_ms}", "key": {"file": "capture-key"}}


SEEDS: dict[str, Callable[[Data], None]] = {
    "route-never-matches": _shadowed,
    "group-without-api": lambda data: data["groups"].append({"id": "empty", "domains": ["old.example.com"]}),
    "domain-without-api": lambda data: _tied(data, network="vpc"),
    "stage-without-domain": lambda data: (
        api(data, stages=["RELEASE", "TEST"]),
        data["groups"][0].update(domains=[{"name": "api.example.com", "stage": "RELEASE"}]),
    )[0],
    "network-without-domain": lambda data: (
        api(data, auth={"internet": "digest", "vpc": "digest"}),
        data["groups"][0].update(domains=[{"name": "api.example.com", "network": "internet"}]),
    )[0],
    "open-on-internet": lambda data: api(data, auth={"internet": "none"}),
    "appcode-on-internet": lambda data: _app_codes(data, "internet"),
    "appcode-in-query": lambda data: _app_codes(data, "vpc", app_code="header_query"),
    "digest-sha1": lambda data: api(data, digest={"algorithms": ["HmacSHA1"]}),
    "digest-replayable": lambda data: data["digest"].update(require_nonce=False),
    "digest-open-parts": lambda data: data["digest"].update(strict="warn"),
    "api-nobody-may-call": lambda data: another(data, id="lonely", path="/lonely", auth={"internet": "digest"}),
    "app-without-grant": lambda data: _app(data),
    "app-without-credential": lambda data: _app_with_grant(data, {"keys": []}, {}),
    "app-disabled": lambda data: _app(data, disabled=True),
    "grant-without-credential": lambda data: _app_with_grant(data, {"keys": [], "app_codes": [{"file": "code"}]}, {}),
    "grant-ended": lambda data: _app_with_grant(data, {}, {"until": "2020-01-01T00:00:00Z"}),
    "grant-ends-soon": lambda data: data["grants"][0].update(until=SOON),
    "previous-secret-ended": lambda data: _previous(data, "2020-01-01T00:00:00Z"),
    "previous-secret-ends-soon": lambda data: _previous(data, SOON),
    "secret-inline": lambda data: data["apps"][0]["keys"][0].update(app_secret="b7f0c1d29e834a56"),
    "secret-in-environment": lambda data: data["apps"][0]["keys"][0].update(app_secret={"env": "LINT_SECRET"}),
    "secret-short": lambda data: data["apps"][0]["keys"][0].update(app_secret={"file": "short"}),
    "secret-readable": lambda data: data["apps"][0]["keys"][0].update(app_secret={"file": "open"}),
    "registry-unsealed": lambda data: _registry(data),
    "plugin-unused": lambda data: data["plugins"].append({"id": "old", "type": "ip_control", "allow": ["::1"]}),
    "algorithm-without-key": lambda data: _plugin(data, algorithms=["ES256", "RS256"]),
    "token-for-anybody": lambda data: _plugin(data, audiences=[]),
    "token-never-expires": lambda data: _plugin(data, ignore_expiration_check=True),
    "keys-in-plain-text": _remote,
    "keys-left-out": _key_set,
    "traces-in-plain-text": lambda data: data.update(tracing={"endpoint": "http://traces.example.com:4318/v1/traces"}),
    "traces-without-path": lambda data: data.update(tracing={"endpoint": "http://localhost:4318"}),
    "redis-in-plain-text": lambda data: data.update(replay={"redis": {"url": {"file": "redis"}}}),
    "checks-in-plain-text": lambda data: data["listen"][0].update(address="0.0.0.0:9191", insecure=True),
    "shadow-on": lambda data: data.update(shadow=[{"api": "orders", "methods": ["GET"], "until": SOON}]),
    "shadow-ended": lambda data: data.update(shadow=[{"app": "web", "until": "2023-11-01T00:00:00Z"}]),
    "capture-on": lambda data: _captured(data, NOW_MS + DAY_MS),
    "capture-left": lambda data: _captured(data, NOW_MS - DAY_MS),
    "nonces-forgotten": lambda data: data.update(replay={"scope": "per_worker"}),
}  # fmt: skip
REGISTRY: dict[str, RegistryFacts] = {
    "registry-app-without-grant": facts(without_grant=Told((("mobile", "north"),), 1)),
    "registry-app-without-credential": facts(without_credential=Told((("mobile", "north"),), 1)),
    "registry-grant-ends-soon": facts(ending=Told((("mobile", "orders", "RELEASE", NOW_MS + DAY_MS),), 1)),
    "registry-grant-ended": facts(ended=Told((("mobile", "orders", "RELEASE", NOW_MS - DAY_MS),), 1)),
    "registry-grant-of-unknown-api": facts(unserved=Told((("mobile", "gone", "RELEASE", None),), 1)),
}
"""What stands in the registry, beside the good configuration."""
