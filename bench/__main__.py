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
from bench import inprocess, requests
from bench.counts import instructions_per_check
from bench.lanes import run_lanes
from bench.load import NoResult, ToolMissing, require
from bench.report import Report
from bench.scenarios import (
    Bench,
    build_lanes,
    distinct_lanes,
    envoy_lanes,
    method_lanes,
    open_loop_lane,
    overload_lanes,
    variant_lane,
    worker_lanes,
)
from bench.servers import LOAD_CORE, ROOT, Server, Servers, StartFailed, can_run_workers
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
    ours, constant, grpcio = bench.servers.service("native"), bench.constant("native"), bench.constant("grpcio")
    _main_group(bench, report, turns, quick, say, (ours, constant, grpcio))
    few = min(turns, 3)
    ours_grpcio = bench.servers.service("grpcio")
    _overload(bench, report, turns, say, {"native": ours, "grpcio": ours_grpcio})
    if report.build == "compiled":
        _builds(bench, report, turns, say, ours)
    say("through Envoy")
    report.results |= run_lanes(list(envoy_lanes(bench, ours, constant)), turns, say)
    report.ratios["envoy_digest_vs_envoy_constant"] = _share(report, "envoy_digest", "envoy_constant")
    say("checks that all differ: making tokens")
    report.results |= run_lanes(list(distinct_lanes(bench, ours, constant, 1500, few)), few, say)
    first_seen_rate = report.results["distinct_jwt_first_seen"].median("rate")
    report.ratios["jwt_first_seen_native_vs_rs256"] = first_seen_rate * report.values["rs256_verify_us"] / 1e6
    in_pyjwt = first_seen_rate * report.values["rs256_in_pyjwt_us"] / 1e6
    report.ratios["jwt_first_seen_native_vs_rs256_in_pyjwt"] = in_pyjwt
    report.ratios["digest_with_nonce_vs_without"] = _share(report, "distinct_digest_nonce", "distinct_digest")
    if can_run_workers():
        _workers(bench, report, turns, say)
    else:
        report.notes.append("Workers are not measured: this `extauthz serve` has no --workers.")
    if not quick:
        _rest_of_the_matrix(bench, report, few, say, (ours, constant, grpcio, ours_grpcio))


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


def _main_group(
    bench: Bench, report: Report, turns: int, quick: bool, say: Callable[[str], None],
    started: tuple[Server, Server, Server],
) -> None:  # fmt: skip
    ours, constant, grpcio = started
    say(f"building snapshots of {MANY_APPS:,} apps and {MANY_APIS:,} APIs")
    many_apps = bench.servers.service("native", apps=MANY_APPS)
    many_apis = bench.servers.service("native", apis=MANY_APIS)
    methods = QUICK_METHODS if quick else tuple(one for one in requests.METHODS if one != requests.REFUSED)
    get = requests.DIGEST_GET
    base = f"{get}_native"
    lanes = [
        *method_lanes(bench, "native", ours, constant, methods),
        variant_lane(bench, "refused_signature_native", ours, base, requests.REFUSED, "digest, signature refused"),
        variant_lane(bench, "digest_get_1000000_apps", many_apps, base, get, "digest, 1,000,000 apps", apps=MANY_APPS),
        variant_lane(bench, "digest_get_10000_apis", many_apis, base, get, "digest, 10,000 APIs", apis=MANY_APIS),
        next(method_lanes(bench, "grpcio", grpcio, grpcio, (get,))),
    ]
    report.results |= run_lanes(lanes, turns, say)
    for method in methods:
        one, other = f"{method}_native", f"constant_{method}_native"
        report.ratios[f"{method}_vs_constant_native"] = _share(report, one, other)
        by_cpu = report.results[one].share_of_by_cpu(report.results[other])
        report.values[f"{method}_vs_constant_native_by_cpu_percent"] = 100 * by_cpu
    report.ratios["digest_get_native_vs_constant_grpcio"] = _share(report, base, f"constant_{get}_grpcio")
    report.ratios["refused_vs_accepted_native"] = _share(report, "refused_signature_native", base)
    report.ratios["apps_1000000_vs_10"] = _share(report, "digest_get_1000000_apps", base)
    report.ratios["apis_10000_vs_10"] = _share(report, "digest_get_10000_apis", base)
    report.values["digest_get_native_per_s"] = report.results[base].median("rate")


def _overload(bench: Bench, report: Report, turns: int, say: Callable[[str], None], servers: dict[str, Server]) -> None:
    say("twice as much as can be answered")
    for transport, server in servers.items():
        report.results |= run_lanes(list(overload_lanes(bench, server, transport)), turns, say)
        peak, over = report.results[f"overload_peak_{transport}"], report.results[f"overload_{transport}"]
        prefix = "" if transport == "native" else f"{transport}_"
        report.ratios[f"{prefix}overload_throughput_share"] = over.share_of(peak)
        report.ratios[f"{prefix}overload_latency_times"] = over.times_p99(peak)
        report.ratios[f"{prefix}overload_unanswered_share"] = over.apart("nothing") / over.apart("offered")


def _builds(bench: Bench, report: Report, turns: int, say: Callable[[str], None], compiled: Server) -> None:
    say("the pure build beside the compiled one")
    pure = bench.servers.service("native", name="pure", pure=True)
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


def _rest_of_the_matrix(
    bench: Bench, report: Report, turns: int, say: Callable[[str], None], started: tuple[Server, Server, Server, Server]
) -> None:
    ours, constant, grpcio, ours_grpcio = started
    get, log = requests.DIGEST_GET, "decision log"
    base = f"{get}_native"
    say("headers as a map of text (encode_raw_headers off)")
    report.results |= run_lanes(
        list(method_lanes(bench, "native", ours, constant, requests.METHODS, header_map=False)), turns, say
    )
    say("grpcio")
    report.results |= run_lanes(list(method_lanes(bench, "grpcio", ours_grpcio, grpcio, requests.METHODS)), turns, say)
    say("decision log, and a fixed rate for latency")
    logging = bench.servers.service("native", name="logging", decision_log=str(bench.folder / "decisions.jsonl"))
    half = round(report.results[base].median("rate") / 2)
    lanes = [
        variant_lane(bench, "digest_get_no_log", ours, "", get, "digest, GET, no decision log", log),
        variant_lane(
            bench, "digest_get_logged", logging, "digest_get_no_log", get, "digest, GET, logged", log, decision_log=True
        ),
        open_loop_lane(bench, "constant_open_loop_1000", constant, 1000, "the constant answer"),
        *(
            open_loop_lane(bench, f"{method}_open_loop_1000", ours, 1000, requests.WORDS[method], method)
            for method in (*QUICK_METHODS, requests.REFUSED)
        ),
        open_loop_lane(bench, "digest_get_open_loop_half", ours, half, "digest, GET, half of its peak", get),
    ]
    report.results |= run_lanes(lanes, turns, say)
    say("counting instructions")
    counted = instructions_per_check(bench.world, bench.folder)
    report.values |= {f"instructions_{lane}": number for lane, number in counted.items()}
    if not counted:
        report.notes.append("Instructions are not counted: valgrind is not installed.")


def _share(report: Report, one: str, other: str) -> float:
    return report.results[one].share_of(report.results[other])


def _speaker() -> Callable[[str], None]:
    began = time.monotonic()
    return lambda text: print(f"[{time.monotonic() - began:5.0f} s] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
