"""Which mistake makes a timestamp that is refused: its unit, a time zone, a wrong clock, a request that is old."""

from typing import Final

from extauthz.domain.header_names import X_CA_TIMESTAMP
from extauthz.domain.request import Request
from extauthz.explain.diagnosis.finding import Diagnosis, Finding
from extauthz.explain.fact import moment, span, text

_UNITS: Final = ((1000.0, "seconds"), (1e-3, "microseconds"), (1e-6, "nanoseconds"))
_QUARTER_MS: Final = 15 * 60_000
_FARTHEST_MS: Final = 14 * 3_600_000
"""No time zone is farther from UTC."""
_CLOSE_MS: Final = 120_000
_IN_MILLISECONDS: Final = {
    "Python": "str(int(time.time() * 1000))",
    "PHP": "(string) (int) (microtime(true) * 1000)",
    "Go": "strconv.FormatInt(time.Now().UnixMilli(), 10)",
    "Java": "String.valueOf(System.currentTimeMillis())",
    "JS": "String(Date.now())",
}


def diagnose_timestamp(request: Request, now_ms: int, window_ms: int) -> Diagnosis:
    """Why the timestamp is refused at ``now_ms``. Never proved: the service knows no clock but its own."""
    stated = request.headers.get(X_CA_TIMESTAMP, b"").strip()
    finding = _finding(stated, now_ms, window_ms)
    return Diagnosis(((finding,),), certain=finding.name == "timestamp_unit")


def _finding(stated: bytes, now_ms: int, window_ms: int) -> Finding:
    if not stated.isdigit():
        return Finding(
            "timestamp_form",
            "X-Ca-Timestamp is not a whole number.",
            "Send milliseconds since 1970, in digits and nothing else.",
            f"sent {text(stated)!r}" if stated else "sent nothing",
            _IN_MILLISECONDS,
        )
    number = int(stated)
    for factor, unit in _UNITS:
        if len(stated) < 25 and abs(now_ms - number * factor) <= window_ms:
            return Finding(
                "timestamp_unit",
                f"X-Ca-Timestamp is in {unit}.",
                "Send milliseconds since 1970.",
                f"{number} {unit} are {moment(int(number * factor))}",
                _IN_MILLISECONDS,
            )
    ahead_ms = now_ms - number
    quarters_ms = round(ahead_ms / _QUARTER_MS) * _QUARTER_MS
    if 0 < abs(quarters_ms) <= _FARTHEST_MS and abs(ahead_ms - quarters_ms) <= _CLOSE_MS and abs(ahead_ms) > window_ms:
        return Finding(
            "time_zone",
            "X-Ca-Timestamp was made of a local time as if it were UTC, or the request is that old.",
            "Count milliseconds since 1970-01-01T00:00:00Z, whatever the time zone.",
            f"it is off by {span(quarters_ms)}",
            {"Python": "time.time(), not calendar.timegm(time.localtime())", "Java": "System.currentTimeMillis()"},
        )
    if ahead_ms > 0:
        return Finding(
            "request_is_old",
            "The request was signed too long ago, or the client's clock is behind.",
            f"Sign anew for each request; set the client's clock by NTP. To decide as of then: --at {number}",
            f"signed at {moment(number)}, {span(ahead_ms)} before {moment(now_ms)}",
        )
    return Finding(
        "clock_is_ahead",
        "The client's clock is ahead, or ours is behind.",
        "Set both clocks by NTP.",
        f"signed at {moment(number)}, {span(ahead_ms)} after {moment(now_ms)}",
    )
