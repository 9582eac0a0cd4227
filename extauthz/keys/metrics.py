"""What Prometheus sees of the keys that providers publish."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from extauthz.families import Gauge, OverWorkers
from extauthz.keys.fetcher import KeyFetcher


class KeyMetrics(Collector):
    """Fetches, age and size of every remote key set: read at the time of the scrape."""

    def __init__(self, fetcher: KeyFetcher) -> None:
        self._fetcher = fetcher

    def collect(self) -> Iterator[Metric]:
        """What a scrape sees."""
        fetches = CounterMetricFamily("extauthz_jwks_fetches", "Fetches of key sets.", labels=["plugin", "result"])
        ages = Gauge("extauthz_jwks_age_seconds", "Since the last good fetch.", OverWorkers.HIGHEST, labels=["plugin"])
        sizes = Gauge("extauthz_jwks_keys", "Keys that verify tokens now.", OverWorkers.LOWEST, labels=["plugin"])
        for feed in self._fetcher.feeds:
            for result, count in list(feed.results.items()):
                fetches.add_metric([feed.plugin_id, result.value], count)
            age_s = feed.age_s
            if age_s is not None:
                ages.add_metric([feed.plugin_id], age_s)
            sizes.add_metric([feed.plugin_id], len(feed.keys.keys) if feed.keys else 0)
        yield fetches
        yield ages
        yield sizes
