"""Reading the user's file: YAML or JSON, anchors resolved, several documents, the line of every key."""

import json
import re
import sys
from pathlib import Path as FilePath
from typing import Any, Final

import yaml

from extauthz.envoy.doctor.tree import Path

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CAMEL: Final = re.compile(r"[a-z0-9]+(?:[A-Z][a-z0-9]*)+")
_MAX_NODES: Final = 500_000
"""Enough for any bootstrap; an alias bomb ends here."""


class UnreadableError(Exception):
    """A file that the doctor cannot examine; the message says why."""


class Documents:
    """The documents of one file."""

    def __init__(self, text: str) -> None:
        """Parse. Raises UnreadableError when the text is neither YAML nor JSON."""
        self._lines: dict[Path, int] = {(): 1}
        self._snake_lines: dict[Path, int] = {}
        self._nodes = 0
        self.documents: list[Any] = self._parse(text)

    def line(self, path: Path) -> int:
        """The line, counted from 1, of the deepest part of a path that stands in the file."""
        if not self._snake_lines:
            self._snake_lines = {_snake_path(known): line for known, line in self._lines.items()}
        while path not in self._lines:
            line = self._snake_lines.get(_snake_path(path))
            if line is not None:
                return line
            path = path[:-1]
        return self._lines[path]

    def _parse(self, text: str) -> list[Any]:
        try:
            return self._parse_yaml(text)
        except yaml.YAMLError as error:
            try:
                return [json.loads(text)]  # JSON with tabs is no YAML
            except ValueError:
                mark = getattr(error, "problem_mark", None)
                place = f"line {mark.line + 1}: " if mark else ""
                raise UnreadableError(f"{place}neither YAML nor JSON: {getattr(error, 'problem', error)}") from None
        except (ValueError, RecursionError):
            raise UnreadableError("neither YAML nor JSON, or nested without end") from None

    def _parse_yaml(self, text: str) -> list[Any]:
        loader: Any = _LOADER(text)
        documents: list[Any] = []
        try:
            while loader.check_node():
                index = len(documents)
                node = loader.get_node()
                self._lines[(index,)] = node.start_mark.line + 1
                documents.append(self._convert(loader, node, (index,)))
        finally:
            loader.dispose()
        return documents

    def _convert(self, loader: Any, node: yaml.Node, path: Path) -> Any:
        self._nodes += 1
        if self._nodes > _MAX_NODES:
            raise ValueError("too many nodes")
        if isinstance(node, yaml.SequenceNode):
            items = []
            for index, item in enumerate(node.value):
                self._lines[(*path, index)] = item.start_mark.line + 1
                items.append(self._convert(loader, item, (*path, index)))
            return items
        if not isinstance(node, yaml.MappingNode):
            return loader.construct_object(node, deep=True)
        loader.flatten_mapping(node)
        data: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = str(loader.construct_object(key_node, deep=True))
            self._lines[(*path, key)] = key_node.start_mark.line + 1
            data[key] = self._convert(loader, value_node, (*path, key))
        return data


def read(file: FilePath) -> Documents:
    """Read and parse a file, or standard input where its name is ``-``. Raises UnreadableError."""
    try:
        return Documents(sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise UnreadableError("is not UTF-8 text") from None
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror}") from None


_USER_KEYS: Final = frozenset(
    {"typed_per_filter_config", "map", "policies", "context_extensions", "filter_metadata", "typed_filter_metadata",
     "typed_extension_protocol_options", "named_filter_chains", "fields"}
)  # fmt: skip
"""Fields whose keys are names that somebody chose, which are left as they are."""


def snake_case(node: Any, *, names: bool = False) -> Any:
    """Envoy's configuration with ``lowerCamelCase`` field names, which JSON permits, as ``snake_case``."""
    if isinstance(node, dict):
        renamed = {key if names else _snake(key): value for key, value in node.items()}
        return {key: snake_case(value, names=not names and key in _USER_KEYS) for key, value in renamed.items()}
    if isinstance(node, list):
        return [snake_case(item) for item in node]
    return node


def _snake(key: str) -> str:
    if not _CAMEL.fullmatch(key):
        return key
    return re.sub(r"[A-Z]", lambda match: "_" + match[0].lower(), key)


def _snake_path(path: Path) -> Path:
    return tuple(_snake(part) if isinstance(part, str) else part for part in path)
