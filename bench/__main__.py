"""``python -m bench``: measure, write bench/results/latest.{json,md,svg}, and print the ratios that have to hold."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import extauthz
from bench import inprocess, pauses, requests
from bench.counts import instructions_per_check
from bench.lanes import run_lanes
from bench.load import NoResult, ToolMissing, require
from bench.reloading import reload_lane
from bench.report import Report
from bench.scenarios import (
    Bench,
    build_lanes,
    envoy_lanes,
    open_loop_lane,
    overload_lanes,
    variant_lane,
    worker_lanes,
)
from bench.servers import LOAD_CORE, ROOT, Server, Servers, StartFailed, can_run_workers
from bench.traffic import Traffic, real_lanes, share_lanes
from bench.world import World

QUICK_METHODS = (requests.DIGEST_GET, requests.APP_CODE, requests.JWT)
MANY_APPS = 1_000_000
MANY_APIS = 10_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only the ratios that have to hold, under two minutes")
    parser.add_argument("--turns", type=int, help="how often each lane runs")
    parser.add_argument("--seconds", type=float, help="how long a turn of a lane takes")
    parser.add_argument("--results", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    os.sched_setaffinity(0, {int(LOAD_CORE)})  # our own load driver runs in this process
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended on that way too
    report = Report("make bench-quick" if options.quick else "make bench", extauthz.build())
    folder = Path(tempfile.mkdtemp(prefix="extauthz-bench-"))
    try:
        require("h2load", "wrk", "taskset")
        with Servers(World(), folder) as servers:
            bench = Bench.open(servers, options.seconds or (1.0 if options.quick else 1.5))
            _measure(bench, report, options.turns or (3 if options.quick else 5), options.quick)
    except (NoResult, ToolMissing, StartFailed, inprocess.WrongAnswer) as error:
        print(f"no result: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder)  # it holds the secrets of this run
    report.note_limits()
    report.write(options.results)
    print((options.results / "latest.md").read_text())
    print("\n".join(report.lines()))
    return 0


def _measure(bench: Bench, report: Report, turns: int, quick: bool) -> None:
    say = _speaker()
    say("the servicer by itself")
    _in_process(bench, report, 800 if quick else 3000)
    ours, grpcio = bench.servers.service("front"), bench.servers.service("grpcio")
    _real(bench, report, turns, quick, say, {"front": ours, "grpcio": grpcio})
    _overload(bench, report, turns, say, {"front": ours, "grpcio": grpcio})
    if report.build == "compiled":
        _builds(bench, report, turns, say, ours)
    say("through Envoy")
    report.results |= run_lanes(list(envoy_lanes(bench, ours, bench.constant("front"))), turns, say)
    report.ratios["envoy_digest_vs_envoy_constant"] = _share(report, "envoy_digest", "envoy_constant")
    if can_run_workers():
        _workers(bench, report, turns, say)
    else:
        report.notes.append("Workers are not measured: this `extauthz serve` has no --workers.")
    if not quick:
        _rest(bench, report, min(turns, 3), say, ours)


def _in_process(bench: Bench, report: Report, tokens: int) -> None:
    for method, us in inprocess.servicer_us(bench.world, bench.snapshot).items():
        report.values[f"servicer_{method}_us"] = us
    rs256 = report.values["rs256_verify_us"] = inprocess.rs256_us(bench.world)
    report.values["rs256_in_pyjwt_us"] = inprocess.pyjwt_us(bench.world)
    payloads = [
        requests.check_request(bench.world, requests.JWT, token=requests.make_token(bench.world, number))
        for number in range(tokens)
    ]
    unseen = report.values["servicer_jwt_first_seen_us"] = inprocess.first_seen_us(bench.snapshot, payloads)
    report.ratios["jwt_first_seen_servicer_vs_rs256"] = rs256 / unseen
    report.ratios["jwt_first_seen_servicer_vs_rs256_in_pyjwt"] = report.values["rs256_in_pyjwt_us"] / unseen
    signed = [
        requests.check_request(bench.world, requests.DIGEST_GET, nonce=f"{number:036}") for number in range(2 * tokens)
    ]
    report.values["servicer_digest_get_nonce_us"] = inprocess.first_seen_us(bench.snapshot, signed, requests.DIGEST_GET)


def _real(
    bench: Bench, report: Report, turns: int, quick: bool, say: Callable[[str], None], servers: dict[str, Server]
) -> None:
    traffic, service = Traffic(bench.world), bench.servers.service
    servers = {**servers, "tls": service("front", name="tls", tls=True)}
    servers["redis"] = service("front", name="nonces-in-redis", redis=bench.servers.redis())
    say(f"building snapshots of {MANY_APPS:,} apps and {MANY_APIS:,} APIs")
    servers |= {"apps": service("front", apps=MANY_APPS), "apis": service("front", apis=MANY_APIS)}
    report.results |= run_lanes(list(real_lanes(bench, traffic, servers, 3000 if quick else 10_000)), turns, say)
    for name in ("tls_vs_plain", "redis_vs_memory", "apps_1000000_vs_10", "apis_10000_vs_10"):
        report.ratios[f"signed_{name}"] = _share_by_cpu(report, f"signed_{name.partition('_')[0]}", "signed")
    report.ratios["signed_front_vs_grpcio"] = 1 / _share_by_cpu(report, "signed_grpcio", "signed")
    for method in ("signed", "appcode", "jwt_seen", "jwt_unseen", "signed_redis", "signed_grpcio"):
        report.values[f"{method}_per_s"] = report.results[method].median("rate")
        report.values[f"{method}_cpu_us"] = report.results[method].median("cpu_us")
    say("at a quarter and half of the peak")
    lanes = [
        *share_lanes(bench, traffic, servers["front"], "signed", "signed", lambda: report.values["signed_per_s"]),
        *share_lanes(
            bench, traffic, servers["redis"], "redis", "nonces in Redis", lambda: report.values["signed_redis_per_s"]
        ),
    ]
    report.results |= run_lanes(lanes, turns, say)
    for lane, value in (("signed_at_0.25", "signed_at_a_quarter"), ("signed_at_0.5", "signed_half"),
                        ("redis_at_0.5", "redis_at_half")):  # fmt: skip
        report.values[f"{value}_p99_ms"] = report.results[lane].median("p99_us") / 1000


def _overload(bench: Bench, report: Report, turns: int, say: Callable[[str], None], servers: dict[str, Server]) -> None:
    say("twice as much as can be answered")
    for transport, server in servers.items():
        report.results |= run_lanes(list(overload_lanes(bench, server, transport)), turns, say)
        peak, over = report.results[f"overload_peak_{transport}"], report.results[f"overload_{transport}"]
        prefix = "" if transport == "front" else f"{transport}_"
        report.ratios[f"{prefix}overload_throughput_share"] = over.share_of(peak)
        report.ratios[f"{prefix}overload_latency_times"] = over.times_p99(peak)
        report.ratios[f"{prefix}overload_unanswered_share"] = over.apart("nothing") / over.apart("offered")


def _builds(bench: Bench, report: Report, turns: int, say: Callable[[str], None], compiled: Server) -> None:
    say("the pure build beside the compiled one")
    pure = bench.servers.service("front", name="pure", pure=True)
    report.results |= run_lanes(
        list(build_lanes(bench, {"pure": pure, "compiled": compiled}, QUICK_METHODS)), turns, say
    )
    for method in QUICK_METHODS:
        report.ratios[f"{method}_compiled_vs_pure"] = _share(report, f"{method}_compiled", f"{method}_pure")


def _workers(bench: Bench, report: Report, turns: int, say: Callable[[str], None]) -> None:
    shares: dict[str, list[float]] = {}
    say("workers")
    report.results |= run_lanes(list(worker_lanes(bench, shares)), turns, say)
    of_two = shares["workers_2_digest"]
    report.ratios["worker_share_least"] = min(of_two)
    report.ratios["worker_share_most"] = max(of_two)
    report.ratios["workers_2_vs_1"] = _share(report, "workers_2_digest", "workers_1_digest")


def _rest(bench: Bench, report: Report, turns: int, say: Callable[[str], None], ours: Server) -> None:
    get, log = requests.DIGEST_GET, "decision log"
    say("decision log, and a fixed rate for latency")
    logging = bench.servers.service("front", name="logging", decision_log=str(bench.folder / "decisions.jsonl"))
    lanes = [
        *(
            variant_lane(bench, f"{method}_front", ours, "", method, requests.WORDS[method])
            for method in requests.METHODS
        ),
        variant_lane(bench, "digest_get_no_log", ours, "", get, "digest, GET, no decision log", log),
        variant_lane(
            bench, "digest_get_logged", logging, "digest_get_no_log", get, "digest, GET, logged", log, decision_log=True
        ),
        *(
            open_loop_lane(bench, f"{method}_open_loop_1000", ours, 1000, requests.WORDS[method], method)
            for method in (*QUICK_METHODS, requests.REFUSED)
        ),
    ]
    report.results |= run_lanes(lanes, turns, say)
    say("reloads")
    report.results |= run_lanes([reload_lane(bench)], 1, say)
    for share in ("p99", "p999"):
        report.values[f"reload_{share}_ms"] = report.results["reload_under_load"].median(f"{share}_us") / 1000
    paused = pauses.measured_apart(100_000, pauses.A_MINUTE_S)
    report.values["longest_pause_ms"] = paused.gaps_ms[-1]
    report.pauses = paused.histogram()
    say("counting instructions")
    counted = instructions_per_check(bench.world, bench.folder)
    report.values |= {f"instructions_{lane}": number for lane, number in counted.items()}
    if not counted:
        report.notes.append("Instructions are not counted: valgrind is not installed.")


def _share_by_cpu(report: Report, one: str, other: str) -> float:
    return report.results[one].share_of_by_cpu(report.results[other])


def _share(report: Report, one: str, other: str) -> float:
    return report.results[one].share_of(report.results[other])


def _speaker() -> Callable[[str], None]:
    began = time.monotonic()
    return lambda text: print(f"[{time.monotonic() - began:5.0f} s] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
