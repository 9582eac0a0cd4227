"""The YAML file, and those that it includes, as data that remembers where each key stands."""

import re
from functools import partial
from pathlib import Path
from typing import Any, Final

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from extauthz.config.problems import ConfigError, KeyPath, Problem
from extauthz.domain.snapshot.sharded import GrowingMap
from extauthz.pauses import release

_QUOTED = re.compile(r"'.*'", re.DOTALL)
_LISTS: Final = ("groups", "plugins", "apis", "apps", "grants")
"""What an included file may hold: lists, whose entries come after those of the file that includes it."""
Text = tuple[str, ...]
"""What stands in a file, in pieces: whoever makes one string of 20 MB holds the interpreter for 13 ms."""
_PIECE: Final = 65_536
"""Characters of a piece."""


class _Reader:
    """A text as a file: the parser asks for the next piece, and takes what it gets."""

    def __init__(self, text: Text) -> None:
        self._pieces = iter(text)

    def read(self, _size: int = -1) -> str:
        """The next piece; nothing at the end."""
        return next(self._pieces, "")


_LOADER: Any = yaml.SafeLoader
if yaml.__with_libyaml__:
    from yaml.cyaml import CParser  # type: ignore[attr-defined]

    class _Loader(Composer, CParser, SafeConstructor, Resolver):
        """CSafeLoader, but for the composer: its one in C holds the interpreter, and all checks, for the whole file."""

        def __init__(self, stream: _Reader) -> None:
            CParser.__init__(self, stream)
            Composer.__init__(self)
            SafeConstructor.__init__(self)
            Resolver.__init__(self)

    _LOADER = _Loader


class Source:
    """A configuration file with those that it includes: their data, and the line of every key path."""

    def __init__(self, file: Path, texts: tuple[Text, ...] = (), *, is_included: bool = False) -> None:
        """Parse ``texts``, of this file and of each that it includes, or read them.

        ``is_included``: by another one, so that it includes none itself.

        Raises ConfigError: not readable, not YAML, a repeated key, or an included file that holds what it may not.
        """
        self.file = file
        self._lines: GrowingMap[KeyPath, int] = GrowingMap()
        self._faults: list[Problem] = []
        self._places: GrowingMap[tuple[str, int], tuple[Source, int]] = GrowingMap()
        """By section and index of an entry: the included file where it stands, and its index there."""
        self._included: list[Source] = []
        own, *included = texts or (self._read(),)
        self.texts: tuple[Text, ...] = (own,)
        """What stands in this file, and in each that it includes."""
        self.data: Any = self._parse(own)
        if not self.data and not any(map(str.strip, own)):
            raise ConfigError([self.problem((), "the file is empty; begin with `listen:`, `groups:` and `apis:`")])
        if not is_included:
            self._include(included)
        if self._faults:
            raise ConfigError(self._faults)

    def _include(self, texts: list[Text]) -> None:
        """Add the entries of the included files. ``texts`` is what stands in them; empty: it is read."""
        named = self.data.get("include") if isinstance(self.data, dict) else None
        names = named if isinstance(named, list) else []
        for number, name in enumerate(names):
            path = ("include", number)
            if not isinstance(name, str) or not name:
                continue  # reported with the shape
            if name in names[:number] or (self.file.parent / name).resolve() == self.file.resolve():
                self._faults.append(self.problem(path, "is included already; take it out"))
                continue
            other = Source(self.file.parent / name, tuple(texts[number : number + 1]), is_included=True)
            self.texts += other.texts
            self._included.append(other)
            self._faults += other.misplaced()
            for section in _LISTS if isinstance(other.data, dict) else ():
                self._add(section, other)

    def _add(self, section: str, other: "Source") -> None:
        entries = other.data.get(section)
        if not entries or not isinstance(entries, list):
            return
        own = self.data.setdefault(section, [])
        if not isinstance(own, list):  # reported with the shape
            return
        for index in range(len(entries)):
            self._places[section, len(own) + index] = (other, index)
        own += entries

    def misplaced(self) -> list[Problem]:
        """What this file may not hold when another one includes it."""
        if not isinstance(self.data, dict):
            return [self.problem((), f"an included file must be a mapping of {', '.join(_LISTS)}")]
        wrong = [self.problem((key,), "must stand in the file that includes this one")
                 for key in self.data if key not in _LISTS]  # fmt: skip
        return wrong + [self.problem((key,), "must be a list") for key in self.data
                        if key in _LISTS and not isinstance(self.data[key], list)]  # fmt: skip

    def problem(self, path: KeyPath, message: str) -> Problem:
        """A mistake at a key path, with the line of the deepest part of it that stands in the file."""
        if len(path) > 1 and (path[0], path[1]) in self._places:
            other, index = self._places[str(path[0]), int(path[1])]
            found = other.problem((path[0], index, *path[2:]), message)
            return Problem(found.file, found.line, path, message, own_path=found.path)
        known: KeyPath = ()
        for part in path:
            if self._lines.get((*known, part)):
                known = (*known, part)
        return Problem(str(self.file), self._lines.get(known) or 1, path, message)

    def _read(self) -> Text:
        try:
            with self.file.open(encoding="utf-8") as text:
                return tuple(iter(partial(text.read, _PIECE), ""))
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
            raise ConfigError([Problem(str(self.file), 1, (), f"cannot read the file: {why}")]) from None

    def _parse(self, text: Text) -> Any:
        loader = _LOADER(_Reader(text))
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
        for other in self._included:
            other.release()
        release(*self._places.parts(), *self._lines.parts())
        if isinstance(self.data, dict):
            release(*(section for section in self.data.values() if isinstance(section, list)))

    def _convert(self, loader: Any, node: yaml.Node, path: KeyPath) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self._convert_mapping(loader, node, path)
        if isinstance(node, yaml.SequenceNode):
            items = []
            for index, item in enumerate(node.value):
                self._lines[(*path, index)] = item.start_mark.line + 1
                items.append(self._convert(loader, item, (*path, index)))
            return items
        try:
            return _construct(loader, node)
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
            key = _construct(loader, key_node)
            if not isinstance(key, str | int):
                key = str(key)
            line = key_node.start_mark.line + 1
            if key in data and id(key_node) in own:
                message = f"duplicate key `{key}` in one mapping; keep one of them"
                self._faults.append(Problem(str(self.file), line, (*path, key), message))
            self._lines[(*path, key)] = line
            data[key] = self._convert(loader, value_node, (*path, key))
        return data


def _construct(loader: Any, node: yaml.Node) -> Any:
    made = loader.construct_object(node, deep=True)
    loader.constructed_objects.clear()  # it remembers every node: millions, and more time whenever it grows
    return made


def _where(error: yaml.MarkedYAMLError) -> yaml.Mark | None:
    """What is never closed is wrong where it begins; the parser finds out at the end of the file, or near it."""
    begins = "flow" in (error.context or "") or "quoted" in (error.context or "")
    return error.context_mark if begins and error.context_mark else error.problem_mark
