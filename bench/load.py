"""Load by real tools: h2load straight to a server, wrk through Envoy. A run with one wrong answer is no result."""

import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.constant import CHECK_PATH
from bench.requests import frame
from bench.servers import LOAD_CORE

CONNECTIONS: Final = 4
STREAMS: Final = 32
"""Checks in flight on each connection. 128 in all keep the server busy even where other parties share the machine."""
PAGES: Final = 64
"""Connections of wrk, each with one request under way."""
WARM_UP_S: Final = 0.2
_FRAME_OVERHEAD: Final = 5


class NoResult(Exception):
    """A run with failed requests, or with answers of the wrong size."""


class ToolMissing(Exception):
    """A load tool that is not installed; the message says how to get it."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one burst of load showed."""

    requests: int
    rate: float
    """Answers a second."""
    cpu_us: float
    """Processor time of the server for one answer, in microseconds."""
    busy: float
    """Share of one core that the server used: far below 1, the load generator was the limit."""
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float
    apart: dict[str, float] = field(default_factory=dict)
    """What only some lanes have to say."""


def require(*tools: str) -> None:
    """Raises ToolMissing unless all of these programs are there."""
    packages = {"h2load": "nghttp2-client", "wrk": "wrk", "taskset": "util-linux"}
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        names = " ".join(packages[tool] for tool in missing)
        raise ToolMissing(f"{', '.join(missing)} not found: apt-get install {names} (or what your system calls them)")


def h2load(
    address: str,
    message: bytes,
    answer_bytes: int,
    seconds: float,
    cpu_s: Callable[[], float],
    folder: Path,
) -> Round:
    """Ask one thing for so many seconds, as fast as answers come. Raises NoResult."""
    body, log = folder / "h2load.body", folder / "h2load.log"
    body.write_bytes(frame(message))
    log.unlink(missing_ok=True)
    command = [
        "taskset", "-c", LOAD_CORE, "h2load", f"http://{address}{CHECK_PATH}", "--data", str(body),
        "-H", "content-type: application/grpc", "-H", "te: trailers", "--log-file", str(log),
        "-c", str(CONNECTIONS), "-t", "1", "-m", str(STREAMS),
        "-D", f"{(WARM_UP_S + seconds) * 1000:.0f}ms",
    ]  # fmt: skip
    started, before = time.monotonic(), cpu_s()
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    used, elapsed = cpu_s() - before, time.monotonic() - started
    output = done.stdout
    counts = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", output)
    data = re.search(r"\((\d+)\) data", output)
    if done.returncode or not counts or not data or not int(counts[2]):
        raise NoResult(f"h2load: {output[-600:]}{done.stderr[-600:]}")
    if any(int(counts[i]) for i in (3, 4, 5)):
        raise NoResult(f"h2load: some requests failed: {counts[0]}")
    rows = [line.split("\t") for line in log.read_text().splitlines()]
    if any(row[1] != "200" for row in rows):
        raise NoResult("h2load: an answer with an HTTP status other than 200")
    # A gRPC error is an HTTP 200 without data, so the bytes tell whether there were any; but for the answers that were
    # under way when the time was up.
    expected = len(rows) * (answer_bytes + _FRAME_OVERHEAD)
    if abs(int(data[1]) - expected) > CONNECTIONS * STREAMS * (answer_bytes + _FRAME_OVERHEAD):
        raise NoResult(f"h2load: {len(rows)} answers with {data[1]} bytes of data instead of {expected}: wrong answers")
    # Our own warm-up and not h2load's, whose bytes are counted and whose answers are not.
    begin = int(rows[0][0]) + WARM_UP_S * 1e6
    latencies = sorted(int(row[2]) for row in rows if begin <= int(row[0]) + int(row[2]) < begin + seconds * 1e6)
    if not latencies:
        raise NoResult("h2load: no answer after the warm-up")
    return summarize(len(latencies) / seconds, used / len(rows) * 1e6, used / elapsed, latencies)


def wrk(url: str, headers: dict[str, str], seconds: float, cpu_s: Callable[[], float], core: str = LOAD_CORE) -> Round:
    """Ask for a page over and over. Raises NoResult when one answer is not 2xx or 3xx."""
    command = ["taskset", "-c", core, "wrk", "-t", "1", "-c", str(PAGES), "-d", f"{max(1, round(seconds))}s"]
    command += ["-s", str(Path(__file__).parent / "report.lua")]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    started, before = time.monotonic(), cpu_s()
    done = subprocess.run([*command, url], capture_output=True, text=True, timeout=seconds + 60, check=False)
    used, elapsed = cpu_s() - before, time.monotonic() - started
    numbers = re.search(r"^BENCH (.*)$", done.stdout, re.MULTILINE)
    if done.returncode or not numbers:
        raise NoResult(f"wrk: {done.stdout[-600:]}{done.stderr[-600:]}")
    answers, took_us, failed, *latencies = (float(number) for number in numbers[1].split())
    if failed or not answers:
        raise NoResult(f"wrk: {failed:.0f} of {answers:.0f} requests failed")
    p50, p90, p99, p999 = latencies
    return Round(int(answers), answers / took_us * 1e6, used / answers * 1e6, used / elapsed, p50, p90, p99, p999)


def summarize(rate: float, cpu_us: float, busy: float, latencies: list[int]) -> Round:
    """A round from its sorted latencies in microseconds."""

    def percentile(share: float) -> float:
        return float(latencies[min(len(latencies) - 1, int(share * len(latencies)))])

    return Round(
        len(latencies), rate, cpu_us, busy, percentile(0.5), percentile(0.9), percentile(0.99), percentile(0.999)
    )
