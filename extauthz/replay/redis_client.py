"""Which Redis to ask: one, the master that Sentinels name, or the nodes of a Cluster. Finding it is redis-py's work."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import redis.asyncio
from redis.asyncio import sentinel as redis_sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

_sentinels: Final[Any] = redis_sentinel  # it has no types
Node = tuple[str, int]
"""Host and port."""
_TLS: Final = "ssl_"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where the shared store is, and how to get in."""

    url: str = field(repr=False)
    """redis://, rediss:// (TLS) or unix://; may hold a password. With Sentinels its host is the master's name."""
    sentinels: tuple[Node, ...] = ()
    sentinel_username: str = ""
    sentinel_password: str = field(default="", repr=False)
    cluster: bool = False
    cluster_nodes: tuple[Node, ...] = ()
    """Asked for the shape of the cluster while the URL's node is away."""


class RedisClient(NamedTuple):
    """What the store needs of a client."""

    pipeline: Callable[..., Any]
    find: Callable[[], Awaitable[Any]]
    """Look where Redis is now. Raises RedisError or OSError; may take seconds, so never on the way of a check."""
    close: Callable[[], Awaitable[None]]


def make_client(address: RedisAddress, timeout_s: float, connections: int) -> RedisClient:
    """A client of at most ``connections`` connections (to each node). Connects to nothing yet.

    Raises ValueError or RedisError for a URL that cannot be understood.
    """
    settings: dict[str, Any] = dict(parse_url(address.url))
    settings |= {
        "max_connections": connections,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "decode_responses": False,
        # Once more at once: connections in the pool are dead after Redis was restarted.
        "retry": Retry(NoBackoff(), 1),
    }
    if address.sentinels:
        return _watched(address, settings)
    if address.cluster:
        return _cluster(address, settings)
    client = redis.asyncio.Redis.from_pool(redis.asyncio.ConnectionPool(**settings))
    return RedisClient(client.pipeline, client.ping, client.aclose)


def _watched(address: RedisAddress, settings: dict[str, Any]) -> RedisClient:
    """The master that Sentinels name: asked for each new connection, and whenever the store fails."""
    tls = settings.pop("connection_class", None) is SSLConnection
    own = {name: value for name, value in settings.items() if name.startswith((_TLS, "socket_"))}
    sentinel = _sentinels.Sentinel(
        address.sentinels,
        sentinel_kwargs=own
        | {
            "ssl": tls,
            "retry": Retry(NoBackoff(), 0),  # the next Sentinel is the second try
            "username": address.sentinel_username or None,
            "password": address.sentinel_password or None,
        },
    )
    pool = _sentinels.SentinelConnectionPool(settings.pop("host"), sentinel, ssl=tls, is_master=True, **settings)
    client = redis.asyncio.Redis.from_pool(pool)

    async def find() -> None:
        before = pool.master_address
        if await pool.get_master_address() != before:
            await pool.disconnect()  # also those in use: the old master may be cut off and still take values

    async def close() -> None:
        await client.aclose()
        await sentinel.aclose()

    return RedisClient(client.pipeline, find, close)


def _cluster(address: RedisAddress, settings: dict[str, Any]) -> RedisClient:
    """The nodes of a Cluster. Its pipelines ask a silent node for ever, so its shape is read anew after a failure."""
    settings["ssl"] = settings.pop("connection_class", None) is SSLConnection
    nodes = [ClusterNode(host, port) for host, port in address.cluster_nodes]
    # The nodes of the configuration stay the first to be asked: they may be names, whose addresses change.
    client = redis.asyncio.RedisCluster(startup_nodes=nodes, dynamic_startup_nodes=False, **settings)

    async def find() -> None:
        seen = [(node.host, int(node.port)) for node in client.get_nodes()]
        await client.aclose()
        await client.initialize(additional_startup_nodes_info=seen)

    return RedisClient(client.pipeline, find, client.aclose)
