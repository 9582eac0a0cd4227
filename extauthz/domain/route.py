"""Which API does a request mean: host, method and path template; and which path spellings are refused outright.

A template is literal segments and ``{name}`` segments, with ``/*`` allowed at the end for any non-empty rest:
``/v1/orders/{orderId}``. Literals win over ``{name}``, and ``{name}`` over ``*``.

Paths are matched by their decoded segments, as an upstream would see them. What remains after decoding once is judged,
not how it was spelled: whatever a second reader could decode further, cut off or climb with (escapes, dot segments,
slashes, ``;``, ``?``, control characters) is refused before it is matched. The lesson of CVE-2019-9901,
CVE-2021-29492 and CVE-2026-26205.
"""

import re
from binascii import a2b_qp
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from extauthz.domain.api import Api

_PLAIN = re.compile(r"(?:/[A-Za-z0-9_~!$&'()*+,=:@-][A-Za-z0-9._~!$&'()*+,=:@-]*)+/?|/").fullmatch
BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# What a reader that decodes once more would still decode; ``%uXXXX`` is an escape to some.
ESCAPE = re.compile(r"%(?:[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# "Here" and "one up", also to readers that drop blanks around a segment.
DOT_SEGMENT = re.compile(r"(?:\A|/) *\.\.? *(?=/|\Z)")
_AS_QUOTED_PRINTABLE: Final = bytes.maketrans(b"%", b"=")
_HOST = re.compile(r"[a-z0-9._-]*|\[[0-9a-f:.]+\]").fullmatch
_NAME = re.compile(r"\{[A-Za-z_][A-Za-z0-9_-]*\}")
# Escapes of what may stand in a segment as it is (RFC 3986, section 3.3: unreserved characters, sub-delims, ``:@``).
_NEEDLESS_ESCAPE = re.compile("%(?:2[146-9A-Ea-e]|3[0-9ABDabd]|4[0-9A-Fa-f]|5[0-9AFaf]|6[1-9A-Fa-f]|7[0-9AEae])")


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
    if BROKEN_ESCAPE.search(path):
        return "broken escape"
    if any(character <= " " or character == "\x7f" for character in path):
        return "control character"
    try:
        decoded = _decoded(path)
    except UnicodeDecodeError:
        return "not UTF-8"  # %c0%ae is a dot to some readers
    if decoded.count("/") != path.count("/") or ESCAPE.search(decoded) or CONTROL.search(decoded):
        return "encoded delimiter"
    if "\\" in decoded or ";" in decoded or "?" in decoded:
        return "encoded delimiter"
    return "dot segment" if DOT_SEGMENT.search(decoded) else ""


def _decoded(path: str) -> str:
    """Percent-decode a path without broken escapes and control characters. Raises UnicodeDecodeError."""
    # The decoder of quoted-printable is in C, and does the same once `%` is `=`: `unquote` takes 6 ms for a long path.
    return a2b_qp(path.encode().replace(b"=", b"=3D").translate(_AS_QUOTED_PRINTABLE)).decode()


@lru_cache(maxsize=1024)
def is_host(host: str) -> bool:
    """Whether a host in lower case, without its port, is a name or an address that means one thing to every reader.

    User information, commas of two Host headers and the like can only match ``*``, and may reach the upstream as an
    identity header. An empty host is one: HTTP/1.0 knows none. Remembered, so callers bound the length.
    """
    return _HOST(host) is not None


def decoded_segments(path: str) -> list[str]:
    """The segments of a path without faults, percent-decoded."""
    if "%" in path:
        path = _decoded(path)
    return path[1:].split("/")


def spelled_as_template(path: str, template: str) -> bool:
    """Whether all that stands in no ``{name}`` is spelled in a raw path as everybody would spell it.

    Envoy's routes compare raw text: ``/public/%70ing`` is ``/public/ping`` to us and to most upstreams, but takes the
    route of another path. Clients may escape as they like where the template has a ``{name}`` or its final ``*``.
    ``path`` must match the template.
    """
    segments = path[1:].split("/")
    for index, wanted in enumerate(parse_template(template)):
        if wanted == "*":
            return not path_fault("/" + "/".join(segments[index:]))
        if wanted != "{}" and (_NEEDLESS_ESCAPE.search(segments[index]) or path_fault("/" + segments[index])):
            return False
    return True


@lru_cache(maxsize=4096)
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
