"""Which API does a request mean: host, method and path template; and which path spellings are refused outright.

A template is literal segments and ``{name}`` segments, with ``/*`` allowed at the end for any non-empty rest:
``/v1/orders/{orderId}``. Literals win over ``{name}``, and ``{name}`` over ``*``.

Paths are matched by their decoded segments, as an upstream would see them. Any spelling that two readers could
take differently (empty or dot segments, encoded or back slashes, path parameters, control characters, broken
escapes) is refused before it is matched: the lesson of CVE-2019-9901, CVE-2021-29492 and CVE-2026-26205.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote, unquote_to_bytes

from extauthz.domain.api import Api

_PLAIN = re.compile(r"(?:/[A-Za-z0-9_~!$&'()*+,=:@-][A-Za-z0-9._~!$&'()*+,=:@-]*)+/?|/").fullmatch
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Encoded slash, backslash, question mark, control character, and an escape inside an escape.
_ENCODED_TRAPS = re.compile(r"%(?:2[fF]|5[cC]|3[fF]|[01][0-9A-Fa-f]|7[fF]|25[0-9A-Fa-f]{2})")
_NAME = re.compile(r"\{[A-Za-z_][A-Za-z0-9_-]*\}")


class TemplateError(ValueError):
    """A path template that cannot be used; the message says how to write it."""


def path_fault(path: str) -> str:
    """Why a raw path is refused as ambiguous, in a word or two for the caller; empty when the path is plain."""
    if _PLAIN(path):
        return ""
    if not path.startswith("/"):
        return "not absolute"
    if "//" in path:
        return "empty segment"
    if "\\" in path or ";" in path or "#" in path:
        return "reserved character"
    if _BROKEN_ESCAPE.search(path):
        return "broken escape"
    if _ENCODED_TRAPS.search(path):
        return "encoded delimiter"
    if any(character <= " " or character == "\x7f" for character in path):
        return "control character"
    decoded = unquote_to_bytes(path)
    if any(segment in (b".", b"..") for segment in decoded.split(b"/")):
        return "dot segment"
    try:
        decoded.decode()
    except UnicodeDecodeError:
        return "not UTF-8"  # %c0%ae is a dot to some readers
    return ""


def decoded_segments(path: str) -> list[str]:
    """The segments of a path without faults, percent-decoded."""
    if "%" in path:
        path = unquote(path)
    return path[1:].split("/")


def parse_template(template: str) -> tuple[str, ...]:
    """Segments of a template: a literal as itself, ``{}`` for a named segment, ``*`` for the rest.

    Raises TemplateError.
    """
    if not template.startswith("/"):
        raise TemplateError(f"path {template!r} must begin with `/`")
    segments = template[1:].split("/")
    shape = []
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        if segment == "*" and last:
            shape.append("*")
        elif _NAME.fullmatch(segment):
            shape.append("{}")
        elif any(sign in segment for sign in "{}*?#;%\\"):
            raise TemplateError(
                f"path {template!r}: segment {segment!r} must be plain text, a whole `{{name}}`, or a final `*`"
            )
        elif segment in (".", "..") or (segment == "" and not last):
            raise TemplateError(f"path {template!r} has an empty or dot segment")
        else:
            shape.append(segment)
    return tuple(shape)


@dataclass(slots=True)
class _Node:
    literals: dict[str, "_Node"] = field(default_factory=dict)
    named: "_Node | None" = None
    rest: dict[str, Api] = field(default_factory=dict)
    here: dict[str, Api] = field(default_factory=dict)
    """APIs by HTTP method."""


class RouteTable:
    """An index over every API that has a path. Built once with a snapshot, read-only afterwards."""

    __slots__ = ("_any_host", "_by_host", "_by_suffix")

    def __init__(self, apis: Iterable[Api] = ()) -> None:
        """Raises RouteConflict when two APIs claim one route."""
        self._by_host: dict[str, _Node] = {}
        self._by_suffix: dict[str, _Node] = {}
        self._any_host: _Node | None = None
        for api in apis:
            self.add(api)

    def add(self, api: Api) -> None:
        """Add an API while the table is built. Raises RouteConflict."""
        if api.path is None:
            return
        shape = parse_template(api.path)
        for domain in sorted(api.group.domains):
            self._insert(self._root(domain), shape, api, domain)

    def find(self, host: str, method: str, path: str) -> Api | None:
        """The API that a request means, or None. ``path`` must be free of faults."""
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
