"""What the registry has and a file does not name, in the sections that the file has: to be told, or deleted."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final

from sqlalchemy import Table, select

from extauthz.registry import apis, apps, codes, credentials, grants
from extauthz.registry.database.sealing import Vault
from extauthz.registry.database.store import Transaction
from extauthz.registry.database.tables import APIS, APP_CODES, APPS, GRANTS, KEY_PAIRS, OWNERS
from extauthz.registry.declared.values import Change, Declared
from extauthz.registry.rules import Actor

At = Callable[..., AbstractContextManager[None]]
"""Takes down what the registry refuses while it is open, for a place of the file."""
_NOT_NAMED: Final = "not in the file"


class Excess:
    """Entries that a file could name and does not, as they are before anything is applied."""

    def __init__(self, tx: Transaction, vault: Vault, actor: Actor, declared: Declared) -> None:
        self._tx = tx
        self._actor = actor
        self._grants: list[tuple[str, str, str]] = []
        if declared.grants is not None:
            named = {(one.app, one.api, one.stage) for one in declared.grants}
            rows = tx.connection.execute(select(GRANTS.c.app_id, GRANTS.c.api_id, GRANTS.c.stage))
            self._grants = sorted({(row.app_id, row.api_id, row.stage) for row in rows} - named)
        self._keys, self._codes = self._credentials(vault, declared)
        self._apps = self._others(APPS, declared.apps)
        self._apis = self._others(APIS, declared.apis)
        in_use = declared.named_owners()
        self._owners = [one for one in self._others(OWNERS, declared.owners) if one not in in_use]

    def kept(self) -> list[Change]:
        """All of them, as what stays."""
        owners = (Change("keep", "owner", owner, _NOT_NAMED) for owner in self._owners)
        return [Change("keep", kind, name, _NOT_NAMED) for kind, name in self._names()] + list(owners)

    def delete(self, at: At) -> list[Change]:
        """Delete all but owners, and tell what was deleted."""
        told = [Change("delete", kind, name, _NOT_NAMED) for kind, name in self._names()]
        gone = set(self._apps)
        for app_id, api_id, stage in self._grants:
            with at("grants"):
                grants.revoke(self._tx, self._actor, [app_id], [api_id], stage)
        for app_key, place in self._keys.items():
            with at(*place):
                credentials.delete_key(self._tx, self._actor, app_key)
        for code_id in self._codes:
            with at("apps"):
                codes.delete_code(self._tx, self._actor, code_id)
        for app_id in self._apps:
            with at("apps"):
                for api_id, stage in apps.delete_app(self._tx, self._actor, app_id):
                    told.append(Change("delete", "grant", f"{app_id}/{api_id}/{stage}", "with its app"))
        for api_id in self._apis:
            with at("apis"):
                for app_id, stage in apis.delete_api(self._tx, self._actor, api_id):
                    if app_id not in gone:
                        told.append(Change("delete", "grant", f"{app_id}/{api_id}/{stage}", "with its API"))
        return told

    def delete_owners(self, at: At) -> list[Change]:
        """Delete owners, once nothing is theirs any more."""
        for owner in self._owners:
            with at("owners"):
                apps.delete_owner(self._tx, self._actor, owner)
        return [Change("delete", "owner", owner, _NOT_NAMED) for owner in self._owners]

    def _names(self) -> Iterator[tuple[str, str]]:
        for place in self._grants:
            yield "grant", "/".join(place)
        for kind, names in (("key", self._keys), ("code", self._codes), ("app", self._apps), ("api", self._apis)):
            for name in names:
                yield kind, name

    def _others(self, table: Table, declared: tuple[Any, ...] | None) -> list[str]:
        if declared is None:
            return []
        named = {entry.id for entry in declared}
        return [one for one in self._tx.connection.execute(select(table.c.id).order_by(table.c.id)).scalars()
                if one not in named]  # fmt: skip

    def _credentials(self, vault: Vault, declared: Declared) -> tuple[dict[str, tuple[str | int, ...]], list[str]]:
        """The AppKeys, with the place of their app, and ids of AppCodes of apps whose entry lists others."""
        view = self._tx.connection
        excess_keys: dict[str, tuple[str | int, ...]] = {}
        excess_codes: list[str] = []
        for number, app in enumerate(declared.apps or ()):
            if app.keys is not None:
                named = {key.app_key for key in app.keys}
                found = view.execute(select(KEY_PAIRS.c.app_key).where(KEY_PAIRS.c.app_id == app.id)).scalars()
                excess_keys |= dict.fromkeys(sorted(set(found) - named), ("apps", number, "keys"))
            if app.codes is not None:
                kept = {codes.id_of_code(view, vault, app.id, code) for code in app.codes}
                of_app = view.execute(select(APP_CODES.c.id).where(APP_CODES.c.app_id == app.id)).scalars()
                excess_codes += sorted(set(of_app) - kept)
        return excess_keys, excess_codes
