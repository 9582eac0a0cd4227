"""The YAML file as data that remembers on which line each key stands."""

import re
from pathlib import Path
from typing import Any, Final

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from extauthz.config.problems import ConfigError, KeyPath, Problem
from extauthz.pauses import release

_SHARDS: Final = 256
_QUOTED = re.compile(r"'.*'", re.DOTALL)
_LOADER: Any = yaml.SafeLoader
if yaml.__with_libyaml__:
    from yaml.cyaml import CParser  # type: ignore[attr-defined]

    class _Loader(Composer, CParser, SafeConstructor, Resolver):
        """CSafeLoader, but for the composer: its one in C holds the interpreter, and all checks, for the whole file."""

        def __init__(self, text: str) -> None:
            CParser.__init__(self, text)
            Composer.__init__(self)
            SafeConstructor.__init__(self)
            Resolver.__init__(self)

    _LOADER = _Loader


class _Lines:
    """The line of each key path. In shards: a dictionary of millions holds the interpreter whenever it grows."""

    def __init__(self) -> None:
        self.shards: tuple[dict[KeyPath, int], ...] = tuple({} for _ in range(_SHARDS))

    def put(self, path: KeyPath, line: int) -> None:
        """Note where a key path is."""
        self.shards[hash(path) % _SHARDS][path] = line

    def get(self, path: KeyPath) -> int | None:
        """Where it is, or None."""
        return self.shards[hash(path) % _SHARDS].get(path)


class Source:
    """One configuration file: its data, and the line of every key path."""

    def __init__(self, file: Path, text: str | None = None) -> None:
        """Parse ``text``, or read it from the file. Raises ConfigError: not readable, not YAML, or a repeated key."""
        self.file = file
        self._lines = _Lines()
        self._faults: list[Problem] = []
        self.text = self._read() if text is None else text
        self.data: Any = self._parse(self.text)
        if not self.data and not self.text.strip():
            raise ConfigError([self.problem((), "the file is empty; begin with `listen:`, `groups:` and `apis:`")])
        if self._faults:
            raise ConfigError(self._faults)

    def problem(self, path: KeyPath, message: str) -> Problem:
        """A mistake at a key path, with the line of the deepest part of it that stands in the file."""
        known: KeyPath = ()
        for part in path:
            if self._lines.get((*known, part)):
                known = (*known, part)
        return Problem(str(self.file), self._lines.get(known) or 1, path, message)

    def _read(self) -> str:
        try:
            return self.file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
            raise ConfigError([Problem(str(self.file), 1, (), f"cannot read the file: {why}")]) from None

    def _parse(self, text: str) -> Any:
        loader = _LOADER(text)
        node: yaml.Node | None = None
        try:
            node = loader.get_single_node()
            return {} if node is None else self._convert(loader, node, ())
        except yaml.MarkedYAMLError as error:
            mark = _where(error)
            # The parser quotes what it stumbled over, which may be a secret that lacks its own quotes.
            message = f"not valid YAML: {_QUOTED.sub('...', error.problem or '')}"
            raise ConfigError([Problem(str(self.file), mark.line + 1 if mark else 1, (), message)]) from None
        except (yaml.YAMLError, ValueError, RecursionError):
            raise ConfigError([Problem(str(self.file), 1, (), "not valid YAML")]) from None
        finally:
            loader.dispose()
            if isinstance(node, yaml.MappingNode):
                release(*(section.value for _, section in node.value if isinstance(section, yaml.SequenceNode)))

    def release(self) -> None:
        """Let go of everything in steps; nothing can be looked up any more."""
        release(*self._lines.shards)
        if isinstance(self.data, dict):
            release(*(section for section in self.data.values() if isinstance(section, list)))

    def _convert(self, loader: Any, node: yaml.Node, path: KeyPath) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self._convert_mapping(loader, node, path)
        if isinstance(node, yaml.SequenceNode):
            items = []
            for index, item in enumerate(node.value):
                self._lines.put((*path, index), item.start_mark.line + 1)
                items.append(self._convert(loader, item, (*path, index)))
            return items
        try:
            return loader.construct_object(node, deep=True)
        except ValueError:  # its text may quote a secret
            is_date = node.tag == "tag:yaml.org,2002:timestamp"
            message = "no such date or time exists" if is_date else "cannot be read as it is written; put it in quotes"
            self._faults.append(Problem(str(self.file), node.start_mark.line + 1, path, message))
            return None

    def _convert_mapping(self, loader: Any, node: yaml.MappingNode, path: KeyPath) -> dict[Any, Any]:
        own = {id(key) for key, _ in node.value}
        loader.flatten_mapping(node)  # resolves "<<" merges
        data: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            if not isinstance(key, str | int):
                key = str(key)
            line = key_node.start_mark.line + 1
            if key in data and id(key_node) in own:
                message = f"duplicate key `{key}` in one mapping; keep one of them"
                self._faults.append(Problem(str(self.file), line, (*path, key), message))
            self._lines.put((*path, key), line)
            data[key] = self._convert(loader, value_node, (*path, key))
        return data


def _where(error: yaml.MarkedYAMLError) -> yaml.Mark | None:
    """What is never closed is wrong where it begins; the parser finds out at the end of the file, or near it."""
    begins = "flow" in (error.context or "") or "quoted" in (error.context or "")
    return error.context_mark if begins and error.context_mark else error.problem_mark
