"""Ways out of this machine in plain text: allowed, for something else may protect them, but never without a word."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from extauthz.config.listeners import is_local
from extauthz.config.problems import Report
from extauthz.config.schema import ConfigFile
from extauthz.config.secrets import SecretUnresolved, resolve

_REDIS: Final = ("replay", "redis", "url")


def warn_of_plain_text(file: ConfigFile, base: Path, warn: Report) -> None:
    """Warn of what goes to other machines in plain text. ``base`` is the folder of the configuration file."""
    if file.tracing is not None:
        path = ("tracing", "endpoint")
        url = urlsplit(file.tracing.endpoint)
        if url.scheme == "http" and not _is_here(url.hostname):
            warn(path, "sends traces, and the keys under `headers`, to another machine in plain text; write https://")
        if url.path in ("", "/"):
            warn(path, "has no path, and traces are sent to it as it stands; collectors take them at /v1/traces")
    if file.replay.redis is not None:
        try:
            url = urlsplit(resolve(file.replay.redis.url, base))
            host = url.hostname
        except (SecretUnresolved, ValueError):  # reported where the URL is checked
            return
        sentinel = file.replay.redis.sentinel
        here = _is_here(host) if sentinel is None else all(is_local(node) for node in sentinel.nodes)
        if url.scheme == "redis" and not here:
            warn(_REDIS, "reaches another machine in plain text: its password can be read on the way, and nonces be "
                         "removed, which lets requests be replayed; write rediss://")  # fmt: skip


def _is_here(host: str | None) -> bool:
    return host is not None and is_local(f"[{host}]:1" if ":" in host else f"{host}:1")
