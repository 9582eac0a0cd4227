"""Instructions for one check, counted by valgrind: the same on every machine and under any load.

Run as ``python -m bench.counts METHOD CHECKS FOLDER`` it answers that many checks; the parent runs it with few and with
many under valgrind and divides the difference.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench import inprocess, requests
from bench.world import World

if TYPE_CHECKING:
    from bench.scenarios import Bench

FEW: Final = 50
MANY: Final = 250


def instructions_per_check(bench: "Bench") -> dict[str, float]:
    """Instructions of the servicer for one check, by method; empty where there is no valgrind."""
    if shutil.which("valgrind") is None:
        return {}
    methods = (requests.APP_CODE, requests.DIGEST_GET, requests.JWT)
    counted = {}
    for method in methods:
        few, many = (_instructions(bench.folder, method, checks) for checks in (FEW, MANY))
        counted[method] = (many - few) / (MANY - FEW)
    return counted


def _instructions(folder: Path, method: str, checks: int) -> int:
    command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    command += [sys.executable, "-m", "bench.counts", method, str(checks), str(folder)]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root, env={"PYTHONHASHSEED": "0"})
    found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    if found is None:
        raise inprocess.WrongAnswer(f"valgrind counted nothing: {done.stderr[-500:]}")
    return int(found[1].replace(",", ""))


def main() -> None:
    method, checks, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    world = World()
    servicer = inprocess.make_servicer(world.snapshot(folder))
    payload = requests.check_request(world, method)
    inprocess.answer_of(servicer, payload, method)
    for _ in range(checks):
        servicer.check(payload)


if __name__ == "__main__":
    main()
