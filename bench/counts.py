"""Instructions for one check, counted by valgrind: the same on every machine and under any load.

Run as ``python -m bench.counts CONFIG REQUESTS`` it answers the checks of one lane after the other, and marks where
each begins and ends by calling a function of the C library that nothing else calls. Callgrind, told to write down what
it has counted at each mark, tells the lanes apart: one process for all of them, and starting up does not count.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from base64 import b64decode, b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench import inprocess, requests
from bench.servers import environment
from extauthz.config import load

if TYPE_CHECKING:
    from bench.world import World

COUNTED: Final = 100
_WARM_UP: Final = 50
_MARK: Final = "getloadavg"
NONCE: Final = "digest_get_nonce"
FIRST_SEEN: Final = "jwt_first_seen"
LANES: Final = (*requests.METHODS, NONCE, FIRST_SEEN)


def instructions_per_check(world: "World", folder: Path) -> dict[str, float]:
    """Instructions of the servicer for one check, by lane; empty where there is no valgrind."""
    if shutil.which("valgrind") is None:
        return {}
    config = world.write(folder, "counted", address="127.0.0.1:1", operations="127.0.0.1:2", transport="auto")
    asked = write_requests(world, folder)
    command = ["valgrind", "--tool=callgrind", f"--dump-before={_MARK}", f"--callgrind-out-file={folder}/counted.out"]
    command += ["--dump-line=no", sys.executable, "-m", "bench.counts", str(config), str(asked)]
    seeded = {**environment(), "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=seeded)
    # The first part is the start and the first warm-up, the second what we want, the third the next warm-up, and so on.
    wanted = [folder / f"counted.out.{2 * index + 2}" for index in range(len(LANES))]
    if done.returncode or not all(file.exists() for file in wanted):
        raise inprocess.WrongAnswer(f"valgrind counted nothing: {done.stderr[-500:]}")
    return {lane: _total(file) / COUNTED for lane, file in zip(LANES, wanted, strict=True)}


def write_requests(world: "World", folder: Path) -> Path:
    """Write the checks of every lane to a file."""
    asked = folder / "counted.json"
    asked.write_text(json.dumps({lane: [b64encode(one).decode() for one in _payloads(world, lane)] for lane in LANES}))
    return asked


def _payloads(world: "World", lane: str) -> list[bytes]:
    numbers = range(_WARM_UP + COUNTED)
    if lane == NONCE:
        return [requests.check_request(world, requests.DIGEST_GET, nonce=f"{number:036}") for number in numbers]
    if lane == FIRST_SEEN:
        tokens = (requests.make_token(world, number) for number in numbers)
        return [requests.check_request(world, requests.JWT, token=token) for token in tokens]
    return [requests.check_request(world, lane)]


def _total(file: Path) -> int:
    found = re.search(r"^(?:totals|summary): (\d+)", file.read_text(), re.MULTILINE)
    if found is None:
        raise inprocess.WrongAnswer(f"{file.name} has no total")
    return int(found[1])


def main() -> None:
    config, asked = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    snapshot = load(config).snapshot
    for lane in LANES:
        servicer = inprocess.make_servicer(snapshot)
        payloads = [b64decode(one) for one in asked[lane]]
        method = {NONCE: requests.DIGEST_GET, FIRST_SEEN: requests.JWT}.get(lane, lane)
        if len(payloads) == 1:
            payloads *= _WARM_UP + COUNTED
        for payload in payloads[:_WARM_UP]:
            inprocess.answer_of(servicer, payload, method)
        os.getloadavg()
        for payload in payloads[_WARM_UP:]:
            servicer.check(payload)
        os.getloadavg()


if __name__ == "__main__":
    main()
