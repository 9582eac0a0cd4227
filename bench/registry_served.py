"""Checks that a real process serves from the registry: of ten apps, and of apps chosen among all."""

import random
import statistics
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from bench.distinct import ask_all
from bench.load import Round
from bench.registry_world import check_request, write_config
from bench.servers import SERVER_CORE, Server, Servers, free_port
from bench.world import World
from extauthz.wire.generated import ext_authz_pb2 as pb

FEW: Final = 10
_CHECKS: Final = 10_000
_ROUNDS: Final = 5


class Served(NamedTuple):
    """Rounds of checks that took turns, each with the median of what was seen."""

    few: Round
    many: Round

    def __str__(self) -> str:
        few, many = self.few, self.many
        return (
            f"{few.cpu_us:.0f} us and {many.cpu_us:.0f} us of processor time: "
            f"{100 * few.cpu_us / many.cpu_us:.0f} % of the throughput of ten; "
            f"p99 {few.p99_us / 1000:.1f} ms and {many.p99_us / 1000:.1f} ms"
        )


def served(folder: Path, database: str, count: int, transport: str) -> Served:
    """Ask a process that serves by one transport. Raises NoResult."""
    dice = random.Random(2)
    address, operations = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    file = write_config(folder, database, address, operations, transport)
    with TemporaryDirectory() as logs, Servers(World(), Path(logs)) as servers:
        command = [sys.executable, "-m", "extauthz", "serve", "--config", str(file)]
        process, log = servers.run(transport, command, SERVER_CORE)
        servers.wait_ready(transport, process, log, f"http://{operations}/readyz")
        server = Server(transport, address, process)
        rounds: dict[str, list[Round]] = {"few": [], "many": []}
        for number in range(_ROUNDS + 1):
            for name, apps in (("few", range(min(FEW, count))), ("many", range(count))):
                messages = [check_request(dice.choice(apps), place) for place in range(_CHECKS)]
                seen = ask_all(address, messages, _judge, server.cpu_s)
                if number:  # the first round warms up
                    rounds[name].append(seen)
    return Served(_median(rounds["few"]), _median(rounds["many"]))


def _judge(answer: bytes) -> None:
    if pb.CheckResponse.FromString(answer).status.code != 0:
        raise SystemExit("a check was refused")


def _median(rounds: list[Round]) -> Round:
    def of(field: Callable[[Round], float]) -> float:
        return statistics.median(field(one) for one in rounds)

    return replace(rounds[0], cpu_us=of(lambda one: one.cpu_us), rate=of(lambda one: one.rate),
                   p99_us=of(lambda one: one.p99_us))  # fmt: skip
