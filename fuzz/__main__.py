"""Run the fuzzer: ``python -m fuzz [--seconds N] [--runs N] [TARGET ...]``. Needs the extra ``fuzz``.

Every target runs in a process of its own for its share of the time. What it found stays in ``.fuzz/``, where the next
run begins; an input that breaks a promise ends the run with its file name.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(".fuzz")
MAX_INPUT_BYTES: Final = 4096
_EXECUTED: Final = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_COVERED: Final = re.compile(r"cov: (\d+) ft: (\d+)")


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help="default: all of check, sign, token, path")
    parser.add_argument("--seconds", type=int, default=300, help="for all targets together")
    parser.add_argument("--runs", type=int, default=-1, help="executions per target; default: as many as fit")
    parser.add_argument("--seed", type=int, default=0, help="of the fuzzer's own dice; 0: another one each time")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        _fuzz_forever(arguments.inside, arguments.seconds, arguments.runs, arguments.seed)
    targets = arguments.targets or ["check", "sign", "token", "path"]
    results = [_run(name, max(1, arguments.seconds // len(targets)), arguments) for name in targets]
    FOLDER.joinpath("latest.json").write_text(json.dumps(results, indent=2) + "\n")
    for result in results:
        print("{target:6} {executions:>10,} executions  {per_second:>7,}/s  cov {coverage}  {outcome}".format(**result))
    return 0 if all(result["outcome"] == "ok" for result in results) else 1


def _run(name: str, seconds: int, arguments: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, "-m", "fuzz", "--inside", name, "--seconds", str(seconds), "--seed", str(arguments.seed)]
    log = FOLDER / f"{name}.log"
    FOLDER.mkdir(exist_ok=True)
    begun = time.monotonic()
    with log.open("wb") as output:
        status = subprocess.run([*command, "--runs", str(arguments.runs)], stderr=output, stdout=output).returncode
    took_s = time.monotonic() - begun
    told = log.read_text(errors="replace")
    executed = _EXECUTED.search(told)
    covered = _COVERED.findall(told)
    count = int(executed[1]) if executed else 0
    return {
        "target": name, "executions": count, "seconds": round(took_s), "per_second": round(count / took_s),
        "coverage": int(covered[-1][0]) if covered else 0, "features": int(covered[-1][1]) if covered else 0,
        "outcome": "ok" if status == 0 and count else f"see {log}",
    }  # fmt: skip


def _fuzz_forever(name: str, seconds: int, runs: int, seed: int) -> None:
    """Fuzz one target in this process; libFuzzer ends it."""
    import atheris  # an extra: only who fuzzes needs it

    with atheris.instrument_imports(include=["extauthz"], exclude=["extauthz.wire.generated"]):
        from fuzz.seeds import SEEDS, WORDS
        from fuzz.targets import TARGETS

    corpus = FOLDER / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for index, data in enumerate(SEEDS[name]):
        corpus.joinpath(f"seed-{index}").write_bytes(data)
    words = FOLDER / "words"
    words.write_text("".join(f"{json.dumps(word)}\n" for word in WORDS))
    options = [
        f"-max_total_time={seconds}", f"-runs={runs}", f"-max_len={MAX_INPUT_BYTES}", f"-dict={words}",
        f"-artifact_prefix={FOLDER}/{name}-", "-print_final_stats=1", "-timeout=5", f"-seed={seed}",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
