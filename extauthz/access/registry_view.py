"""The registry as one view of its database has it, for whoever asks. Serving reads the replica instead."""

import secrets
from functools import lru_cache
from typing import Final

from sqlalchemy import Connection, select

from extauthz.domain.app import App, Grant, KeyPair
from extauthz.domain.request import Stage
from extauthz.domain.snapshot import Snapshot
from extauthz.domain.snapshot.directory import Directory
from extauthz.domain.snapshot.joined import JoinedDirectory
from extauthz.registry.database.tables import APPS, GRANTS, KEY_PAIRS

_KEPT: Final = 4096
"""Apps, and as many AppKeys, that are remembered: a log names the same ones again and again."""


class RegistryView:
    """A directory that knows apps and grants, and of an AppKey whose it is: no secret is read, so nothing verifies."""

    def __init__(self, view: Connection, revision: str = "") -> None:
        self.revision = revision
        self._view = view
        self._known = lru_cache(maxsize=_KEPT)(self._read_app)
        self._owner_of = lru_cache(maxsize=_KEPT)(self._read_owner)

    def app(self, app_id: str) -> App | None:
        """An app by its id."""
        return self._known(app_id)[0]

    def grant(self, app_id: str, api_id: str, stage: Stage) -> Grant | None:
        """The grant of an app for an API in a stage."""
        return self._known(app_id)[1].get((api_id, stage))

    def key_pair(self, app_key: bytes) -> KeyPair | None:
        """Whose an AppKey is. Its secret is a random one, which nobody can sign with."""
        found = self._owner_of(app_key)
        if found is None:
            return None
        app_id, until_ms = found
        previous = None if until_ms is None else secrets.token_bytes(32)
        return KeyPair(app_id, app_key.decode(), secrets.token_bytes(32), previous, until_ms)

    def app_of_code(self, code_hash: bytes) -> App | None:
        """Nobody's: codes are not looked up here."""
        return None

    def sizes(self) -> dict[str, int]:
        """Not counted."""
        return dict.fromkeys(("apps", "keys", "codes", "grants"), 0)

    def grants_of(self, app_id: str) -> list[Grant]:
        """Every grant of an app, whether it still holds or not."""
        return list(self._known(app_id)[1].values())

    def apps_granted(self, api_id: str, most: int) -> list[str]:
        """The first apps, by id, that have a grant for an API, whether it still holds or not."""
        query = select(GRANTS.c.app_id).where(GRANTS.c.api_id == api_id).distinct().order_by(GRANTS.c.app_id)
        return list(self._view.execute(query.limit(most)).scalars())

    def _read_app(self, app_id: str) -> tuple[App | None, dict[tuple[str, Stage], Grant]]:
        row = self._view.execute(select(APPS.c.owner_id, APPS.c.disabled).where(APPS.c.id == app_id)).first()
        if row is None:
            return None, {}
        rows = self._view.execute(select(GRANTS).where(GRANTS.c.app_id == app_id))
        grants = {
            (one.api_id, Stage(one.stage)): Grant(app_id, one.api_id, Stage(one.stage), one.until_ms, one.granted_by)
            for one in rows
        }
        return App(app_id, row.owner_id, bool(row.disabled)), grants

    def _read_owner(self, app_key: bytes) -> tuple[str, int | None] | None:
        name = app_key.decode("utf-8", "replace")
        wanted = select(KEY_PAIRS.c.app_id, KEY_PAIRS.c.previous_until_ms).where(KEY_PAIRS.c.app_key == name)
        row = self._view.execute(wanted).first()
        return None if row is None else (row.app_id, row.previous_until_ms)


def joined(snapshot: Snapshot, registry: RegistryView | None) -> Snapshot:
    """The snapshot of a file, and behind its apps those of the registry."""
    if registry is None:
        return snapshot
    directory: Directory = JoinedDirectory(snapshot.directory, registry, lambda code_hash: code_hash)
    return Snapshot(snapshot.gateway, directory)
