"""What answers checks in one process: the servicer with its store and observers, and the transports."""

import asyncio
import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from threading import Lock
from typing import Any, Final, Protocol

from prometheus_client import CollectorRegistry

from extauthz.config import ServiceConfig
from extauthz.config.place import ALONE, Place
from extauthz.config.schema import ConfigFile
from extauthz.config.secrets import FromFile
from extauthz.domain.clock import wall_clock_ms
from extauthz.domain.reason import ALLOW_LABELS, CATALOGUE
from extauthz.domain.snapshot import Snapshot
from extauthz.keys.fetcher import KeyFetcher
from extauthz.keys.metrics import KeyMetrics
from extauthz.observe.app_metrics import AppMetrics
from extauthz.observe.capture.configured import open_capture
from extauthz.observe.capture.recorder import Capture
from extauthz.observe.check_metrics import CheckMetrics
from extauthz.observe.decision_log import CLOSE_TIMEOUT_S, DecisionLog, DecisionLogMetrics, NullDecisionLog
from extauthz.observe.log_output import LogOutput, LogStream, open_file
from extauthz.serve.last_uses import LastUses
from extauthz.serve.metrics import GrantMetrics, StateMetrics, build_registry
from extauthz.serve.registry_follower import open_follower
from extauthz.serve.replay_store import open_store
from extauthz.transport.choice import WITHOUT_FRONT, choose_transport, has_front
from extauthz.transport.contract import Health, Transport
from extauthz.transport.listening import listening
from extauthz.transport.tls import CertificateMetrics, Certificates
from extauthz.wire.checked import Checked
from extauthz.wire.servicer import Checks, Servicer

GRACE_S: Final = 5.0
"""How long the stop waits for checks in flight, in seconds."""
RECORDS_S: Final = CLOSE_TIMEOUT_S + 1
"""How long it then waits for what is recorded of checks to be written, in seconds."""
_log: Final = logging.getLogger("extauthz")


class Traced(Checks, Protocol):
    """The servicer with a span around each check."""

    def close(self) -> None:
        """Send what waits. Blocks for a few seconds at most."""
        ...


class Recorders:
    """The decision log and the metrics: in this order, so that only what is recorded is counted."""

    def __init__(
        self,
        log: DecisionLog | NullDecisionLog,
        metrics: CheckMetrics,
        uses: LastUses | None = None,
        apps: AppMetrics | None = None,
        capture: Capture | None = None,
    ) -> None:
        self._log = log
        self._metrics = metrics
        self._uses = uses
        self._apps = apps
        self._capture = capture

    def record(self, checked: Checked) -> bool:
        """Tell all of them; whether the decision may stand."""
        if not (self._log.record(checked) and self._metrics.record(checked)):
            return False
        if self._apps is not None:
            self._apps.record(checked)
        if self._uses is not None:
            self._uses.record(checked)
        if self._capture is not None:
            self._capture.record(checked)
        return True


class Service:
    """Answers checks. It knows nothing of signals, files that change, or the operations port."""

    def __init__(self, config: ServiceConfig, place: Place = ALONE, now_ms: Callable[[], int] = wall_clock_ms) -> None:
        """``now_ms`` gives the time in milliseconds since 1970. No configuration reaches it; tests pass their own."""
        file = config.file
        self._drain_s = file.drain.total_seconds()
        self._says_what_is_missing = file.transport == "auto" and place.index == 0 and not has_front()
        self._health = Health()
        self._store = open_store(config)
        self._connecting: asyncio.Task[None] | None = None
        self._decision_log = open_decision_log(config)
        snapshot = config.snapshot
        self._metrics = metrics = CheckMetrics(snapshot.gateway.apis)
        if file.replay.refuse_signed_before_start:
            gateway = snapshot.gateway
            horizon = gateway.horizon.starting_empty(now_ms())
            snapshot = snapshot._replace(gateway=replace(gateway, horizon=horizon))
        self._swapping = Lock()
        self._file_directory = snapshot.directory
        self._registry = open_follower(config)
        snapshot = self._registry.join(snapshot)
        apps = AppMetrics()
        self._capture = open_capture(config, now_ms)
        self._following: asyncio.Task[None] | None = None
        captures = None if config.file.capture is None else self._capture
        recorders = Recorders(self._decision_log, metrics, self._registry.uses, apps, captures)
        self.servicer = Servicer(snapshot, self._store.store, recorders, now_ms)
        self._tracing = _open_tracing(config, self.servicer)
        self._checks: Checks = self._tracing or self.servicer
        self._certificates = [
            None if listen.tls is None else Certificates(listen.tls, config.path.parent, listen.address)
            for listen in file.listen
        ]
        self.transports: list[Transport] = [
            self._transport(number, place, certificates, file) for number, certificates in enumerate(self._certificates)
        ]
        state = StateMetrics(
            lambda: self.servicer.current.snapshot,
            lambda: sum(transport.in_flight for transport in self.transports),
        )
        self._keys = KeyFetcher()
        self.registry: CollectorRegistry = build_registry(
            metrics,
            apps,
            state,
            GrantMetrics(lambda: self.servicer.current.snapshot.directory),
            DecisionLogMetrics(self._decision_log),
            self._store.metrics,
            CertificateMetrics(self._certificates),
            KeyMetrics(self._keys),
            self._registry.metrics,
            self._capture.metrics,
        )

    async def start(self) -> None:
        """Open the ports; say that we are ready last of all. Raises OSError when an address cannot be bound."""
        self._keys.start(self.servicer.current.snapshot)
        self._connecting = asyncio.create_task(self._store.start())
        for number, transport in enumerate(self.transports):
            with listening(transport.address, _key(number)):
                await transport.start()
        await self._keys.first_attempts()
        await self._registry.start(self._follow_registry)
        self._following = asyncio.create_task(self._capture.follow())
        self._health.serving = True
        if self._says_what_is_missing:
            _log.warning(WITHOUT_FRONT)
        for transport, certificates in zip(self.transports, self._certificates, strict=True):
            kind = type(transport).__name__.removesuffix("Transport").lower()
            _log.info("serving checks on %s (%s%s)", transport.address, kind, "" if certificates is None else ", TLS")

    async def stop(self) -> None:
        """Say NOT_SERVING, wait until Envoy has noticed, finish what is in flight, close."""
        _log.info("draining for %.1f s", self._drain_s)
        self._health.serving = False
        await asyncio.sleep(self._drain_s)
        await asyncio.gather(*(transport.stop(GRACE_S) for transport in self.transports))
        await self._keys.stop()
        await self._registry.stop()
        for task in (self._connecting, self._following):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self._store.close()
        records = [self._decision_log] if self._tracing is None else [self._decision_log, self._tracing]
        await asyncio.gather(*(asyncio.to_thread(record.close) for record in records))

    def _transport(self, number: int, place: Place, certificates: Certificates | None, file: ConfigFile) -> Transport:
        listen = file.listen[number]
        address = place.address(listen.address)
        place_and_limits = (
            address, listen.network, self._checks, self._health,
            file.limits.in_flight, file.limits.message_mebibytes << 20, certificates,
        )  # fmt: skip
        with listening(address, _key(number)):
            return choose_transport(file.transport)(*place_and_limits)

    def apply(self, config: ServiceConfig) -> None:
        """Decide by another configuration from the next check on. Callable from any thread."""
        self._metrics.follow(config.snapshot.gateway.apis)
        self._registry.configure(config)
        with self._swapping:  # a reload and a change of the registry may come at once
            self._file_directory = config.snapshot.directory
            self.servicer.adopt(self._registry.join(config.snapshot), self._keys.follow)

    def _follow_registry(self) -> None:
        """Decide by what the registry says now; the other half stays."""
        with self._swapping:
            snapshot = Snapshot(self.servicer.current.snapshot.gateway, self._file_directory)
            self.servicer.adopt(self._registry.join(snapshot))

    def readiness(self) -> dict[str, Any]:
        """Whether checks should come here, and which revision decides them."""
        have_keys, plugins = self._keys.readiness()
        have_apps, registry = self._registry.readiness()
        return {
            "ready": self._health.serving and have_keys and have_apps,
            "revision": self.servicer.current.snapshot.revision,
            "jwt_plugins": plugins,
            **_shadow(self.servicer.current.snapshot),
            **registry,
            **self._capture.readiness(),
        }


def _key(number: int) -> str:
    return f"listen[{number}].address"


def _shadow(snapshot: Snapshot) -> dict[str, Any]:
    """What is in shadow now; no key where nothing is."""
    shadow = snapshot.gateway.shadow
    told = [] if shadow is None else [one._asdict() for one in shadow.told() if one.until_ms > wall_clock_ms()]
    return {"shadow": told} if told else {}


def _open_tracing(config: ServiceConfig, servicer: Servicer) -> Traced | None:
    if config.file.tracing is None:
        return None
    try:
        from extauthz.observe.tracing import Tracing  # an optional extra: imported where it is used
    except ModuleNotFoundError:
        raise ModuleNotFoundError("`tracing` needs `pip install extauthz[tracing]`") from None
    return Tracing(config.file.tracing, servicer, config.path.parent)


def open_decision_log(config: ServiceConfig) -> DecisionLog | NullDecisionLog:
    """The decision log that a configuration asks for. Raises OSError when its file cannot be written."""
    section = config.file.decision_log
    if section.destination == "none":
        return NullDecisionLog()
    output: LogOutput = LogStream(sys.stdout.fileno())
    if isinstance(section.destination, FromFile):
        rotate = section.rotate
        path = config.path.parent / section.destination.file
        max_bytes, keep = (None, 1) if rotate is None else (rotate.max_mebibytes << 20, rotate.keep)
        try:
            output = open_file(path, max_bytes, keep)
        except OSError as error:
            raise OSError(
                f"cannot write to {path} (`decision_log.destination` in the configuration): "
                f"{error.strerror}; name a file in a folder that exists and that the service's user may write to"
            ) from None
    shares = dict.fromkeys(ALLOW_LABELS, section.sample_allowed) | dict.fromkeys(CATALOGUE, section.sample_denied)
    shares |= section.sample_reasons
    return DecisionLog(output, section.capacity, shares, section.audit == "required")
