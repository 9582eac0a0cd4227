"""Strangers' frames at the front: ``python -m fuzz.front [--seconds N] [--seed N]``, or ``make fuzz-front``.

A real service serves; connection after connection says what HTTP/2 and gRPC allow, and what they do not: frames out of
order, cut, flipped, padded, header blocks in pieces, messages in pieces, calls that are taken back. What must hold:

- the process lives, and answers a plain check on another connection (no crash, no hang);
- whatever is answered on the path of checks is answered with HTTP 200, gRPC status 0 and a CheckResponse: no gRPC
  error where a denial is due. A call that was taken back may be told so, and a broken connection may end.
"""

import argparse
import contextlib
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import grpc
import hpack
import yaml

from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.servicer import CHECK_PATH
from fuzz.frames import DATA, HEADERS, Conversation, message

_PATIENCE_S: Final = 10.0
"""For an answer to a plain check, beside whatever else the machine does."""
_LISTEN_S: Final = 0.05
_CANARY_EVERY: Final = 100
_AT_ONCE: Final = 16


class Broken(Exception):
    """A promise that was broken. The message has the seed with which the run finds it again."""


@dataclass(slots=True)
class Found:
    """What one run did."""

    connections: int = 0
    answers: int = 0
    checks: int = 0
    """Of these, with a CheckResponse."""

    def __iadd__(self, other: "Found") -> "Found":
        self.connections += other.connections
        self.answers += other.answers
        self.checks += other.checks
        return self


class Listener:
    """What the front says on one connection."""

    def __init__(self, said: Conversation, found: Found) -> None:
        self._said = said
        self._found = found
        self._decoder = hpack.Decoder(max_header_list_size=1 << 20)
        self._data: dict[int, bytes] = {}

    def read(self, received: bytes) -> None:
        """Judge every answer. Raises Broken."""
        at = 0
        while len(received) - at >= 9:
            end = at + 9 + int.from_bytes(received[at : at + 3], "big")
            if end > len(received):
                return
            kind, stream = received[at + 3], int.from_bytes(received[at + 5 : at + 9], "big")
            payload = received[at + 9 : end]
            if kind == DATA:
                self._data[stream] = self._data.get(stream, b"") + payload
            elif kind == HEADERS:
                self._judge(stream, {str(name): str(value) for name, value in self._decoder.decode(payload)})
            at = end

    def _judge(self, stream: int, headers: dict[str, str]) -> None:
        if stream not in self._said.on_check_path:
            return
        if headers.get(":status", "200") != "200":
            raise Broken(f"HTTP {headers[':status']} on the path of checks")
        status = headers.get("grpc-status")
        if status is None:
            return
        self._found.answers += 1
        if status == "1" and stream in self._said.taken_back:
            return
        if status != "0":
            raise Broken(f"gRPC status {status} ({headers.get('grpc-message', '')}) where a denial is due")
        pb.CheckResponse.FromString(self._data[stream][5:])
        self._found.checks += 1


def converse(port: int, seed: int) -> "Found":
    """One connection. Raises Broken."""
    found = Found(1)
    said = Conversation(random.Random(seed))
    received = b""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S) as connection:
        for part in said.parts():
            connection.sendall(part)
        connection.settimeout(_LISTEN_S)
        with contextlib.suppress(TimeoutError):
            while piece := connection.recv(65_536):
                received += piece
    try:
        Listener(said, found).read(received)
    except Broken as broken:
        raise Broken(f"{broken}; seed {seed}") from None
    return found


def fuzz(port: int, seconds: float, seed: int, lives: Callable[[], bool]) -> Found:
    """Converse for so many seconds. Raises Broken. ``lives`` says whether the service does."""
    found, until = Found(), time.monotonic() + seconds
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, ThreadPoolExecutor(_AT_ONCE) as pool:
        check = channel.unary_unary(CHECK_PATH)
        while time.monotonic() < until:
            seeds = range(seed + found.connections, seed + found.connections + _CANARY_EVERY)
            for one in pool.map(lambda one: converse(port, one), seeds):
                found += one
            if not lives():
                raise Broken(f"the service is gone; one of {seeds}")
            try:
                answer = pb.CheckResponse.FromString(check(message(), timeout=_PATIENCE_S))
            except grpc.RpcError as error:
                raise Broken(f"a plain check got {error.code()}; behind {seeds}") from None
            if answer.status.code:
                raise Broken(f"a plain check was denied; behind {seeds}")
    return found


def _configuration(port: int) -> str:
    api = {"id": "open", "group": "g", "methods": ["GET"], "path": "/open", "auth": {"internet": "none"}}
    data = {
        "listen": [{"address": f"127.0.0.1:{port}"}], "operations": f"127.0.0.1:{port + 1}", "transport": "front",
        "drain": 0, "decision_log": {"destination": "none"}, "groups": [{"id": "g", "domains": ["*"]}], "apis": [api],
    }  # fmt: skip
    return yaml.safe_dump(data)


def _resident_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz.front", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=time.time_ns() // 1_000_000)
    parser.add_argument("--port", type=int, default=19491)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        file = Path(folder) / "extauthz.yaml"
        file.write_text(_configuration(arguments.port))
        service = subprocess.Popen([sys.executable, "-m", "extauthz", "serve", "--config", str(file)])
        try:
            while service.poll() is None:
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{arguments.port + 1}/readyz", timeout=1).close()
                    break
                time.sleep(0.1)
            before_mib = _resident_mib(service.pid)
            found = fuzz(arguments.port, arguments.seconds, arguments.seed, lambda: service.poll() is None)
            grown_mib = _resident_mib(service.pid) - before_mib
        except Broken as broken:
            print(f"broken: {broken}")
            return 1
        finally:
            service.terminate()
            service.wait(20)
    print(
        f"{found.connections:,} connections from seed {arguments.seed}, {found.answers:,} answers on the path of "
        f"checks, {found.checks:,} of them a CheckResponse; +{grown_mib:.0f} MiB"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
