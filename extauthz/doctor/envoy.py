"""Cutting an Envoy bootstrap, or the dump of a running Envoy, into the parts that the rules look at."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from extauthz.decide.network import NETWORK_KEY
from extauthz.doctor.file import snake_case
from extauthz.doctor.material import (
    Asking,
    Cluster,
    HttpFilter,
    Json,
    Manager,
    Mark,
    Material,
    Path,
    Platform,
    Port,
    Route,
    VirtualHost,
    dig,
    mappings,
    merged,
)

EXT_AUTHZ: Final = "envoy.filters.http.ext_authz"
_DYNAMIC: Final = frozenset({"EDS", "STRICT_DNS", "LOGICAL_DNS"})


@dataclass(slots=True)
class _Parts:
    """Listeners, clusters and routes, each with its place in the file."""

    listeners: list[tuple[Path, Json]] = field(default_factory=list)
    clusters: list[tuple[Path, Json]] = field(default_factory=list)
    routes: list[tuple[Path, Json]] = field(default_factory=list)
    """Route configurations that listeners fetch by name."""
    elsewhere: list[Path] = field(default_factory=list)


def is_envoy(document: Any) -> bool:
    """Whether a document looks like an Envoy bootstrap, or like what Envoy's admin page shows at /config_dump."""
    keys = {"static_resources", "staticResources", "dynamic_resources", "dynamicResources", "configs"}
    return isinstance(document, dict) and bool(keys & document.keys())


def read_envoy(document: Any, root: Path, material: Material) -> None:
    """Add an Envoy bootstrap or config dump to the material."""
    config = snake_case(document)
    parts = _dumped(config, root) if "configs" in config else _static(config, root)
    material.elsewhere.extend(parts.elsewhere)
    named = {str(routes.get("name")): (path, routes) for path, routes in parts.routes}
    asked: dict[str, Path] = {}
    for path, port, manager_config in _managers(parts):
        routes_name = str(dig(manager_config, "rds", "route_config_name"))
        routes = named.get(routes_name, ((*path, "route_config"), manager_config.get("route_config")))
        manager = _manager(path, manager_config, *routes)
        material.managers.append(manager)
        if "scoped_routes" in manager_config or ("rds" in manager_config and routes_name not in named):
            material.elsewhere.append((*path, "rds" if "rds" in manager_config else "scoped_routes"))
        for one in manager.filters:
            if one.type == "ExtAuthz":
                asking = _asking(one, manager, port, parts)
                material.askings.append(asking)
                asked.update({name: asking.at("grpc_service", "envoy_grpc") for name in asking.clusters})
    known = {str(config.get("name", "")): (path, config) for path, config in parts.clusters}
    for name, place in asked.items():
        if name in known:
            material.clusters.append(_cluster(*known[name]))
        else:
            material.missing_clusters.append((*place, "cluster_name"))


def _static(bootstrap: Json, root: Path) -> _Parts:
    parts = _Parts()
    for kind, found in (("listeners", parts.listeners), ("clusters", parts.clusters)):
        for index, one in mappings(dig(bootstrap, "static_resources", kind)):
            found.append(((*root, "static_resources", kind, index), one))
    if dig(bootstrap, "dynamic_resources", "lds_config") is not None:
        parts.elsewhere.append((*root, "dynamic_resources", "lds_config"))
    return parts


def _dumped(dump: Json, root: Path) -> _Parts:
    parts = _Parts()
    for index, section in mappings(dump.get("configs")):
        for lists, way, found in (
            (("static_listeners",), ("listener",), parts.listeners),
            (("dynamic_listeners",), ("active_state", "listener"), parts.listeners),
            (("static_clusters", "dynamic_active_clusters"), ("cluster",), parts.clusters),
            (("static_route_configs", "dynamic_route_configs"), ("route_config",), parts.routes),
        ):
            for name in lists:
                for number, entry in mappings(section.get(name)):
                    one = dig(entry, *way)
                    if isinstance(one, dict):
                        found.append(((*root, "configs", index, name, number, *way), one))
    return parts


def _managers(parts: _Parts) -> Iterator[tuple[Path, int, Json]]:
    for path, listener in parts.listeners:
        port = dig(listener, "address", "socket_address", "port_value") or 0
        chains: list[tuple[Path, Any]] = [
            ((*path, "filter_chains", number), chain) for number, chain in mappings(listener.get("filter_chains"))
        ]
        chains.append(((*path, "default_filter_chain"), listener.get("default_filter_chain")))
        for chain_path, chain in chains:
            for number, one in mappings(dig(chain, "filters")):
                if _type(one) == "HttpConnectionManager":
                    yield (*chain_path, "filters", number, "typed_config"), port, _typed(one)


def _manager(path: Path, config: Json, routes_path: Path, routes: Any) -> Manager:
    filters = tuple(
        HttpFilter((*path, "http_filters", index, "typed_config"), _type(one), _typed(one))
        for index, one in mappings(config.get("http_filters"))
        if not one.get("disabled")
    )
    names = {
        str(one.get("name", EXT_AUTHZ)) for _, one in mappings(config.get("http_filters")) if _type(one) == "ExtAuthz"
    } or {EXT_AUTHZ}
    hosts = tuple(
        _host((*routes_path, "virtual_hosts", index), host, names, [(routes_path, routes)])
        for index, host in mappings(dig(routes, "virtual_hosts"))
    )
    return Manager(path, config, filters, routes_path, hosts)


def _host(path: Path, host: Json, names: set[str], around: list[tuple[Path, Any]]) -> VirtualHost:
    routes = []
    for index, config in mappings(host.get("routes")):
        place = (*path, "routes", index)
        check: dict[str, Any] = {}
        disabled_at: Path = ()
        for level_path, level in [*around, (path, host), (place, config)]:
            for name in names:
                here = _typed_config(dig(level, "typed_per_filter_config", name))
                if here.get("disabled") is True:
                    disabled_at = (*level_path, "typed_per_filter_config", name, "disabled")
                elif here:
                    disabled_at = ()  # the most specific level decides
                check = merged(check, dig(here, "check_settings") or {})
        routes.append(Route(place, config, bool(disabled_at), check, disabled_at))
    domains = host.get("domains")
    return VirtualHost(path, tuple(map(str, domains)) if isinstance(domains, list) else (), tuple(routes))


def _asking(one: HttpFilter, manager: Manager, port: int, parts: _Parts) -> Asking:
    marks = []
    for host in manager.hosts:
        stated = {dig(r.check, "context_extensions", NETWORK_KEY): r for r in host.routes if not r.disabled}
        for network, route in stated.items():
            place = host.path if network is None or len(stated) == 1 else route.path
            marks.append(Mark((*place, "typed_per_filter_config", EXT_AUTHZ), network))
    name = dig(one.config, "grpc_service", "envoy_grpc", "cluster_name")
    clusters = (str(name),) if name else ()
    ports = [p for _, config in parts.clusters if config.get("name") in clusters for _, p in _endpoints(config)]
    return Asking(Platform.ENVOY, one.path, one.config, {}, tuple(marks), port, tuple(ports), clusters)


def _cluster(path: Path, config: Json) -> Cluster:
    dynamic = str(config.get("type", "STATIC")) in _DYNAMIC
    return Cluster(path, config, tuple(_endpoints(config)), dynamic)


def _endpoints(cluster: Json) -> Iterator[tuple[str, Port]]:
    for _, locality in mappings(dig(cluster, "load_assignment", "endpoints")):
        for _, endpoint in mappings(locality.get("lb_endpoints")):
            address = dig(endpoint, "endpoint", "address")
            pipe = dig(address, "pipe", "path")
            port = dig(address, "socket_address", "port_value")
            host = "" if pipe else str(dig(address, "socket_address", "address") or "")
            yield host, str(pipe) if pipe else port if isinstance(port, int) else 0


def _type(one: Json) -> str:
    config = one.get("typed_config")
    url = dig(config, "@type") or ""
    if str(url).endswith("TypedStruct"):
        url = dig(config, "type_url") or ""
    return str(url).rpartition("/")[2].rpartition(".")[2]


def _typed(one: Json) -> Json:
    return _typed_config(one.get("typed_config"))


def _typed_config(config: Any) -> Json:
    url = str(dig(config, "@type") or "")
    if url.endswith(("FilterConfig", "TypedStruct")):  # a wrapper around the real configuration
        config = dig(config, "config") or dig(config, "value")
    return config if isinstance(config, dict) else {}
