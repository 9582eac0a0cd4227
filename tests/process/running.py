"""A real service process for tests: configuration, start, checks over gRPC, the operations port, stop."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import yaml

from extauthz.client.signer import Credentials, OutgoingRequest, SigningOptions, sign
from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.servicer import CHECK_PATH

KEY, SECRET, CODE = "test-key-0001", "test-secret-0001", "test-code-0001"


def base_config(listen: list[dict[str, Any]], operations: int) -> dict[str, Any]:
    """APIs `open` (/open), `coded` (/coded, AppCode) and `signed` (/signed, digest with nonce), and one app."""

    def api(name: str, method: str, **more: Any) -> dict[str, Any]:
        return {"id": name, "group": "g", "methods": ["GET"], "path": f"/{name}", "auth": {"internet": method}, **more}

    return {
        "listen": listen,
        "operations": f"127.0.0.1:{operations}",
        "drain": 0,
        "decision_log": {"destination": "none"},
        "groups": [{"id": "g", "domains": ["*"]}],
        "apis": [api("open", "none"), api("coded", "appcode"), api("signed", "digest", digest={"require_nonce": True})],
        "apps": [{"id": "app", "keys": [{"app_key": KEY, "app_secret": SECRET}], "app_codes": [CODE]}],
        "grants": [{"app": "app", "apis": ["coded", "signed"]}],
    }


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, in a row."""
    while True:
        # Below those that the kernel gives to outgoing connections, which otherwise take them, or even meet themselves.
        first = random.randrange(10_240, 32_000)
        try:
            taken = []
            for port in range(first, first + count):
                one = socket.socket()
                taken.append(one)
                one.bind(("127.0.0.1", port))
            return list(range(first, first + count))
        except OSError:
            continue
        finally:
            for one in taken:
                one.close()


def eventually(what: Callable[[], Any], timeout_s: float = 15.0) -> Any:
    """The first true value of ``what()``."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < deadline, f"did not happen within {timeout_s} s"
        time.sleep(0.05)


def check_request(path: str, headers: dict[str, str] | None = None, stream_id: str = "1") -> bytes:
    """A serialized CheckRequest for GET ``path``."""
    request = pb.CheckRequest()
    http = request.attributes.request.http
    http.id, http.method, http.path, http.host, http.scheme = stream_id, "GET", path, "api.test", "http"
    http.headers.update(headers or {})
    return request.SerializeToString()


def signed_headers(path: str, nonce: str) -> dict[str, str]:
    """Headers that the vendor's clients would send for GET ``path``."""
    signed = sign(OutgoingRequest("GET", path), Credentials(KEY, SECRET), SigningOptions(nonce=nonce))
    return {name.lower(): value for name, value in signed.items()}


class Caller:
    """A gRPC client of one listener, as Envoy is one."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None = None, **options: Any) -> None:
        settings = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1), *options.items()]
        if credentials is None:
            self.channel = grpc.insecure_channel(address, options=settings)
        else:
            self.channel = grpc.secure_channel(address, credentials, options=settings)
        self._check = self.channel.unary_unary(CHECK_PATH)

    def check(self, path: str, headers: dict[str, str] | None = None, stream_id: str = "1") -> pb.CheckResponse:
        return self.raw(check_request(path, headers, stream_id))

    def raw(self, payload: bytes, timeout_s: float = 5.0) -> pb.CheckResponse:
        return pb.CheckResponse.FromString(self._check(payload, timeout=timeout_s, wait_for_ready=False))

    def close(self) -> None:
        self.channel.close()


def status_of(answer: pb.CheckResponse) -> int:
    """200 for an allow, else the HTTP status of the denial."""
    if answer.status.code == 0:
        assert answer.HasField("ok_response")
        return 200
    return answer.denied_response.status.code


class Running:
    """``extauthz serve`` in a process of its own."""

    def __init__(
        self, folder: Path, config: dict[str, Any], *arguments: str, env: dict[str, str] | None = None
    ) -> None:
        self.file = folder / "extauthz.yaml"
        self.config = config
        self._workers = int(arguments[arguments.index("--workers") + 1]) if "--workers" in arguments else 1
        self.write(config)
        self._log_file = folder / "service.log"
        self._output = self._log_file.open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "extauthz", "serve", "--config", str(self.file), *arguments],
            stdout=self._output, stderr=subprocess.STDOUT, cwd=folder, env={**os.environ, **(env or {})},
        )  # fmt: skip

    def write(self, config: dict[str, Any]) -> None:
        """Replace the configuration file in one step, as careful editors do."""
        aside = self.file.with_suffix(".new")
        aside.write_text(yaml.safe_dump(config))
        aside.replace(self.file)

    @property
    def log(self) -> str:
        return self._log_file.read_text(errors="replace")

    def get(self, path: str) -> tuple[int, str]:
        """Status and body from the operations port; status 0 when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://{self.config['operations']}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def ready(self) -> dict[str, Any]:
        """The details of /readyz; empty when nobody answers."""
        status, body = self.get("/readyz")
        return json.loads(body) if status else {}

    def metric(self, sample: str) -> float:
        """The value of a sample such as ``extauthz_reloads_total{result="success"}``; 0 when it is not there."""
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(sample + " "):
                return float(line.rpartition(" ")[2])
        return 0.0

    def wait_ready(self) -> "Running":
        def up() -> bool:
            assert self.process.poll() is None, self.log
            details = self.ready()
            serving = [worker for worker in details.get("workers", [details]) if worker.get("ready")]
            return len(serving) == self._workers

        eventually(up, 30)
        return self

    def signal(self, signum: signal.Signals) -> None:
        self.process.send_signal(signum)

    def stop(self) -> int:
        """End it with SIGTERM; its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(20)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self._output.close()
