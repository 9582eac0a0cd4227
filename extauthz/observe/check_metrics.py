"""How decisions are counted. No label is ever chosen by a client: all of them come from closed sets."""

from bisect import bisect_left
from collections.abc import Container, Iterator
from threading import Lock
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from extauthz.domain import reason
from extauthz.domain.decision import Allow
from extauthz.families import StreamedFamily
from extauthz.wire.checked import Checked

BUCKETS_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1)
OTHER: Final = "other"
"""The label of an API whose own series would be one too many, or that no longer exists."""
MOST_ALLOWED: Final = 20_000
MOST_DENIED: Final = 5_000
MOST_WARNED: Final = 5_000
"""Series that name an API, of each kind. Past them checks are counted under ``OTHER``. Denials have room of their own:
an app that asks every API in turn must not take the place of those that are called."""
_FOUND_AFTER_A_PROOF: Final = frozenset(
    {
        reason.NONCE_USED,
        reason.JTI_USED,
        reason.REPLAY_SHARE_FULL,
        reason.REPLAY_STORE_FULL,
        reason.REPLAY_STORE_UNAVAILABLE,
    }
)
"""What is found out last of all, when caller and grant are beyond doubt."""
_CheckKey = tuple[str, str, str, str, str]
"""Network, API, method, decision, reason."""
_WarningKey = tuple[str, str]
"""API, and a warning or a reason."""


class _Durations:
    """Checks of one method and decision: how many in each duration bucket, and their seconds together."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BUCKETS_S) + 1)
        self.seconds = 0.0


class _Series:
    """Checks with the same labels: how many, and with which others they share their durations."""

    __slots__ = ("checks", "durations")

    def __init__(self, durations: _Durations) -> None:
        self.checks = 0
        self.durations = durations


class CheckMetrics(Collector):
    """Counts decisions. Plain numbers under one short lock: a check pays for one look-up and three additions.

    Whoever has proved nothing makes no series: such denials name no API. What names one is bounded in number.
    """

    def __init__(self, apis: Container[str], most_allowed: int = MOST_ALLOWED, most_denied: int = MOST_DENIED) -> None:
        """``apis`` are the ids of the APIs that exist; a reload gives others to ``follow``.

        ``most_allowed`` and ``most_denied`` bound the series that name one; tests pass fewer.
        """
        self._most = {"allow": most_allowed, "deny": most_denied}
        self._lock = Lock()
        self._apis = apis
        self._series: dict[_CheckKey, _Series] = {}
        self._durations: dict[tuple[str, str], _Durations] = {}
        self._readings: dict[str, int] = {}
        self._warnings: dict[_WarningKey, int] = {}
        self._would_deny: dict[_WarningKey, int] = {}
        self._named = {"allow": 0, "deny": 0}
        """Series that name an API, by decision."""

    def record(self, checked: Checked) -> bool:
        """Count one check."""
        decision, api = checked.decision, checked.api
        if isinstance(decision, Allow):
            if decision.reading:
                self._count_reading(api, decision)
            if checked.would_deny:
                self._count_would_deny(api, checked.would_deny)
        elif not checked.app and decision.reason not in _FOUND_AFTER_A_PROOF:
            api = ""  # the subject of a denial has an app once that has proved who it is
        key = (checked.network.value, api, checked.method, checked.outcome, checked.label)
        seconds = checked.seconds
        with self._lock:
            series = self._series.get(key)
            if series is None:
                series = self._new_series(key)
            series.checks += 1
            durations = series.durations
            durations.buckets[bisect_left(BUCKETS_S, seconds)] += 1
            durations.seconds += seconds
        return True

    def follow(self, apis: Container[str]) -> None:
        """Other APIs exist from now on: forget those that are gone. Any thread may call this."""
        with self._lock:
            self._apis = apis
            gone = [key for key in self._series if key[1] not in apis and key[1] not in ("", OTHER)]
            for key in gone:
                del self._series[key]
                self._named[key[3]] -= 1
            for counts in (self._warnings, self._would_deny):
                for warned in [warned for warned in counts if warned[0] not in apis and warned[0] != OTHER]:
                    del counts[warned]

    def _new_series(self, key: _CheckKey) -> _Series:
        network, api, method, outcome, label = key
        if api:
            if api not in self._apis or self._named[outcome] >= self._most[outcome]:
                key = (network, OTHER, method, outcome, label)
                overflow = self._series.get(key)
                if overflow is not None:
                    return overflow
            else:
                self._named[outcome] += 1
        durations = self._durations.get((method, outcome))
        if durations is None:
            durations = self._durations[method, outcome] = _Durations()
        series = self._series[key] = _Series(durations)
        return series

    def _count_reading(self, api: str, allow: Allow) -> None:
        with self._lock:
            self._readings[allow.reading] = self._readings.get(allow.reading, 0) + 1
            if allow.warning:
                warned = (api, allow.warning)
                if warned not in self._warnings and (len(self._warnings) >= MOST_WARNED or api not in self._apis):
                    warned = (OTHER, allow.warning)
                self._warnings[warned] = self._warnings.get(warned, 0) + 1

    def _count_would_deny(self, api: str, cause: str) -> None:
        with self._lock:
            key = (api, cause)
            if key not in self._would_deny and (len(self._would_deny) >= MOST_WARNED or api not in self._apis):
                key = (OTHER, cause)
            self._would_deny[key] = self._would_deny.get(key, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """What a scrape sees. The samples of the large families are made while they are read."""
        yield StreamedFamily("extauthz_checks", "Checks answered.", "counter", self._check_samples)
        with self._lock:
            durations = {timed: (list(one.buckets), one.seconds) for timed, one in self._durations.items()}
            readings = dict(self._readings)
        histogram = HistogramMetricFamily(
            "extauthz_check_duration_seconds", "Time from request bytes to answer bytes.", labels=["method", "decision"]
        )
        for timed, (buckets, seconds) in durations.items():
            histogram.add_metric(timed, _cumulative(buckets), seconds)
        yield histogram
        counter = CounterMetricFamily(
            "extauthz_digest_readings", "Valid signatures by the reading of the string to sign.", labels=["reading"]
        )
        for reading, count in readings.items():
            counter.add_metric([reading], count)
        yield counter
        yield StreamedFamily(
            "extauthz_strict_warnings", "Allowed requests that strict mode would refuse.", "counter",
            self._warning_samples,
        )  # fmt: skip
        yield StreamedFamily(
            "extauthz_would_deny", "Allowed requests that are in shadow, by the reason for which they would be denied.",
            "counter", self._would_deny_samples,
        )  # fmt: skip

    def _check_samples(self) -> Iterator[Sample]:
        with self._lock:
            keys = list(self._series)
        for key in keys:
            series = self._series.get(key)
            if series is not None:
                network, api, method, outcome, label = key
                labels = {"network": network, "api": api, "method": method, "decision": outcome, "reason": label}
                yield Sample("extauthz_checks_total", labels, series.checks)

    def _warning_samples(self) -> Iterator[Sample]:
        return self._samples("extauthz_strict_warnings_total", "warning", self._warnings)

    def _would_deny_samples(self) -> Iterator[Sample]:
        return self._samples("extauthz_would_deny_total", "reason", self._would_deny)

    def _samples(self, name: str, label: str, counts: dict[_WarningKey, int]) -> Iterator[Sample]:
        with self._lock:
            keys = list(counts)
        for api, value in keys:
            count = counts.get((api, value))
            if count is not None:
                yield Sample(name, {"api": api, label: value}, count)


def _cumulative(counts: list[int]) -> list[tuple[str, float]]:
    total, buckets = 0, []
    for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets
