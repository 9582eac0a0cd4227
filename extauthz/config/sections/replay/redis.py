"""The shared replay store: a URL that its client understands, and one way to find the master, not two."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote, unquote_plus, urlsplit

from pydantic import Field

from extauthz.config.names import Node, Section, written
from extauthz.config.problems import Report, Warn, Warned
from extauthz.config.secrets import Secret, SecretUnresolved, resolve
from extauthz.domain.address import Address, is_local_host

_REDIS: Final = ("replay", "redis")
_URL: Final = (*_REDIS, "url")
_FILES: Final = frozenset({"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"})
"""The options of a URL that name a file or folder."""


class Sentinels(Section):
    """The Redis Sentinels that know which server is the master now.

    ```yaml
    nodes: [10.0.0.1:26379, 10.0.0.2:26379]
    username: extauthz
    password: {file: sentinel-password}
    ```
    """

    nodes: Annotated[list[Node], Field(min_length=1)] = Field(
        description="host:port of each of them, the nearest first"
    )
    username: str = Field("", description="of the Sentinels themselves; the URL holds what the master wants")
    password: Secret | None = Field(None, description="of the Sentinels themselves, where they want one")


class Redis(Section):
    """A Redis or Valkey that every worker and replica shares.

    ```yaml
    url: {file: redis-url}
    timeout: 0.1
    connections: 8
    prefix: "extauthz:"
    capacity: 4000000
    wait_replicas: 1
    sentinel: {nodes: [10.0.0.1:26379, 10.0.0.2:26379]}
    ```

    ```yaml
    url: {file: redis-url}
    cluster: true
    cluster_nodes: [10.0.0.2:6379, 10.0.0.3:6379]
    ```
    """

    url: Secret = Field(
        description="redis://[user:password@]host:port/db, rediss:// for TLS (?ssl_ca_certs=FILE), or unix:///path; "
        "with `sentinel` its host is the name of the master; by value, {env: NAME} or {file: PATH}"
    )
    timeout: Annotated[timedelta, Field(ge=timedelta(milliseconds=5), le=timedelta(seconds=2))] = Field(
        timedelta(milliseconds=100), description="for one round trip; twice that must fit into Envoy's timeout"
    )
    connections: Annotated[int, Field(ge=1, le=256)] = Field(8, description="per process")
    prefix: Annotated[
        str, *written(r"[A-Za-z0-9:._{}-]{0,64}", "at most 64 letters, digits, `:`, `.`, `_`, `-` and braces")
    ] = Field("extauthz:", description="begins every key there, so that several services can share one")
    sentinel: Sentinels | None = Field(None, description="Sentinels say where the master is")
    cluster: bool = Field(False, description="the URL names a node of a Redis Cluster")
    cluster_nodes: list[Node] = Field(
        default_factory=list, description="host:port of further nodes, asked while the URL's is away"
    )
    capacity: Annotated[int, Field(ge=1)] = Field(
        4_000_000,
        description="values that its `maxmemory` has room for, about 450 bytes each; `replay.share` is taken of it",
    )
    wait_replicas: Annotated[int, Field(ge=0, le=16)] = Field(
        0, description="replicas that must have a value before it counts as recorded (WAIT); not with `cluster`"
    )


def store_url(section: Redis, base: Path) -> str:
    """The URL of the store, the files that it names made absolute. ``base`` is the folder of the configuration file.

    Raises SecretUnresolved.
    """
    url = resolve(section.url, base)
    before, mark, options = url.partition("?")
    return before + mark + "&".join(_from_folder(option, base) for option in options.split("&"))


def _from_folder(option: str, base: Path) -> str:
    name, _, value = option.partition("=")
    if name not in _FILES or not value:
        return option
    return f"{name}={quote(str(base.absolute() / unquote_plus(value)))}"


def check_redis(section: Redis, base: Path, report: Report) -> None:
    """Report what is wrong with `replay.redis`. ``base`` is the folder of the configuration file."""
    _check_shape(section, report)
    if section.sentinel is not None and section.sentinel.password is not None:
        try:
            resolve(section.sentinel.password, base)
        except SecretUnresolved as error:
            report((*_REDIS, "sentinel", "password"), str(error))
    try:
        url = store_url(section, base)
    except SecretUnresolved as error:
        report(_URL, str(error))
        return
    fault = _fault(url, section)
    if fault:
        report(_URL, fault)


def warn_of_plain_redis(section: Redis, base: Path, warn: Warn) -> None:
    """Warn of a store that is asked over a network in plain text: something else may protect the way."""
    try:
        url = urlsplit(resolve(section.url, base))
        host = url.hostname
    except (SecretUnresolved, ValueError):  # reported where the URL is checked
        return
    sentinel = section.sentinel
    if sentinel is None:
        here = host is not None and is_local_host(host)
    else:
        here = all(Address.parse(node).is_local for node in sentinel.nodes)
    if url.scheme == "redis" and not here:
        message = (
            "reaches another machine in plain text: its password can be read on the way, and nonces be removed, which "
            "lets requests be replayed; write rediss://"
        )
        warn(Warned.REDIS_IN_PLAIN_TEXT, _URL, message)


def _check_shape(section: Redis, report: Report) -> None:
    if section.sentinel is not None and section.cluster:
        report((*_REDIS, "sentinel"), "a Redis is watched by Sentinels or is a Cluster, not both; drop one of them")
    if section.cluster_nodes and not section.cluster:
        report((*_REDIS, "cluster_nodes"), "needs `cluster: true`")
    if section.cluster and section.wait_replicas:
        report(
            (*_REDIS, "wait_replicas"),
            "cannot be had in a Cluster; `min-replicas-to-write` in its redis.conf limits what a fail-over loses",
        )


def _fault(url: str, section: Redis) -> str:
    """What is wrong with the URL, which is never quoted: it may hold a password. Empty when nothing is."""
    # Imported here: it takes longer than everything else, and most files name no Redis.
    from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection, parse_url

    if not url.startswith(("redis://", "rediss://", "unix://")):
        return "must begin with redis://, rediss:// or unix://"
    found = section.sentinel is not None or section.cluster
    if url.startswith("unix://") and found:
        return "a Unix socket leads to one Redis; Sentinels and Clusters need redis:// or rediss://"
    try:
        settings: dict[str, Any] = dict(parse_url(url))
        known = settings.pop("connection_class", Connection)(**settings)
        if isinstance(known, SSLConnection):
            known.ssl_context.get()
    except TypeError:
        return "has an option after `?` that the Redis client does not know"
    except OSError:  # ssl.SSLError is one
        return "names a TLS file after `?` that cannot be read, or is none"
    except Exception:  # its text may quote the URL
        return "cannot be understood; write redis://user:password@host:port/0, with %XX for special characters"
    if isinstance(known, UnixDomainSocketConnection):
        return "" if settings.get("path") else "names no socket; write unix:///path/redis.sock"
    if not settings.get("host"):
        return "names no host; with `sentinel` write the name of the master there" if found else "names no host"
    if section.sentinel is not None and "port" in settings:
        return "has a port, but with `sentinel` its host is the name of the master, and Sentinels know the port"
    path = urlsplit(url).path.strip("/")
    if path and not path.isdigit():
        return "has no number of a database after its host"
    if section.cluster and settings.get("db"):
        return "a Cluster has database 0 only"
    return ""
