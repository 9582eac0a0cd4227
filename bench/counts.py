"""Instructions for one check, counted by valgrind: the same on every machine and under any load.

Run as ``python -m bench.counts CONFIG REQUEST CHECKS`` it answers that many checks. The parent runs it with few and
with many under valgrind and divides the difference, so that starting up does not count.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench import inprocess, requests
from bench.servers import ROOT
from extauthz.config import load

if TYPE_CHECKING:
    from bench.scenarios import Bench

FEW: Final = 100
MANY: Final = 1100


def instructions_per_check(bench: "Bench") -> dict[str, float]:
    """Instructions of the servicer for one check, by method; empty where there is no valgrind."""
    if shutil.which("valgrind") is None:
        return {}
    config = bench.world.write(
        bench.folder, "counted", address="127.0.0.1:1", operations="127.0.0.1:1", transport="auto"
    )
    counted = {}
    for method in (requests.APP_CODE, requests.DIGEST_GET, requests.JWT):
        payload = bench.folder / f"{method}.request"
        payload.write_bytes(requests.check_request(bench.world, method))
        few, many = (_instructions(config, payload, checks) for checks in (FEW, MANY))
        counted[method] = (many - few) / (MANY - FEW)
    return counted


def _instructions(config: Path, payload: Path, checks: int) -> int:
    command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    command += [sys.executable, "-m", "bench.counts", str(config), str(payload), str(checks)]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    if done.returncode or found is None:
        raise inprocess.WrongAnswer(f"valgrind counted nothing: {done.stderr[-500:]}")
    return int(found[1].replace(",", ""))


def main() -> None:
    config, payload, checks = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    servicer = inprocess.make_servicer(load(config).snapshot)
    request = payload.read_bytes()
    inprocess.answer_of(servicer, request, payload.stem)
    for _ in range(checks):
        servicer.check(request)


if __name__ == "__main__":
    main()
