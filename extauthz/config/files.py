"""What a configuration names outside its own file: files that it is made of, and secrets that stand elsewhere."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from extauthz.config.problems import KeyPath
from extauthz.config.schema import ConfigFile
from extauthz.config.secrets import FromEnvironment, FromFile

Named = SecretStr | FromEnvironment | FromFile


def files_of(file: ConfigFile, path: Path) -> frozenset[Path]:
    """The configuration file itself, at ``path``, and the secrets and documents that it names. Paths are absolute."""
    path = path.absolute()
    named = (one.file for _, one in _outside_apps(file) if isinstance(one, FromFile))
    of_apps = (one.file for _, one in _of_apps(file) if isinstance(one, FromFile))
    included = (Path(name) for name in file.include)
    return frozenset({path, *(path.parent / file for file in (*named, *of_apps, *included))})


def secrets_of(file: ConfigFile) -> Iterator[tuple[KeyPath, Named]]:
    """Every secret of a file, however it is given, with its place by position in ``file``."""
    yield from _of_apps(file)
    for path, named in _outside_apps(file):
        if path[-1] != "jwks":  # a document, and a public one
            yield path, named


def _of_apps(file: ConfigFile) -> Iterator[tuple[KeyPath, Named]]:
    """A loop of its own: there may be a million of them."""
    for index, app in enumerate(file.apps):
        for number, key in enumerate(app.keys):
            yield ("apps", index, "keys", number, "app_secret"), key.app_secret
            if key.previous is not None:
                yield ("apps", index, "keys", number, "previous", "secret"), key.previous.secret
        for number, code in enumerate(app.app_codes):
            yield ("apps", index, "app_codes", number), code


def named_outside_apps(file: ConfigFile) -> Iterator[Named]:
    """The secrets of everything but apps, and the documents that the file names."""
    return (named for _, named in _outside_apps(file))


def _outside_apps(file: ConfigFile) -> Iterator[tuple[KeyPath, Named]]:
    # In `decision_log` is named a file that we write; the others name none.
    return _named(file.model_copy(update={"decision_log": None, "apps": [], "grants": [], "apis": []}), ())


def _named(node: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Named]]:
    if isinstance(node, Named):
        yield path, node
    elif isinstance(node, BaseModel):
        for field in type(node).model_fields:
            yield from _named(getattr(node, field), (*path, field))
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from _named(item, (*path, index))
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _named(value, (*path, key))
