"""Listeners, clusters and routes of a bootstrap or of a config dump, each with its place in the file."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from extauthz.envoy.doctor.reading.typed import unwrap
from extauthz.envoy.doctor.tree import Json, Path, dig, mappings


@dataclass(slots=True)
class Parts:
    """What a file holds, before anything of it is understood."""

    listeners: list[tuple[Path, Json]] = field(default_factory=list)
    clusters: list[tuple[Path, Json]] = field(default_factory=list)
    routes: dict[str, tuple[Path, Json]] = field(default_factory=dict)
    """Route configurations that listeners fetch by name."""
    scopes: dict[str, list[tuple[Path, Json]]] = field(default_factory=dict)
    """Scopes of routes, by the name of their collection."""
    discovered: dict[str, tuple[Path, Json]] = field(default_factory=dict)
    """Configurations of filters that listeners fetch by name."""
    elsewhere: list[Path] = field(default_factory=list)

    def raw_chains(self) -> Iterator[tuple[Path, Json, Path]]:
        """The filter chains in which no HttpConnectionManager stands, each with the place of its listener."""
        for listener_path, listener in self.listeners:
            for path, chain in chains(listener_path, listener):
                filters = [one for _, one in mappings(chain.get("filters"))]
                if filters and not any(_is_manager(one) for one in filters):
                    yield path, chain, listener_path


@dataclass(frozen=True, slots=True)
class Place:
    """An HttpConnectionManager where it stands."""

    path: Path
    config: Json
    port: int
    listener_path: Path
    listener: Json


def chains(path: Path, listener: Json) -> Iterator[tuple[Path, Json]]:
    """Every filter chain of a listener."""
    for number, chain in mappings(listener.get("filter_chains")):
        yield (*path, "filter_chains", number), chain
    last = listener.get("default_filter_chain")
    if isinstance(last, dict):
        yield (*path, "default_filter_chain"), last


def static(bootstrap: Json, root: Path) -> Parts:
    """The parts of a bootstrap."""
    parts = Parts()
    for index, one in mappings(dig(bootstrap, "static_resources", "listeners")):
        _add_listener((*root, "static_resources", "listeners", index), one, parts)
    for index, one in mappings(dig(bootstrap, "static_resources", "clusters")):
        parts.clusters.append(((*root, "static_resources", "clusters", index), one))
    if dig(bootstrap, "dynamic_resources", "lds_config") is not None:
        parts.elsewhere.append((*root, "dynamic_resources", "lds_config"))
    return parts


def dumped(dump: Json, root: Path) -> Parts:
    """The parts of what the admin page shows at /config_dump."""
    parts = Parts()
    for index, section in mappings(dump.get("configs")):
        place = (*root, "configs", index)
        for path, one in _entries(section, place, ("static_listeners",), ("listener",)):
            _add_listener(path, one, parts)
        for state in ("active_state", "warming_state"):
            for path, one in _entries(section, place, ("dynamic_listeners",), (state, "listener")):
                _add_listener(path, one, parts)
        names = ("static_clusters", "dynamic_active_clusters")
        parts.clusters.extend(_entries(section, place, names, ("cluster",)))
        names = ("static_route_configs", "dynamic_route_configs")
        for path, one in _entries(section, place, names, ("route_config",)):
            parts.routes[str(one.get("name"))] = path, one
        for path, one in _entries(section, place, ("ecds_filters",), ("ecds_filter",)):
            parts.discovered[str(one.get("name"))] = (*path, "typed_config"), one.get("typed_config") or {}
        for kind in ("inline_scoped_route_configs", "dynamic_scoped_route_configs"):
            for path, one in _entries(section, place, (kind,), ()):
                scopes = parts.scopes.setdefault(str(one.get("name")), [])
                scopes += [
                    ((*path, "scoped_route_configs", number), scope)
                    for number, scope in mappings(one.get("scoped_route_configs"))
                ]
    return parts


def discovered(document: Json, root: Path) -> Parts:
    """The parts of a file that Envoy reads as a discovery response: listeners, clusters, routes under ``resources``."""
    parts = Parts()
    for index, one in mappings(document.get("resources")):
        found = unwrap(one, (*root, "resources", index))
        if found.type == "Listener":
            _add_listener(found.path, found.config, parts)
        elif found.type == "Cluster":
            parts.clusters.append((found.path, found.config))
        elif found.type == "RouteConfiguration":
            parts.routes[str(found.config.get("name"))] = found.path, found.config
        elif found.type == "TypedExtensionConfig":
            place = (*found.path, "typed_config")
            parts.discovered[str(found.config.get("name"))] = place, found.config.get("typed_config") or {}
    return parts


def managers_of(parts: Parts) -> Iterator[Place]:
    """Every HttpConnectionManager of every filter chain, and of API listeners."""
    for path, listener in parts.listeners:
        port = dig(listener, "address", "socket_address", "port_value")
        for chain_path, chain in chains(path, listener):
            for number, one in mappings(chain.get("filters")):
                if _is_manager(one):
                    found = unwrap(one.get("typed_config"), (*chain_path, "filters", number, "typed_config"))
                    yield Place(found.path, found.config, port if isinstance(port, int) else 0, path, listener)
        found = unwrap(dig(listener, "api_listener", "api_listener"), (*path, "api_listener", "api_listener"))
        if found.type == "HttpConnectionManager":
            yield Place(found.path, found.config, 0, path, listener)


def _add_listener(path: Path, listener: Json, parts: Parts) -> None:
    parts.listeners.append((path, listener))
    if "fcds_config" in listener:
        parts.elsewhere.append((*path, "fcds_config"))
    for chain_path, chain in chains(path, listener):
        for number, one in mappings(chain.get("filters")):
            if "config_discovery" in one:
                parts.elsewhere.append((*chain_path, "filters", number, "config_discovery"))


def _entries(section: Json, place: Path, lists: tuple[str, ...], way: tuple[str, ...]) -> Iterator[tuple[Path, Json]]:
    for name in lists:
        for number, entry in mappings(section.get(name)):
            one: Any = dig(entry, *way)
            if isinstance(one, dict):
                yield (*place, name, number, *way), one


def _is_manager(one: Json) -> bool:
    return unwrap(one.get("typed_config"), ()).type == "HttpConnectionManager"
