"""Where the file has an app, AppKey or AppCode: what the registry must not give away a second time."""

from collections.abc import Callable

from extauthz.config.build import ServiceConfig
from extauthz.config.source import Source
from extauthz.domain.app import hash_app_code


def names_in(config: ServiceConfig) -> Callable[[str, str], str | None]:
    """What says of a kind (``app``, ``key`` or ``code``) and a name where it stands in the file: ``FILE:LINE``."""

    def place(kind: str, name: str) -> str | None:
        app_id = _app_id(config, kind, name)
        if app_id is None:
            return None
        index = next(number for number, app in enumerate(config.file.apps) if app.id == app_id)
        return f"{config.path}:{Source(config.path, config.texts).problem(('apps', index), '').line}"

    return place


def _app_id(config: ServiceConfig, kind: str, name: str) -> str | None:
    """The app that a name belongs to. Of an AppCode no more is told than that."""
    directory = config.snapshot.directory
    if kind == "key":
        pair = directory.key_pair(name.encode())
        return None if pair is None else pair.app_id
    app = directory.app(name) if kind == "app" else directory.app_of_code(hash_app_code(name.encode()))
    return None if app is None else app.id
