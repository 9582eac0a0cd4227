"""The tables of the report. Everything that they leave out is in latest.json."""

from collections.abc import Mapping, Sequence

from bench.counts import LANES, NONCE
from bench.lanes import Result
from bench.requests import WORDS

_LANE_WORDS = {**WORDS, NONCE: "digest, GET with a nonce", "jwt_first_seen": "JWT never seen before"}


def one_check(values: Mapping[str, float]) -> list[str]:
    """Microseconds and instructions of the servicer, by method."""
    rows = []
    for lane in LANES:
        us, counted = values.get(f"servicer_{lane}_us"), values.get(f"instructions_{lane}")
        if us is not None:
            rows.append([_LANE_WORDS[lane], f"{us:.1f}", *([f"{counted:,.0f}"] if counted else [])])
    counted_any = any(len(row) > 2 for row in rows)
    return _table(["method", "microseconds", *(["instructions"] if counted_any else [])], rows)


def closed_loop(chosen: Mapping[str, Result], every: Mapping[str, Result]) -> list[str]:
    """As fast as answers come: each lane with what it is a share of, in one row."""
    rows = []
    beside = {result.lane.baseline for result in chosen.values()}
    for name, result in chosen.items():
        if name in beside and name.startswith("constant_"):
            continue  # it stands in the rows of those that it is beside
        other = every.get(result.lane.baseline)
        busy = f"{result.median('busy'):.2f}"
        shares = ["", "", ""]
        if other is not None:
            shares = [f"{other.median('rate'):,.0f}", f"{result.share_of(other):.2f}"]
            shares.append(f"{result.share_of_by_cpu(other):.2f}")
            busy += f" / {other.median('busy'):.2f}"
        times = [_ms(result.median("p50_us")), _ms(result.median("p99_us"))]
        memory = f"{result.rss_mib:.0f}" if result.rss_mib else ""
        first = [result.lane.words, f"{result.median('rate'):,.0f}", *shares]
        rows.append([*first, f"{result.median('cpu_us'):.1f}", busy, *times, memory])
    heads = ["", "answers/s", "beside it/s", "share", "share by CPU", "CPU us", "core used / beside"]
    return _table([*heads, "p50 ms", "p99 ms", "MiB"], rows)


def at_a_rate(chosen: Mapping[str, Result], every: Mapping[str, Result]) -> list[str]:
    """Latency at a fixed rate, stalls counted."""
    rows = [
        [result.lane.words, f"{result.median('rate'):,.0f}"]
        + [_ms(result.median(what)) for what in ("p50_us", "p90_us", "p99_us", "p999_us")]
        for result in chosen.values()
    ]
    return _table(["", "checks/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms"], rows)


def under_overload(chosen: Mapping[str, Result], every: Mapping[str, Result]) -> list[str]:
    """What became of more checks than can be answered."""
    rows = []
    for result in chosen.values():
        peak = every.get(result.lane.baseline)
        if peak is None:
            continue
        rates = [peak.median("rate"), result.apart("offered"), result.median("rate")]
        lost = [result.apart("broken"), result.apart("refused"), result.apart("nothing")]
        first = [result.lane.words, *(f"{rate:,.0f}" for rate in rates), f"{result.share_of(peak):.2f}"]
        times = [_ms(result.median("p50_us")), _ms(result.median("p99_us")), _ms(peak.median("p99_us"))]
        rows.append([*first, *(f"{rate:,.0f}" for rate in lost), *times, f"{result.apart('driver_busy'):.2f}"])
    heads = ["", "peak/s", "asked/s", "decided/s", "share of the peak", "503 by Envoy/s", "503 by us/s", "no answer/s"]
    return _table([*heads, "p50 ms", "p99 ms", "p99 ms at the peak", "driver's core"], rows)


def histogram(ranges: Sequence[tuple[str, int]]) -> list[str]:
    """How often each range was met."""
    return _table(["late by", "how often"], [[name, f"{count:,}"] for name, count in ranges])


def _ms(us: float) -> str:
    return f"{us / 1000:.2f}" if us < 10_000 else f"{us / 1000:.0f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(heads)} |",
        "|---" + "|--:" * (len(heads) - 1) + "|",
        *(f"| {' | '.join(r)} |" for r in rows),
    ]
