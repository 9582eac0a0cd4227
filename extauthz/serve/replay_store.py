"""The replay store that a configuration asks for, with its metrics and its end."""

from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from prometheus_client.core import CounterMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from extauthz.config import ServiceConfig
from extauthz.config.schema import Redis
from extauthz.config.secrets import resolve
from extauthz.decide.replay import MemoryReplayStore, ReplayStore
from extauthz.domain.decision import OneTimeKind
from extauthz.observe.families import Gauge, OverWorkers
from extauthz.replay.redis_client import RedisAddress
from extauthz.replay.redis_shares import Shares
from extauthz.replay.redis_store import RedisReplayStore

_SHOWN_HOLDERS: Final = 5


class OpenStore(NamedTuple):
    """A store that is in use."""

    store: ReplayStore
    metrics: Collector
    start: Callable[[], Coroutine[Any, Any, None]]
    """Connects, where there is something to connect to. Never fails, and may take seconds."""
    close: Callable[[], Awaitable[None]]


def open_store(config: ServiceConfig) -> OpenStore:
    """Redis where the configuration names one, else the memory of this process. Connects to nothing yet."""
    section = config.file.replay
    if section.redis is None:
        memory = MemoryReplayStore(section.capacity, section.jti_capacity, section.share)
        return OpenStore(memory, MemoryStoreMetrics(memory), _nothing, _nothing)
    shared = RedisReplayStore(
        _address(section.redis, config.path.parent),
        section.redis.timeout.total_seconds(),
        section.redis.connections,
        section.redis.prefix,
        section.redis.wait_replicas,
        Shares(dict.fromkeys(OneTimeKind, section.redis.capacity * section.share)) if section.share < 1 else None,
    )
    return OpenStore(shared, RedisStoreMetrics(shared), shared.start, shared.close)


def _address(section: Redis, base: Path) -> RedisAddress:
    sentinel = section.sentinel
    password = None if sentinel is None else sentinel.password
    return RedisAddress(
        url=resolve(section.url, base),
        sentinels=() if sentinel is None else tuple(map(_node, sentinel.nodes)),
        sentinel_username="" if sentinel is None else sentinel.username,
        sentinel_password="" if password is None else resolve(password, base),
        cluster=section.cluster,
        cluster_nodes=tuple(map(_node, section.cluster_nodes)),
    )


def _node(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


async def _nothing() -> None:
    return


class MemoryStoreMetrics(Collector):
    """How full the store is, and by whom."""

    def __init__(self, store: MemoryReplayStore) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        """What a scrape sees."""
        rooms = {OneTimeKind.NONCE: self._store.nonces, OneTimeKind.JTI: self._store.jtis}
        entries = Gauge("extauthz_replay_entries", "Nonces and jtis remembered.", OverWorkers.SUM, labels=["kind"])
        capacity = Gauge("extauthz_replay_capacity", "How many fit.", OverWorkers.SUM, labels=["kind"])
        holders = Gauge(
            "extauthz_replay_holder_entries",
            "Values of those who hold most.",
            OverWorkers.SUM,
            labels=["kind", "holder"],
        )
        for kind, room in rooms.items():
            entries.add_metric([kind], len(room))
            capacity.add_metric([kind], room.capacity)
            for holder, held in room.largest_holders(_SHOWN_HOLDERS):
                holders.add_metric([kind, holder], held)
        yield from (entries, capacity, holders)
        yield _refused({kind: room.refused for kind, room in rooms.items()})


def _refused(by_kind: Mapping[OneTimeKind, Mapping[str, int]]) -> Metric:
    refused = CounterMetricFamily(
        "extauthz_replay_share_refused",
        "Values refused because the app (for jtis the plug-in) holds its share of the store.",
        labels=["kind", "holder"],
    )
    for kind, refusals in by_kind.items():
        for holder, count in dict(refusals).items():
            refused.add_metric([kind, holder], count)
    return refused


class RedisStoreMetrics(Collector):
    """How Redis answers."""

    def __init__(self, store: RedisReplayStore) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        """What a scrape sees."""
        store = self._store
        outcomes = CounterMetricFamily("extauthz_replay_store_records", "Values recorded.", labels=["outcome"])
        for outcome, count in store.outcomes.items():
            outcomes.add_metric([outcome.value.replace(" ", "_")], count)
        yield outcomes
        yield SummaryMetricFamily(
            "extauthz_replay_store_round_trip_seconds",
            "Round trips to the shared store; one may carry many values.",
            count_value=store.round_trips,
            sum_value=store.seconds,
        )
        yield _refused(store.shares.refused)
        yield Gauge(
            "extauthz_replay_store_up", "1 while the last round trip was good.", OverWorkers.LOWEST, value=store.up
        )
