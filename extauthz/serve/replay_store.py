"""The replay store that a configuration asks for, with its metrics and its end."""

from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple

from prometheus_client.registry import Collector

from extauthz.config import ServiceConfig
from extauthz.config.secrets import resolve
from extauthz.config.sections.replay.redis import Redis, store_url
from extauthz.decide.replay import ReplayStore
from extauthz.domain.address import Address
from extauthz.domain.decision import OneTimeKind
from extauthz.replay.memory import MemoryReplayStore
from extauthz.replay.metrics import MemoryStoreMetrics, RedisStoreMetrics
from extauthz.replay.redis_client import RedisAddress
from extauthz.replay.redis_shares import Shares
from extauthz.replay.redis_store import RedisReplayStore


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
        url=store_url(section, base),
        sentinels=() if sentinel is None else _nodes(sentinel.nodes),
        sentinel_username="" if sentinel is None else sentinel.username,
        sentinel_password="" if password is None else resolve(password, base),
        cluster=section.cluster,
        cluster_nodes=_nodes(section.cluster_nodes),
    )


def _nodes(written: list[str]) -> tuple[tuple[str, int], ...]:
    return tuple((node.host, node.port) for node in map(Address.parse, written))


async def _nothing() -> None:
    return
