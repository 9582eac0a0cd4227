"""A stack with its own service configuration, and an Envoy that leaves matching to the service."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from demo.stack import ROOT, Stack, free_ports, load_yaml


def bootstrap(vpc_context: dict[str, str] | None = None, **manager_settings: Any) -> dict[str, Any]:
    """The demo's Envoy with one route for everything; settings of the connection manager can be replaced."""
    loaded = load_yaml(ROOT / "envoy" / "demo.yaml")
    for listener in loaded["static_resources"]["listeners"]:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        manager |= manager_settings
        for host in manager["route_config"]["virtual_hosts"]:
            host["routes"] = [{"match": {"prefix": "/"}, "route": {"cluster": "backend"}}]
            if listener["name"] == "vpc":
                filters = host["typed_per_filter_config"]["envoy.filters.http.ext_authz"]
                filters["check_settings"]["context_extensions"] |= vpc_context or {}
    return loaded


class Caller:
    """Calls one stack, on either listener, under any host name."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._client = httpx.Client(timeout=10, trust_env=False)

    def call(
        self, path: str, network: str = "internet", headers: list[tuple[str, str]] | None = None, host: str = ""
    ) -> httpx.Response:
        named = [("Host", host)] if host else []
        return self._client.get(self._stack.url(network, path), headers=[*named, *(headers or [])])

    def code(self, *args: Any, **more: Any) -> tuple[int, str]:
        """Status and X-Ca-Error-Code of a call."""
        answer = self.call(*args, **more)
        return answer.status_code, answer.headers.get("x-ca-error-code", "")

    def close(self) -> None:
        self._client.close()


@contextmanager
def policy_stack(folder: Path, config: dict[str, Any], envoy: dict[str, Any]) -> Iterator[Caller]:
    """A running stack; ``config`` needs no listen address."""
    ports = {
        "listen": [{"address": "127.0.0.1:9191"}],
        "operations": "127.0.0.1:9901",
        "drain": 0,
        "decision_log": {"destination": "none"},
    }
    stack = Stack(folder, free_ports(), bootstrap=envoy, config=ports | config)
    stack.start()
    caller = Caller(stack)
    try:
        yield caller
    finally:
        caller.close()
        stack.stop()
