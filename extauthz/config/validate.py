"""Shape first: the file against the schema, with messages that name the cure, and as much left to check as possible."""

import difflib
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from extauthz.config.problems import ConfigError, KeyPath, Problem
from extauthz.config.schema import ConfigFile
from extauthz.config.source import Source
from extauthz.config.steps import in_steps
from extauthz.config.text import find_stray
from extauthz.pauses import release

_SECTIONS: Final = ("groups", "plugins", "apis", "apps", "grants")
_CURES: Final = {
    "missing": "is required; add it",
    "string_type": "must be text; put it in quotes",
    "timezone_aware": "needs a time zone, as in 2027-01-31T00:00:00Z",
    "datetime_from_date_parsing": "must be a date and time, as in 2027-01-31T00:00:00Z",
    "extra_forbidden": "is not a known key",
    "model_type": "must be a mapping of keys",
    "dict_type": "must be a mapping of keys",
    "list_type": "must be a list",
    "string_pattern_mismatch": "is not written as it must be",
}


@dataclass(slots=True)
class Validated:
    """A file whose shape is right, once the entries with mistakes are left out."""

    file: ConfigFile
    problems: list[Problem]
    broken_ids: set[tuple[str, str]]
    """Section and id of entries that were left out, so that references to them are not reported too."""
    position: Callable[[str, int], int]
    """From an entry's place in ``file`` to its place in the YAML file."""

    def place(self, path: KeyPath) -> KeyPath:
        """From a key path in ``file`` to the one in the YAML file."""
        if len(path) > 1 and path[0] in _SECTIONS and isinstance(path[1], int):
            return (path[0], self.position(str(path[0]), path[1]), *path[2:])
        return path


def validate(source: Source) -> Validated:
    """Check the shape. Raises ConfigError only when too little is left to look for further mistakes."""
    if not isinstance(source.data, dict):
        raise ConfigError([source.problem((), "the file must be a mapping of keys, such as `listen:` and `apis:`")])
    stray = [source.problem(path, message) for path, message in find_stray(source.data)]
    file, details = in_steps(source.data)
    if file is not None:
        return Validated(file, stray, set(), lambda _section, index: index)
    problems = combined(stray, shape_problems(source, ConfigFile, details))
    pruned, broken, kept = _prune(source.data, details)
    file, _ = in_steps(pruned)
    release(*(section for section in pruned.values() if isinstance(section, list)))
    if file is None:
        raise ConfigError(problems)
    return Validated(file, problems, broken, lambda section, index: kept[section][index])


def combined(first: list[Problem], others: list[Problem]) -> list[Problem]:
    """Both in the order of the file; of a place that ``first`` names the others say nothing more."""
    places = {problem.path for problem in first}
    return sorted(
        (*first, *(one for one in others if one.path not in places)), key=lambda problem: (problem.file, problem.line)
    )


def shape_problems(source: Source, model: type[BaseModel], details: list[ErrorDetails]) -> list[Problem]:
    """What ``model`` does not take, one problem for each place: every branch of a union reports that it did not fit."""
    by_place: dict[KeyPath, list[str]] = {}
    for detail in details:
        path = _real_path(source.data, detail)
        messages = by_place.setdefault(path, [])
        if detail["type"] not in ("model_type", "dict_type") or not messages:
            messages.append(_message(model, path, detail))
    return [source.problem(path, "; or ".join(dict.fromkeys(messages))) for path, messages in by_place.items()]


def _real_path(data: Any, detail: ErrorDetails) -> KeyPath:
    """Pydantic's location without the names of union branches, which stand in no file."""
    path: list[str | int] = []
    here = data
    for part in detail["loc"]:
        inside_list = isinstance(here, list) and isinstance(part, int) and part < len(here)
        if inside_list or (isinstance(here, dict) and part in here):
            here = here[part]
            path.append(part)
    if detail["type"] == "missing":
        path.append(detail["loc"][-1])  # a key that should be here
    return tuple(path)


def _message(model: type[BaseModel], path: KeyPath, detail: ErrorDetails) -> str:
    message = _CURES.get(detail["type"]) or detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "too_short":
        message = "must not be empty: an empty list here means nobody and nothing; list one or leave the key out"
    if detail["type"] == "extra_forbidden":
        known = _known_keys(model, path[:-1])
        close = difflib.get_close_matches(str(path[-1]), known, n=1)
        return f"{message}; did you mean `{close[0]}`?" if close else f"{message}; known: {', '.join(sorted(known))}"
    return message


def _known_keys(model: type[BaseModel], path: KeyPath) -> list[str]:
    """The keys that may stand at a path, found by walking the models."""
    models: list[type[BaseModel]] = [model]
    for part in path:
        if isinstance(part, int):
            continue
        models = [
            found
            for model in models
            if part in model.model_fields
            for found in _models_in(model.model_fields[part].annotation)
        ] or models
    return sorted({name for model in models for name in model.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def _prune(data: dict[str, Any], details: list[ErrorDetails]) -> tuple[dict[str, Any], set[tuple[str, str]], Any]:
    """The data without what is wrong: unknown keys alone, otherwise the whole entry or top-level key."""
    bad_entries: set[tuple[str, int]] = set()
    pruned = _copy(data)
    unknown = [detail for detail in details if detail["type"] == "extra_forbidden"]
    for detail in unknown:  # before whole keys go, in which some of these stand
        _drop(pruned, _real_path(data, detail))
    for detail in details:
        location = detail["loc"]
        if detail in unknown:
            continue
        if len(location) > 1 and location[0] in _SECTIONS and isinstance(location[1], int):
            bad_entries.add((str(location[0]), location[1]))
        elif location and location[0] in pruned:
            del pruned[str(location[0])]
    broken = set()
    kept: dict[str, list[int]] = {}
    for section in _SECTIONS:
        entries = pruned.get(section) if isinstance(pruned.get(section), list) else []
        kept[section] = [index for index in range(len(entries)) if (section, index) not in bad_entries]
        for index in (index for of, index in bad_entries if of == section and index < len(entries)):
            entry = entries[index]
            if isinstance(entry, dict) and isinstance(entry.get("id"), str):
                broken.add((section, entry["id"]))
        if entries:
            pruned[section] = [entries[index] for index in kept[section]]
    pruned.setdefault("listen", [{"address": "unix:/reported"}])  # reported already; the rest can still be checked
    return pruned, broken, kept


def _copy(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _copy(value) for key, value in data.items()}
    return [_copy(item) for item in data] if isinstance(data, list) else data


def _drop(data: Any, path: KeyPath) -> None:
    for part in path[:-1]:
        data = data[part]
    data.pop(path[-1], None)
