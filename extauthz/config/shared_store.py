"""The shared replay store: a URL that its client understands, and one way to find the master, not two."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection, parse_url

from extauthz.config.problems import KeyPath
from extauthz.config.schema import ConfigFile, Digest, Redis
from extauthz.config.secrets import SecretUnresolved, resolve

_REDIS: Final = ("replay", "redis")
_URL: Final = (*_REDIS, "url")


def check_shared_store(
    file: ConfigFile, base: Path, report: Callable[[KeyPath, str], None], position: Callable[[str, int], int]
) -> None:
    """Report what is wrong with `replay`.

    ``base`` is the folder of the configuration file, ``position`` leads from an entry in ``file`` to its place there.
    """
    section = file.replay.redis
    if section is None:
        return
    if file.replay.scope == "per_worker":
        report(("replay", "scope"), "per_worker and a shared store exclude each other; drop one of them")
    if file.replay.refuse_signed_before_start:
        report(("replay", "refuse_signed_before_start"), "is for nonces in memory; a shared store outlives the process")
    _check_windows(file, report, position)
    _check_shape(section, report)
    if section.sentinel is not None and section.sentinel.password is not None:
        try:
            resolve(section.sentinel.password, base)
        except SecretUnresolved as error:
            report((*_REDIS, "sentinel", "password"), str(error))
    try:
        url = resolve(section.url, base)
    except SecretUnresolved as error:
        report(_URL, str(error))
        return
    fault = _fault(url, section)
    if fault:
        report(_URL, fault)


def _check_windows(
    file: ConfigFile, report: Callable[[KeyPath, str], None], position: Callable[[str, int], int]
) -> None:
    """Replicas take up a new window one after the other; until all have, one must not outlive another's nonces."""
    longest = file.replay.longest_window
    stated: list[tuple[KeyPath, Digest]] = [(("digest",), file.digest)]
    for index, api in enumerate(file.apis):
        if "window" in api.digest.model_fields_set:
            stated.append((("apis", position("apis", index), "digest"), api.digest))
    for place, section in stated:
        if section.window > longest:
            report(
                (*place, "window"),
                f"is longer than `replay.longest_window` ({longest.total_seconds():.0f} s), for which replicas keep "
                "nonces in the shared store; raise that first, on every replica",
            )


def _check_shape(section: Redis, report: Callable[[KeyPath, str], None]) -> None:
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
