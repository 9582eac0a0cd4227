"""Rules for timeouts and retries of the call to the service."""

from collections.abc import Iterator
from typing import Final

from extauthz.envoy.doctor.duration import seconds
from extauthz.envoy.doctor.finding import Rule, Severity, Spot, rule
from extauthz.envoy.doctor.material import Asking, Material
from extauthz.envoy.doctor.service import ServiceFacts
from extauthz.envoy.doctor.tree import dig

LONGEST_TIMEOUT_S: Final = 2.0
DEFAULT_TIMEOUT_S: Final = 0.2
DEFAULT_BASE_INTERVAL_S: Final = 1.0
"""Envoy's own, when a retry policy sets none; max_interval is then ten times as long."""
_GRPC_NAMES: Final = frozenset({"cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"})


@rule(
    "timeout-missing",
    Severity.WARNING,
    why="Each platform has another default: Envoy 200 ms, Envoy Gateway 10 s, Istio 600 s. The first turns a pause "
    "of the service into errors, the last holds requests until clients give up.",
    instead="timeout: 0.5s in grpc_service (Istio: timeout: 0.5s; Envoy Gateway: timeout: 500ms)",
)
def timeout_missing(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for asking in material.askings:
        if asking.get("grpc_service", "timeout") is None:
            yield Spot(asking.at("grpc_service", "timeout"), f"{asking.platform}'s default holds")


@rule(
    "timeout-off",
    Severity.ERROR,
    why="A timeout of zero means none: while the service hangs, requests pile up in Envoy without end.",
    instead="timeout: 0.5s",
)
def timeout_off(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for asking in material.askings:
        if seconds(asking.get("grpc_service", "timeout")) == 0:
            yield Spot(asking.at("grpc_service", "timeout"))


@rule(
    "timeout-long",
    Severity.WARNING,
    why="A check takes a millisecond. A long timeout only makes callers wait, and lets Envoy hold their buffered "
    "bodies, while the service is in trouble.",
    instead="timeout: 0.5s",
)
def timeout_long(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for asking in material.askings:
        timeout = seconds(asking.get("grpc_service", "timeout"))
        if timeout is not None and timeout > LONGEST_TIMEOUT_S:
            yield Spot(asking.at("grpc_service", "timeout"), f"{timeout:g} s")


@rule(
    "retry-ignored",
    Severity.WARNING,
    why="ext_authz ignores a retry policy inside envoy_grpc: there are no retries.",
    instead="move retry_policy one level up, into grpc_service",
)
def retry_ignored(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for asking in material.askings:
        if asking.get("grpc_service", "envoy_grpc", "retry_policy") is not None:
            yield Spot(asking.at("grpc_service", "envoy_grpc", "retry_policy"))


@rule(
    "retry-on-not-grpc",
    Severity.WARNING,
    why="The answers of the service are gRPC: HTTP conditions such as 5xx never hold, so nothing is retried.",
    instead="retry_on: unavailable",
)
def retry_on_not_grpc(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for asking in material.askings:
        policy = asking.get("grpc_service", "retry_policy")
        if policy is None:
            continue
        names = {name.strip() for name in str(dig(policy, "retry_on") or "").split(",")}
        if not names & _GRPC_NAMES:
            yield Spot(asking.at("grpc_service", "retry_policy", "retry_on"), ", ".join(sorted(names - {""})))


@rule(
    "retry-max-interval-short",
    Severity.WARNING,
    why="max_interval (ten times base_interval where it is not set) is also the timeout of each try. An answer that "
    "takes longer is thrown away and becomes an error, although the service was about to give it.",
    instead="retry_back_off: { base_interval: 0.005s, max_interval: 0.4s } with timeout: 0.5s: just under the timeout",
)
def retry_max_interval_short(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for asking in material.askings:
        if asking.get("grpc_service", "retry_policy") is None:
            continue
        _, longest = _back_off(asking)
        if longest < _timeout(asking) / 2:
            yield Spot(_back_off_path(asking, "max_interval"), f"{longest:g} s")


@rule(
    "retry-too-late",
    Severity.WARNING,
    why="The first retry waits a random part of base_interval, one second where it is not set: with this timeout it "
    "comes too late, or not at all.",
    instead="retry_back_off: { base_interval: 0.005s, max_interval: 0.4s }",
)
def retry_too_late(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for asking in material.askings:
        if asking.get("grpc_service", "retry_policy") is None:
            continue
        base, _ = _back_off(asking)
        if base >= _timeout(asking):
            yield Spot(_back_off_path(asking, "base_interval"), f"{base:g} s")


def _timeout(asking: Asking) -> float:
    timeout = seconds(asking.get("grpc_service", "timeout"))
    if timeout is None:
        return DEFAULT_TIMEOUT_S
    return timeout or float("inf")


def _back_off(asking: Asking) -> tuple[float, float]:
    """Base and longest interval, in seconds."""
    back_off = asking.get("grpc_service", "retry_policy", "retry_back_off")
    base = seconds(dig(back_off, "base_interval")) or DEFAULT_BASE_INTERVAL_S
    return base, seconds(dig(back_off, "max_interval")) or 10 * base


def _back_off_path(asking: Asking, field: str) -> tuple[str | int, ...]:
    return asking.at("grpc_service", "retry_policy", "retry_back_off", field)


RULES: Final[tuple[Rule, ...]] = (
    timeout_missing,
    timeout_off,
    timeout_long,
    retry_ignored,
    retry_on_not_grpc,
    retry_max_interval_short,
    retry_too_late,
)
