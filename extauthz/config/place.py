"""The place of a process among workers and replicas: which sockets are its own, and what cannot be shared."""

import logging
import os
from dataclasses import dataclass
from typing import Final

from extauthz.config import ConfigError, ServiceConfig
from extauthz.config.source import Source
from extauthz.domain.address import LAST_PORT, Address

_IN_A_POD: Final = "KUBERNETES_SERVICE_HOST"
"""Kubernetes sets it in every container."""
_log: Final = logging.getLogger("extauthz")


@dataclass(frozen=True, slots=True)
class Place:
    """One of ``count`` workers; ``index`` counts from 0."""

    index: int = 0
    count: int = 1

    def address(self, address: str) -> str:
        """The address of this worker where the configuration says ``address``.

        Envoy keeps one connection per endpoint and thread, so workers that shared a port would not share the load:
        each listens on its own, port + index or path.index.sock, and Envoy's cluster lists them all.
        """
        if self.count == 1:
            return address
        return str(Address.parse(address).of_worker(self.index))


ALONE: Final = Place()


def check_workers(config: ServiceConfig, count: int) -> None:
    """Whether a configuration can be served by ``count`` workers. Raises ConfigError."""
    if count == 1:
        return
    source = Source(config.path, config.texts)
    problems = []
    if _is_unshared(config):
        problems.append(source.problem(("replay",), _unshared(count, "worker")))
    taken = [(config.file.operations, "operations")]
    for number, listen in enumerate(config.file.listen):
        own = [(Place(index, count).address(listen.address), f"worker {index}") for index in range(count)]
        fault = _fault(own, taken)
        if fault:
            message = f"{fault}; each listener needs {count} addresses of its own, one for each worker"
            problems.append(source.problem(("listen", number, "address"), message))
        taken += [(address, f"{who} of listen[{number}]") for address, who in own]
    if problems:
        raise ConfigError(problems)


def check_replicas(config: ServiceConfig, count: int | None) -> None:
    """Whether a configuration can be served by ``count`` replicas; None: nobody said how many. Raises ConfigError."""
    if not _is_unshared(config) or count == 1:
        return
    if count is not None:
        problem = Source(config.path, config.texts).problem(("replay",), _unshared(count, "replica"))
        raise ConfigError([problem])
    if _IN_A_POD in os.environ and "scope" not in config.file.replay.model_fields_set:
        _log.warning(
            "nonces are remembered in memory, but in Kubernetes there may be other replicas: a request could be "
            "replayed at each. Name a shared store with `replay: {redis: {url: ...}}`, or say `--replicas 1`"
        )


def _is_unshared(config: ServiceConfig) -> bool:
    return config.file.replay.redis is None and config.file.replay.scope != "per_worker"


def _unshared(count: int, what: str) -> str:
    return (
        f"nonces remembered in memory are not shared by {count} {what}s, so a request could be replayed once per "
        f"{what}. Either name a shared store with `replay: {{redis: {{url: ...}}}}`, or run one {what}, or accept it "
        "knowingly with `replay: {scope: per_worker}`"
    )


def _fault(own: list[tuple[str, str]], taken: list[tuple[str, str]]) -> str:
    """What is wrong with the addresses of one listener, or nothing."""
    for address, who in own:
        here = Address.parse(address)
        if here.port > LAST_PORT:
            return f"{who} would listen on {address}, and there is no port above {LAST_PORT}"
        for other, other_who in taken:
            if here.collides_with(Address.parse(other)):
                return f"{who} would listen on {address}, which {other_who} takes"
    return ""
