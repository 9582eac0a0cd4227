"""Cutting an Envoy bootstrap into the parts that the rules look at."""

from collections.abc import Iterator
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
    Route,
    VirtualHost,
    dig,
    mappings,
    merged,
)

EXT_AUTHZ: Final = "envoy.filters.http.ext_authz"
_DYNAMIC: Final = frozenset({"EDS", "STRICT_DNS", "LOGICAL_DNS"})


def is_bootstrap(document: Any) -> bool:
    """Whether a document looks like an Envoy bootstrap."""
    keys = {"static_resources", "staticResources", "dynamic_resources", "dynamicResources"}
    return isinstance(document, dict) and bool(keys & document.keys())


def read_bootstrap(document: Any, root: Path, material: Material) -> None:
    """Add an Envoy bootstrap to the material."""
    bootstrap = snake_case(document)
    if dig(bootstrap, "dynamic_resources", "lds_config") is not None:
        material.elsewhere.append((*root, "dynamic_resources", "lds_config"))
    asked: dict[str, Path] = {}
    for path, port, config in _managers(bootstrap, root):
        manager = _manager(path, config)
        material.managers.append(manager)
        for key in ("rds", "scoped_routes"):
            if key in config:
                material.elsewhere.append((*path, key))
        for one in manager.filters:
            if one.type == "ExtAuthz":
                asking = _asking(one, manager, port, bootstrap)
                material.askings.append(asking)
                asked.update({name: asking.at("grpc_service", "envoy_grpc") for name in asking.clusters})
    known = {name: (path, config) for name, path, config in _clusters(bootstrap, root)}
    for name, place in asked.items():
        if name in known:
            material.clusters.append(_cluster(*known[name]))
        else:
            material.missing_clusters.append((*place, "cluster_name"))


def _managers(bootstrap: Json, root: Path) -> Iterator[tuple[Path, int, Json]]:
    for index, listener in mappings(dig(bootstrap, "static_resources", "listeners")):
        path = (*root, "static_resources", "listeners", index)
        port = dig(listener, "address", "socket_address", "port_value") or 0
        chains: list[tuple[Path, Any]] = [
            ((*path, "filter_chains", number), chain) for number, chain in mappings(listener.get("filter_chains"))
        ]
        chains.append(((*path, "default_filter_chain"), listener.get("default_filter_chain")))
        for chain_path, chain in chains:
            for number, one in mappings(dig(chain, "filters")):
                config = _typed(one)
                if _type(one) == "HttpConnectionManager":
                    yield (*chain_path, "filters", number, "typed_config"), port, config


def _manager(path: Path, config: Json) -> Manager:
    filters = tuple(
        HttpFilter((*path, "http_filters", index, "typed_config"), _type(one), _typed(one))
        for index, one in mappings(config.get("http_filters"))
        if not one.get("disabled")
    )
    names = {str(one.get("name", EXT_AUTHZ)) for _, one in mappings(config.get("http_filters"))
             if _type(one) == "ExtAuthz"} or {EXT_AUTHZ}  # fmt: skip
    routes = config.get("route_config")
    hosts = tuple(
        _host((*path, "route_config", "virtual_hosts", index), host, names, [((*path, "route_config"), routes)])
        for index, host in mappings(dig(routes, "virtual_hosts"))
    )
    return Manager(path, config, filters, hosts)


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


def _asking(one: HttpFilter, manager: Manager, port: int, bootstrap: Json) -> Asking:
    marks = []
    for host in manager.hosts:
        stated = {dig(r.check, "context_extensions", NETWORK_KEY): r for r in host.routes if not r.disabled}
        for network, route in stated.items():
            place = host.path if network is None or len(stated) == 1 else route.path
            marks.append(Mark((*place, "typed_per_filter_config", EXT_AUTHZ), network))
    name = dig(one.config, "grpc_service", "envoy_grpc", "cluster_name")
    clusters = (str(name),) if name else ()
    ports = [p for known, _, config in _clusters(bootstrap, ()) if known in clusters for p in _endpoint_ports(config)]
    return Asking(Platform.ENVOY, one.path, one.config, {}, tuple(marks), port, tuple(ports), clusters)


def _clusters(bootstrap: Json, root: Path) -> Iterator[tuple[str, Path, Json]]:
    for index, cluster in mappings(dig(bootstrap, "static_resources", "clusters")):
        yield str(cluster.get("name", "")), (*root, "static_resources", "clusters", index), cluster


def _cluster(path: Path, config: Json) -> Cluster:
    endpoints = list(_endpoints(config))
    addresses = [dig(endpoint, "endpoint", "address", "socket_address", "address") for endpoint in endpoints]
    dynamic = str(config.get("type", "STATIC")) in _DYNAMIC
    return Cluster(path, config, len(endpoints), tuple(str(one) for one in addresses if one), dynamic)


def _endpoints(cluster: Json) -> Iterator[Json]:
    for _, locality in mappings(dig(cluster, "load_assignment", "endpoints")):
        for _, endpoint in mappings(locality.get("lb_endpoints")):
            yield endpoint


def _endpoint_ports(cluster: Json) -> Iterator[int]:
    for endpoint in _endpoints(cluster):
        yield dig(endpoint, "endpoint", "address", "socket_address", "port_value") or 0


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
