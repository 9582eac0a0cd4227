"""An admin process as an operator starts it."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.process.running import base_config, eventually, free_ports

MASTER_KEY_TEXT = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
"""The master key of the registry's tests."""


class AdminProcess:
    """``extauthz admin`` on a free port over a migrated registry."""

    def __init__(self, folder: Path, database: str, **admin: Any) -> None:
        (folder / "master.keys").write_text(MASTER_KEY_TEXT)
        checks, operations, self.port = free_ports(3)
        config = base_config([{"address": f"127.0.0.1:{checks}"}], operations) | {
            "registry": {"database": database, "master_keys": {"file": "master.keys"}},
            "admin": {"address": f"127.0.0.1:{self.port}", **admin},
        }
        self.config = folder / "extauthz.yaml"
        self.config.write_text(yaml.safe_dump(config))
        self.log = folder / "admin.log"
        self.scheme = "https" if "tls" in admin else "http"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.port}"

    def start(self, verify: Any = True) -> "AdminProcess":
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "extauthz", "admin", "-c", str(self.config)], stdout=log, stderr=log
            )
        eventually(lambda: self._is_ready(verify), 60)
        return self

    def kill(self) -> None:
        """As the kernel does it when memory is short."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """As an operator does it; the exit code."""
        return self._end(signal.SIGTERM)

    def run(self, *arguments: str) -> str:
        """The output of a command over the same registry."""
        command = [sys.executable, "-m", "extauthz", *arguments, "-c", str(self.config)]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout

    def _end(self, signum: int) -> int:
        if self._process is None:
            return 0
        os.kill(self._process.pid, signum)
        code = self._process.wait(30)
        self._process = None
        return code

    def _is_ready(self, verify: Any) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"{self.url}/readyz", verify=verify).status_code == 200
        except httpx.HTTPError:
            return False
