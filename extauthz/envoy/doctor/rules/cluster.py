"""Rules for the cluster through which the service is asked: restarts that nobody notices, calls that cannot arrive."""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from extauthz.envoy.doctor.duration import seconds
from extauthz.envoy.doctor.finding import Rule, Severity, Spot, rule
from extauthz.envoy.doctor.material import Cluster, Material, Platform, Port
from extauthz.envoy.doctor.service import ServiceFacts
from extauthz.envoy.doctor.tree import Json, dig, mappings

LONGEST_QUIET_S: Final = 5.0
DEFAULT_QUIET_S: Final = 60.0
_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


@rule(
    "not-http2",
    Severity.ERROR,
    why="gRPC needs HTTP/2. Without it every call to the service fails.",
    instead=f"typed_extension_protocol_options: {{ {_OPTIONS}: {{ ..., explicit_http_config: "
    "{ http2_protocol_options: {} } } }",
)
def not_http2(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for cluster in material.clusters:
        explicit = dig(cluster.config, "typed_extension_protocol_options", _OPTIONS, "explicit_http_config")
        if dig(explicit, "http2_protocol_options") is None and cluster.config.get("http2_protocol_options") is None:
            yield Spot((*cluster.path, "typed_extension_protocol_options"), platform=cluster.platform)


@rule(
    "plain-text",
    Severity.WARNING,
    why="Calls to the service carry credentials, and cross a network in plain text. Whoever can reach its port can "
    "also try credentials there without any limit.",
    instead="transport_socket with UpstreamTlsContext and a client certificate, as in envoy/static.yaml; or a "
    "loopback address or Unix socket",
)
def plain_text(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for cluster in material.clusters:
        exposed = sorted({host for host, _ in cluster.endpoints if host and not _is_loopback(host)})
        if exposed and "transport_socket" not in cluster.config and "transport_socket_matches" not in cluster.config:
            yield Spot((*cluster.path, "transport_socket"), ", ".join(exposed), cluster.platform)


@rule(
    "no-health-check",
    Severity.WARNING,
    generated=Severity.NOTE,
    cures={
        Platform.ISTIO: "nothing: Kubernetes' readiness decides which instances are asked, and outlierDetection in a "
        "DestinationRule leaves those that fail",
        Platform.ENVOY_GATEWAY: "backendSettings: { healthCheck: { active: { type: GRPC, ... } } } under extAuth.grpc, "
        "as in envoy/envoy-gateway.yaml; without it Kubernetes' readiness decides",
    },
    why="Without a gRPC health check Envoy does not learn that an instance is draining, or hangs: restarts cost "
    "failed requests.",
    instead="health_checks: [ { timeout: 0.5s, interval: 1s, no_traffic_interval: 1s, unhealthy_threshold: 1, "
    "healthy_threshold: 1, grpc_health_check: { service_name: envoy.service.auth.v3.Authorization } } ]",
)
def no_health_check(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for cluster in material.clusters:
        if not list(_grpc_checks(cluster)):
            yield Spot((*cluster.path, "health_checks"), platform=cluster.platform)


@rule(
    "health-check-slow-when-quiet",
    Severity.WARNING,
    generated=Severity.NOTE,
    why="While a cluster has had no traffic Envoy checks it every no_traffic_interval, 60 s by default: a drain or "
    "a restart passes unseen, and the next request fails.",
    instead="no_traffic_interval: 1s",
)
def health_check_slow_when_quiet(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for cluster in material.clusters:
        for index, check in _grpc_checks(cluster):
            quiet = seconds(check.get("no_traffic_interval"))
            quiet = DEFAULT_QUIET_S if quiet is None else quiet
            if quiet > LONGEST_QUIET_S:
                yield Spot(
                    (*cluster.path, "health_checks", index, "no_traffic_interval"), f"{quiet:g} s", cluster.platform
                )


@rule(
    "panic-threshold",
    Severity.WARNING,
    generated=Severity.NOTE,
    cures={
        Platform.ISTIO: "outlierDetection: { minHealthPercent: 0 } in a DestinationRule, as in envoy/istio.yaml",
        Platform.ENVOY_GATEWAY: "backendSettings: { healthCheck: { panicThreshold: 0 } } under extAuth.grpc, as in "
        "envoy/envoy-gateway.yaml",
    },
    why="While fewer than half of the instances are healthy Envoy asks the unhealthy ones too: with one or two "
    "instances a drain does nothing.",
    instead="common_lb_config: { healthy_panic_threshold: { value: 0 } }",
)
def panic_threshold(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for cluster in material.clusters:
        threshold = dig(cluster.config, "common_lb_config", "healthy_panic_threshold")
        if threshold is None or dig(threshold, "value") not in (0, 0.0, None):
            yield Spot((*cluster.path, "common_lb_config", "healthy_panic_threshold"), platform=cluster.platform)


@rule(
    "fewer-endpoints-than-workers",
    Severity.WARNING,
    why="An Envoy worker keeps one connection to each endpoint, and a connection stays with one process: processes "
    "that share an endpoint do not share the load.",
    instead="one endpoint for each worker process of the service, each with its own port or socket",
)
def fewer_endpoints_than_workers(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for cluster in material.clusters:
        lacks = "" if cluster.dynamic else _lacks(cluster, service)
        if lacks:
            yield Spot((*cluster.path, "load_assignment", "endpoints"), lacks, cluster.platform)


def _lacks(cluster: Cluster, service: ServiceFacts) -> str:
    """Which workers the cluster does not name, on the hosts that it names; or how many, where ports tell nothing."""
    asked: dict[str, set[Port]] = {}
    for host, port in cluster.endpoints:
        asked.setdefault(host, set()).add(port)
    known = {port for ports in asked.values() for port in ports}
    listeners = [ports for ports in service.listeners if known & set(ports)]
    if not listeners:  # the configuration was not shown, or what lies between maps ports
        count = sum(map(len, asked.values()))
        return f"{count} for {service.workers} workers" if count < service.workers else ""
    missing = [
        f"{host}:{port}" if host else str(port)
        for host, ports in asked.items()
        for of_workers in listeners
        if ports & set(of_workers)
        for port in of_workers
        if port not in ports
    ]
    return f"{service.workers} workers, but not {', '.join(missing)}" if missing else ""


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _grpc_checks(cluster: Cluster) -> Iterator[tuple[int, Json]]:
    for index, check in mappings(cluster.config.get("health_checks")):
        if "grpc_health_check" in check:
            yield index, check


RULES: Final[tuple[Rule, ...]] = (
    not_http2,
    plain_text,
    no_health_check,
    health_check_slow_when_quiet,
    panic_threshold,
    fewer_endpoints_than_workers,
)
