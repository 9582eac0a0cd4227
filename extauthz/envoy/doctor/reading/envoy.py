"""Cutting an Envoy bootstrap, or the dump of a running Envoy, into the parts that the rules look at."""

from collections.abc import Iterator
from typing import Any, Final

from extauthz.domain.context_keys import NETWORK_KEY
from extauthz.envoy.doctor.file import snake_case
from extauthz.envoy.doctor.material import (
    Asking,
    Cluster,
    HttpFilter,
    Leaf,
    Manager,
    Mark,
    Material,
    Platform,
    Port,
    Verdict,
)
from extauthz.envoy.doctor.reading.chain import asked_at, first_terminal, read_chain
from extauthz.envoy.doctor.reading.leaves import Ways, read_table
from extauthz.envoy.doctor.reading.parts import Parts, Place, discovered, dumped, managers_of, static
from extauthz.envoy.doctor.reading.runtime import with_runtime
from extauthz.envoy.doctor.reading.typed import mentions, said, unwrap
from extauthz.envoy.doctor.tree import Json, Path, dig, mappings

_DYNAMIC: Final = frozenset({"EDS", "STRICT_DNS", "LOGICAL_DNS"})


def is_envoy(document: Any) -> bool:
    """Whether a document looks like a bootstrap, a dump of the admin page's /config_dump, or a file of resources."""
    keys = {"static_resources", "staticResources", "dynamic_resources", "dynamicResources", "configs"}
    if not isinstance(document, dict):
        return False
    return bool(keys & document.keys()) or any(
        ".envoy.config." in f".{unwrap(one, ()).name}" for _, one in mappings(document.get("resources"))
    )


def read_envoy(document: Any, root: Path, material: Material) -> None:
    """Add an Envoy bootstrap or config dump to the material."""
    config = with_runtime(snake_case(document))
    if "configs" in config:
        parts = dumped(config, root)
    elif "resources" in config:
        parts = discovered(config, root)
    else:
        parts = static(config, root)
    material.elsewhere.extend(parts.elsewhere)
    platform = _platform(config, parts)
    inside = _leading_inside(parts)
    asked: dict[str, Path] = {}
    for place in managers_of(parts):
        manager = _manager(place, parts, platform, inside, material)
        material.managers.append(manager)
        for asking in _askings(manager, place.port, parts):
            material.askings.append(asking)
            asked.update({name: asking.at("grpc_service", "envoy_grpc") for name in asking.clusters})
        asked.update(_asked_by_routes(manager))
    material.bypasses.extend(_bypasses(parts, material.managers, inside))
    known = {str(config.get("name", "")): (path, config) for path, config in parts.clusters}
    for name, path in asked.items():
        if name in known:
            cluster_path, cluster = known[name]
            material.clusters.append(
                Cluster(cluster_path, cluster, tuple(endpoints(cluster)), _is_dynamic(cluster), platform)
            )
        else:
            material.missing_clusters.append((*path, "cluster_name"))


def _manager(place: Place, parts: Parts, platform: Platform, inside: set[str], material: Material) -> Manager:
    path, config = place.path, place.config
    filters = read_chain(path, config, parts.discovered)
    material.elsewhere.extend(
        one.path for one in filters if one.condition is not None and one.condition.verdict is Verdict.UNSEEN
    )
    upgrades = tuple(
        read_chain((*path, "upgrade_configs", index), upgrade, parts.discovered, "filters")
        for index, upgrade in mappings(config.get("upgrade_configs"))
        if upgrade.get("filters")
    )
    ways = Ways((filters, *upgrades), inside.__contains__)
    tables = []
    for table_path, table in _tables(path, config, parts, material):
        tables.append(read_table(table_path, table, ways))
        if dig(table, "vhds") is not None:
            material.elsewhere.append((*table_path, "vhds"))
    nothing_said, _ = asked_at(path, ((path, {}),), filters)
    return Manager(path, config, filters, tuple(tables), nothing_said, platform, place.listener_path, place.listener)


def _tables(path: Path, config: Json, parts: Parts, material: Material) -> Iterator[tuple[Path, Any]]:
    """The route configurations of a connection manager; what is not in the file is put down as being elsewhere."""
    if "rds" in config:
        name = str(dig(config, "rds", "route_config_name"))
        if name in parts.routes:
            yield parts.routes[name]
        else:
            material.elsewhere.append((*path, "rds"))
    elif "scoped_routes" in config:
        place = (*path, "scoped_routes")
        inline = dig(config, "scoped_routes", "scoped_route_configurations_list", "scoped_route_configurations")
        inline_path = (*place, "scoped_route_configurations_list", "scoped_route_configurations")
        scopes = [((*inline_path, index), scope) for index, scope in mappings(inline)]
        scopes += parts.scopes.get(str(dig(config, "scoped_routes", "name")), [])
        for scope_path, scope in scopes:
            name = str(scope.get("route_configuration_name"))
            if "route_configuration" in scope:
                yield (*scope_path, "route_configuration"), scope["route_configuration"]
            elif name in parts.routes:
                yield parts.routes[name]
            else:
                material.elsewhere.append((*scope_path, "route_configuration_name"))
        if not scopes:
            material.elsewhere.append(place)
    else:
        yield (*path, "route_config"), config.get("route_config")


def _askings(manager: Manager, port: int, parts: Parts) -> Iterator[Asking]:
    """The ext_authz filters that ask, or would if a route let them; one that nothing switches on is none."""
    end = first_terminal(manager.filters)
    for index, one in enumerate(manager.filters):
        if one.type != "ExtAuthz" or (one.condition and one.condition.verdict in (Verdict.UNKNOWN, Verdict.UNSEEN)):
            continue
        marks = tuple(_marks(one, manager)) if index < end else ()
        if one.disabled and not marks and any(True for _ in manager.leaves()):
            continue
        name = dig(one.config, "grpc_service", "envoy_grpc", "cluster_name")
        clusters = (str(name),) if name else ()
        ports = [p for _, config in parts.clusters if config.get("name") in clusters for p in _ports(config)]
        yield Asking(manager.platform, one.path, one.config, {}, marks, port, tuple(ports), clusters, in_chain=True)


def _marks(one: HttpFilter, manager: Manager) -> Iterator[Mark]:
    for table in manager.tables:
        for host in table.hosts:
            stated: dict[str | None, Leaf] = {}
            for leaf in host.leaves:
                if leaf.answer.path == one.path:
                    network = dig(leaf.check, "context_extensions", NETWORK_KEY)
                    stated.setdefault(None if network is None else str(network), leaf)
            for network, leaf in stated.items():
                place = host.path if network is None or len(stated) == 1 else leaf.path
                yield Mark((*place, "typed_per_filter_config", one.name), network)


def _asked_by_routes(manager: Manager) -> Iterator[tuple[str, Path]]:
    """Clusters that single routes ask instead of the filter's own."""
    for leaf in manager.leaves():
        name = dig(leaf.check, "grpc_service", "envoy_grpc", "cluster_name")
        for one in manager.filters if name else ():
            here = said(one.name, leaf.levels).config
            if one.type == "ExtAuthz" and here is not None:
                yield str(name), (*here.path, "check_settings", "grpc_service", "envoy_grpc")


def _bypasses(parts: Parts, managers: list[Manager], inside: set[str]) -> Iterator[tuple[Path, str]]:
    """Filter chains without HTTP: beside one that asks us, or to a cluster that such a one leads to."""
    behind = {
        str(dig(leaf.route, "route", "cluster")) for manager in managers for leaf in manager.leaves() if leaf.asked
    }
    for path, chain, listener_path in parts.raw_chains():
        if mentions(chain.get("filters"), "network.ext_authz.v3.ExtAuthz"):
            continue  # asked about the connection: the service refuses what has no HTTP request in it
        beside = any(manager.asks and manager.listener_path == listener_path for manager in managers)
        for index, one in mappings(chain.get("filters")):
            cluster = str(dig(one, "typed_config", "cluster") or "")
            if cluster in inside:
                continue
            if (beside or cluster in behind) and index == len(chain["filters"]) - 1:
                yield (*path, "filters", index), cluster or str(one.get("name", ""))


def _leading_inside(parts: Parts) -> set[str]:
    """Clusters whose endpoints are all internal listeners of the same file, which are examined themselves."""
    listeners = {str(listener.get("name", "")) for _, listener in parts.listeners}
    result = set()
    for _, cluster in parts.clusters:
        names = [
            str(dig(endpoint, "endpoint", "address", "envoy_internal_address", "server_listener_name") or "")
            for _, locality in mappings(dig(cluster, "load_assignment", "endpoints"))
            for _, endpoint in mappings(locality.get("lb_endpoints"))
        ]
        if names and "" not in names and set(names) <= listeners:
            result.add(str(cluster.get("name", "")))
    return result


def _platform(config: Json, parts: Parts) -> Platform:
    """Which control plane wrote this, by the names that it gives."""
    names = [str(cluster.get("name", "")) for _, cluster in parts.clusters]
    for place in managers_of(parts):
        names += [str(one.get("name", "")) for _, one in mappings(place.config.get("http_filters"))]
    if any(name.startswith(("outbound|", "inbound|")) for name in names):
        return Platform.ISTIO
    if any("securitypolicy/" in name or name.startswith("httproute/") for name in names):
        return Platform.ENVOY_GATEWAY
    return Platform.ENVOY


def _is_dynamic(cluster: Json) -> bool:
    return str(cluster.get("type", "STATIC")) in _DYNAMIC


def _ports(cluster: Json) -> list[Port]:
    """The ports of a cluster's endpoints; Istio's clusters bear the port in their name."""
    parts = str(cluster.get("name", "")).split("|")
    if len(parts) == 4 and parts[1].isdigit():
        return [int(parts[1])]
    return [port for _, port in endpoints(cluster)]


def endpoints(cluster: Json) -> Iterator[tuple[str, Port]]:
    """Host and port, or socket, of each endpoint of a cluster."""
    for _, locality in mappings(dig(cluster, "load_assignment", "endpoints")):
        for _, endpoint in mappings(locality.get("lb_endpoints")):
            address = dig(endpoint, "endpoint", "address")
            pipe = dig(address, "pipe", "path")
            port = dig(address, "socket_address", "port_value")
            host = "" if pipe else str(dig(address, "socket_address", "address") or "")
            yield host, str(pipe) if pipe else port if isinstance(port, int) else 0
