"""Decisions by app: of apps that proved who they are, and of so many that the numbers stay readable."""

from collections.abc import Iterator
from threading import Lock
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from extauthz.families import StreamedFamily
from extauthz.observe.check_metrics import OTHER
from extauthz.wire.checked import Checked

MOST_APPS: Final = 1_000
"""Apps with series of their own: the first that call. All others are counted under ``OTHER`` together."""


class _Counts:
    __slots__ = ("allow", "deny")

    def __init__(self) -> None:
        self.allow = 0
        self.deny = 0


class AppMetrics(Collector):
    """Counts decisions by app. A check pays for one look-up and one addition."""

    def __init__(self, most: int = MOST_APPS) -> None:
        """``most`` bounds the apps that are told apart; tests pass fewer."""
        self._most = most
        self._lock = Lock()
        self._apps: dict[str, _Counts] = {}

    def record(self, checked: Checked) -> None:
        """Count one check, where it is known whose it is."""
        app = checked.app
        if not app:
            return
        with self._lock:
            counts = self._apps.get(app)
            if counts is None:
                counts = self._apps.setdefault(app if len(self._apps) < self._most else OTHER, _Counts())
            if checked.outcome == "allow":
                counts.allow += 1
            else:
                counts.deny += 1

    def collect(self) -> Iterator[Metric]:
        """What a scrape sees."""
        yield StreamedFamily(
            "extauthz_app_checks", "Checks of apps that proved who they are.", "counter", self._samples
        )

    def _samples(self) -> Iterator[Sample]:
        with self._lock:
            apps = list(self._apps.items())
        for app, counts in apps:
            for decision, count in (("allow", counts.allow), ("deny", counts.deny)):
                if count:
                    yield Sample("extauthz_app_checks_total", {"app": app, "decision": decision}, count)
