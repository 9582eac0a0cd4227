"""Envoy, the service and a real provider, running together."""

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from demo.stack import ROOT, Stack, free_ports, load_yaml
from tests.oidc.provider import AUDIENCE, Provider

REMOTE: dict[str, Any] = {
    "allow_http": True,
    "allow_private_addresses": True,
    "min_lifetime": 1,
    "max_lifetime": 300,
    "refresh_interval": 1,
    "max_stale": 600,
    "timeout": 0.5,
}


class Mesh:
    """A running stack whose APIs take the provider's tokens."""

    def __init__(self, stack: Stack, provider: Provider) -> None:
        self.stack = stack
        self.provider = provider
        self._client = httpx.Client(timeout=10, trust_env=False)

    def call(
        self,
        token: str | None,
        path: str = "/web/profile",
        network: str = "internet",
        headers: list[tuple[str, str]] | None = None,
    ) -> httpx.Response:
        sent = [("Authorization", f"Bearer {token}")] if token else []
        return self._client.get(self.stack.url(network, path), headers=[*sent, *(headers or [])])

    def code(self, *args: Any, **more: Any) -> tuple[int, str]:
        """Status and X-Ca-Error-Code of a call."""
        answer = self.call(*args, **more)
        return answer.status_code, answer.headers.get("x-ca-error-code", "")

    def readiness(self) -> tuple[int, dict[str, Any]]:
        answer = self._client.get(f"http://127.0.0.1:{self.stack.ports.operations}/readyz")
        return answer.status_code, answer.json()

    def metrics(self) -> str:
        return self._client.get(f"http://127.0.0.1:{self.stack.ports.operations}/metrics").text

    def close(self) -> None:
        self._client.close()


def wait_for(true: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until something holds, or fail."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


class PatientStack(Stack):
    """A stack whose service may start before its provider: it answers at once, and is ready later."""

    def _wait(self, name: str, url: str) -> None:
        if url.endswith("/readyz"):
            wait_for(lambda: _answers(url), 20)
        else:
            super()._wait(name, url)


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=1).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def service_config(issuer: str, **remote: Any) -> dict[str, Any]:
    """One group with an API for each way of asking for a token."""

    def plugin(name: str, **settings: Any) -> dict[str, Any]:
        keys = {"oidc_issuer": issuer} if name == "discovered" else {"jwks_uri": f"{issuer}/jwks"}
        return {"id": name, "type": "jwt", "remote_keys": REMOTE | keys | remote, "issuer": issuer,
                "audiences": [AUDIENCE], **settings}  # fmt: skip

    def api(name: str, path: str, plugin: str | None = None, auth: Any = "jwt", **more: Any) -> dict[str, Any]:
        return {"id": name, "group": "web", "methods": ["GET"], "path": path,
                "auth": {"internet": auth, "vpc": auth}, "plugins": [plugin] if plugin else [], **more}  # fmt: skip

    return {
        "listen": [{"address": "127.0.0.1:9191"}],
        "operations": "127.0.0.1:9901",
        "drain": 0,
        "decision_log": {"destination": {"file": ".demo/decisions.jsonl"}},
        "groups": [{"id": "web", "domains": ["*"]}],
        "plugins": [
            plugin(
                "plain",
                claim_headers={
                    "sub": "X-Token-Sub",
                    "roles": "X-Token-Roles",
                    "level": "X-Token-Level",
                    "verified": "X-Token-Verified",
                },
            ),
            plugin("discovered"),
            plugin(
                "strict",
                scopes=["orders.read", "orders.write"],
                token_types=["at+jwt"],
                required_claims=[
                    {"claim": "tenant", "values": ["acme"]},
                    {"claim": "client_id", "values": "present"},
                    {"claim": ["realm_access", "roles"], "values": ["buyer", "seller"]},
                ],
                claim_headers=[{"claim": ["realm_access", "roles"], "header": "X-Token-Realm-Roles"}],
            ),
            plugin("once", prevent_jti_replay=True),
        ],
        "apis": [
            api("ping", "/public/ping", auth="none"),
            api("profile", "/web/profile", "plain"),
            api("stripped", "/web/stripped", "plain", strip_credentials=True),
            api("discovered", "/web/discovered", "discovered"),
            api("strict", "/web/strict", "strict"),
            api("once", "/web/once", "once"),
            api("both", "/web/both", "plain", auth={"all_of": ["jwt", "digest"]}),
            api("either", "/web/either", "plain", auth={"any_of": ["jwt", "digest"]}),
        ],
        "apps": [
            {"id": "app-1", "keys": [{"app_key": "app-key-0001", "app_secret": "app-secret-0001"}]},
            {"id": "app-2", "keys": [{"app_key": "app-key-0002", "app_secret": "app-secret-0002"}]},
        ],
        "grants": [{"app": "app-1", "apis": ["both", "either"]}],
    }


@contextmanager
def running(
    folder: Path, *, provider_runs: bool = True, ready: bool = True, bootstrap: dict[str, Any] | None = None,
    config: Callable[[str], dict[str, Any]] = service_config,
) -> Iterator[Mesh]:  # fmt: skip
    """A stack and a provider, ended whatever happens."""
    folder.mkdir(exist_ok=True)
    provider = Provider(free_port(), folder / "provider.log")
    if provider_runs:
        provider.start()
    stack = PatientStack(folder, free_ports(), bootstrap=bootstrap or open_bootstrap(), config=config(provider.issuer))
    try:
        stack.start()
        mesh = Mesh(stack, provider)
        try:
            if provider_runs and ready:
                wait_for(lambda: mesh.readiness()[0] == 200)
            yield mesh
        finally:
            mesh.close()
    finally:
        stack.stop()
        provider.stop()


def open_bootstrap() -> dict[str, Any]:
    """The demo's Envoy without routes that name the demo's APIs: the service matches host and path itself."""
    bootstrap = load_yaml(ROOT / "envoy" / "demo.yaml")
    for listener in bootstrap["static_resources"]["listeners"]:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        for host in manager["route_config"]["virtual_hosts"]:
            host["routes"] = [{"match": {"prefix": "/"}, "route": {"cluster": "backend"}}]
    return bootstrap
