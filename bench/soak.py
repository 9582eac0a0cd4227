"""Steady load for a long time: are memory and file descriptors flat? ``make soak``, docs/limits.md.

The load is what a day brings: allows, refusals of every kind, forms, connections that come and go.
"""

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import grpc
import yaml

from extauthz.client import Credentials, OutgoingRequest, sign
from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.servicer import CHECK_PATH

RESULT: Final = Path("bench/results/soak.json")
SAMPLE_S: Final = 10.0
WARM_UP_SHARE: Final = 0.3
"""Of the samples: caches and the store of nonces (which live for 30 minutes) fill up in it."""
FLAT_MIB_PER_HOUR: Final = 8.0
_KEY, _SECRET, _CODE = "soak-key", "soak-secret-of-nobody", "soak-code"
_PATIENCE_S: Final = 10.0


def _configuration(port: int, transport: str) -> dict[str, Any]:
    def api(name: str, method: str) -> dict[str, Any]:
        paths = {"id": name, "group": "g", "methods": ["GET", "POST"], "path": f"/{name}"}
        # A short window, so that nonces come and go within a run instead of filling the store all along.
        digest: dict[str, Any] = {"digest": {"window": 60}} if method == "digest" else {}
        return {**paths, "auth": {"internet": method}, **digest}

    return {
        "listen": [{"address": f"127.0.0.1:{port}"}], "operations": f"127.0.0.1:{port + 1}",
        "transport": transport, "drain": 0,
        "decision_log": {"destination": {"file": "decisions.jsonl"}},
        "replay": {"longest_window": 60, "share": 1},
        "groups": [{"id": "g", "domains": ["*"]}],
        "apis": [api("open", "none"), api("coded", "appcode"), api("signed", "digest")],
        "apps": [{"id": "app", "keys": [{"app_key": _KEY, "app_secret": _SECRET}], "app_codes": [_CODE]}],
        "grants": [{"app": "app", "apis": ["coded", "signed"]}],
    }  # fmt: skip


def _requests() -> Iterator[bytes]:
    for number in count():
        yield _message("/open")
        yield _message("/coded", {"authorization": f"APPCODE {_CODE}"})
        yield _message("/coded", {"authorization": f"APPCODE guess-{number}"})
        yield _message(f"/nowhere/{number}", host=f"h{number}.example")
        target = f"/signed?n={number}"
        yield _message(target, sign(OutgoingRequest("GET", target), Credentials(_KEY, _SECRET)))
        yield _message(target, sign(OutgoingRequest("GET", target), Credentials(_KEY, f"wrong-{number}")))
        yield _message(target, {"x-ca-signature-headers": f"a{number},b", "x-ca-key": "?", "x-ca-signature": "?"})
        form = {"content-type": "application/x-www-form-urlencoded", "x-ca-key": _KEY, "x-ca-signature": "?"}
        yield _message("/signed", form, body=b"a=%41" * (number % 2000))


def _message(path: str, headers: dict[str, str] | None = None, host: str = "a.example", body: bytes = b"") -> bytes:
    message = pb.CheckRequest()
    http = message.attributes.request.http
    http.id, http.method, http.path, http.host = str(time.monotonic_ns()), "POST" if body else "GET", path, host
    http.headers.update({name.lower(): value for name, value in (headers or {}).items()})
    http.raw_body = body
    return message.SerializeToString()


def _rss_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def soak(seconds: float, rate: float, transport: str, port: int) -> dict[str, Any]:
    """Load one service for so long; samples of memory (MiB) and file descriptors, and what they amount to."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "extauthz.yaml"
        file.write_text(yaml.safe_dump(_configuration(port, transport)))
        process = subprocess.Popen([sys.executable, "-m", "extauthz", "serve", "--config", str(file)], cwd=folder)
        try:
            _wait_until_it_listens(process, port)
            samples, answers = _load(process.pid, f"127.0.0.1:{port}", seconds, rate)
        finally:
            process.terminate()
            process.wait(20)
    return {"transport": transport, "seconds": seconds, "per_second": rate, "answers": answers} | _verdict(samples)


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    while process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise SystemExit("the service did not start; it says why above")


def _load(pid: int, address: str, seconds: float, rate: float) -> tuple[list[dict[str, float]], dict[str, int]]:
    samples: list[dict[str, float]] = []
    answers = {"allowed": 0, "denied": 0, "no answer": 0}
    begun = time.monotonic()
    channel: grpc.Channel | None = None
    for number, request in enumerate(_requests()):
        now_s = time.monotonic() - begun
        if now_s >= seconds:
            break
        if channel is None or number % 5000 == 0:  # connections come and go
            if channel is not None:
                channel.close()
            channel = grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
            check = channel.unary_unary(CHECK_PATH)
        try:
            answer = pb.CheckResponse.FromString(check(request, timeout=_PATIENCE_S, wait_for_ready=True))
            answers["denied" if answer.status.code else "allowed"] += 1
        except grpc.RpcError:
            answers["no answer"] += 1
        if now_s >= len(samples) * SAMPLE_S:
            descriptors = len(os.listdir(f"/proc/{pid}/fd"))
            samples.append({"s": round(now_s, 1), "rss_mib": round(_rss_mib(pid), 2), "descriptors": descriptors})
        time.sleep(max(0.0, (number + 1) / rate - (time.monotonic() - begun)))
    if channel is not None:
        channel.close()
    return samples, answers


def _verdict(samples: list[dict[str, float]]) -> dict[str, Any]:
    settled = samples[int(len(samples) * WARM_UP_SHARE) :]
    slope = statistics.linear_regression(
        [sample["s"] for sample in settled], [sample["rss_mib"] for sample in settled]
    ).slope
    spread = max(sample["descriptors"] for sample in settled) - min(sample["descriptors"] for sample in settled)
    return {
        "rss_mib_first": samples[0]["rss_mib"], "rss_mib_settled": settled[0]["rss_mib"],
        "rss_mib_last": samples[-1]["rss_mib"], "rss_mib_per_hour": round(slope * 3600, 2),
        "descriptors_spread": spread, "memory_is_flat": slope * 3600 < FLAT_MIB_PER_HOUR,
        "descriptors_are_flat": spread <= 3, "samples": samples,
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--rate", type=float, default=300, help="checks per second")
    parser.add_argument("--transport", default="auto")
    parser.add_argument("--port", type=int, default=19391)
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    result = soak(arguments.seconds, arguments.rate, arguments.transport, arguments.port)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print({name: value for name, value in result.items() if name != "samples"})
    answered = not result["answers"]["no answer"]
    return 0 if answered and result["memory_is_flat"] and result["descriptors_are_flat"] else 1


if __name__ == "__main__":
    sys.exit(main())
