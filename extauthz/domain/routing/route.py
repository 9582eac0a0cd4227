"""Which API does a request mean: an index over host, method and path template.

Literal segments win over ``{name}``, and ``{name}`` over a final ``*``; see ``domain.routing.path`` for templates, and
for the spellings of a path that are refused before anything is matched.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from extauthz.domain.api import Api
from extauthz.domain.routing.path import decoded_segments, parse_template

_HOST = re.compile(r"[a-z0-9._-]*|\[[0-9a-f:.]+\]").fullmatch


@lru_cache(maxsize=1024)
def is_host(host: str) -> bool:
    """Whether a host in lower case, without its port, is a name or an address that means one thing to every reader.

    User information, commas of two Host headers and the like can only match ``*``, and may reach the upstream as an
    identity header. An empty host is one: HTTP/1.0 knows none. Remembered, so callers bound the length.
    """
    return _HOST(host) is not None


@dataclass(slots=True)
class _Node:
    literals: dict[str, "_Node"] = field(default_factory=dict)
    named: "_Node | None" = None
    rest: dict[str, Api] = field(default_factory=dict)
    here: dict[str, Api] = field(default_factory=dict)
    """APIs by HTTP method."""


class RouteTable:
    """An index over every API that has a path. Built once with a snapshot, read-only afterwards."""

    __slots__ = ("_any_host", "_by_host", "_by_suffix", "lenient")

    def __init__(self, apis: Iterable[Api] = ()) -> None:
        """Raises RouteConflict when two APIs claim one route."""
        self._by_host: dict[str, _Node] = {}
        self._by_suffix: dict[str, _Node] = {}
        self._any_host: _Node | None = None
        self.lenient = False
        """Whether some API takes more in its path parameters than others do, see ``lenient_path_fault``."""
        for api in apis:
            self.add(api)

    def add(self, api: Api) -> None:
        """Add an API while the table is built. Raises RouteConflict."""
        if api.path is None:
            return
        shape = parse_template(api.path)
        self.lenient = self.lenient or api.lenient_path_parameters
        for domain in sorted(api.group.domains):
            self._insert(self._root(domain), shape, api, domain)

    def find(self, host: str, method: str, path: str) -> Api | None:
        """The API that a request means, or None. ``path`` must be free of faults, or of those that some API takes."""
        segments = decoded_segments(path)
        if not self._by_host and not self._by_suffix:  # the small set-up: every group serves every host
            return None if self._any_host is None else _walk(self._any_host, segments, 0, method)
        for root in self._roots_for(host):
            api = _walk(root, segments, 0, method)
            if api is not None:
                return api
        return None

    def knows_host(self, host: str) -> bool:
        """Whether any API group with routes serves this host."""
        return any(True for _ in self._roots_for(host))

    def _root(self, domain: str) -> _Node:
        if domain == "*":
            self._any_host = self._any_host or _Node()
            return self._any_host
        if domain.startswith("*."):
            return self._by_suffix.setdefault(domain[1:], _Node())
        return self._by_host.setdefault(domain, _Node())

    def _roots_for(self, host: str) -> Iterator[_Node]:
        exact = self._by_host.get(host)
        if exact is not None:
            yield exact
        if self._by_suffix:
            dot = host.find(".", 1)
            while dot >= 0:
                root = self._by_suffix.get(host[dot:])
                if root is not None:
                    yield root
                dot = host.find(".", dot + 1)
        if self._any_host is not None:
            yield self._any_host

    @staticmethod
    def _insert(root: _Node, shape: tuple[str, ...], api: Api, domain: str) -> None:
        node = root
        for segment in shape:
            if segment == "*":
                _claim(node.rest, api, domain)
                return
            if segment == "{}":
                node.named = node.named or _Node()
                node = node.named
            else:
                node = node.literals.setdefault(segment, _Node())
        _claim(node.here, api, domain)


class RouteConflict(ValueError):
    """Two APIs claim the same host, method and path."""

    def __init__(self, first: Api, second: Api, method: str, domain: str) -> None:
        super().__init__(
            f"APIs {first.id!r} and {second.id!r} claim one route: {method} {second.path} on domain {domain!r}"
        )
        self.api = second


def _claim(leaf: dict[str, Api], api: Api, domain: str) -> None:
    for method in sorted(api.methods):
        other = leaf.setdefault(method, api)
        if other is not api:
            raise RouteConflict(other, api, method, domain)


def _walk(node: _Node, segments: list[str], index: int, method: str) -> Api | None:
    if index == len(segments):
        return node.here.get(method)
    segment = segments[index]
    child = node.literals.get(segment)
    if child is not None:
        found = _walk(child, segments, index + 1, method)
        if found is not None:
            return found
    if segment:
        if node.named is not None:
            found = _walk(node.named, segments, index + 1, method)
            if found is not None:
                return found
        return node.rest.get(method)
    return None
