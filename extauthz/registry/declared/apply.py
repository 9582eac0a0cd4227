"""Making true what a file declares: by the services that people use, all of it in one transaction, or none.

A dry run does the same work and rolls it back, so that a plan can promise nothing that applying would not do.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Row, select

from extauthz.registry import apis, apps, codes, credentials, grants
from extauthz.registry.database.sealing import Vault
from extauthz.registry.database.store import Store, Transaction
from extauthz.registry.database.tables import GRANTS
from extauthz.registry.declared.prune import Excess
from extauthz.registry.declared.values import (
    Change,
    Declared,
    DeclaredApi,
    DeclaredApp,
    DeclaredGrant,
    DeclaredKey,
    DeclaredOwner,
    Place,
    Undeclarable,
)
from extauthz.registry.errors import Conflict, RegistryError, Unknown
from extauthz.registry.rules import Actor
from extauthz.registry.text import utc_text


class _OnlyLooking(Exception):
    """Ends the transaction of a dry run."""


def apply(
    store: Store, vault: Vault, actor: Actor, declared: Declared, *, prune: bool = False, dry_run: bool = False
) -> list[Change]:
    """Make the registry what the file says, and tell what that changed. Raises Undeclarable; then nothing has.

    ``prune`` deletes what a section of the file could name and does not; without it that is told and kept.
    """
    try:
        with store.changing() as tx:
            applying = _Applying(tx, vault, actor)
            changes = applying.run(declared, prune)
            if applying.faults:
                raise Undeclarable(applying.faults)
            if dry_run:
                raise _OnlyLooking
    except _OnlyLooking:
        pass
    return changes


class _Applying:
    """One file on its way into one transaction."""

    def __init__(self, tx: Transaction, vault: Vault, actor: Actor) -> None:
        self.faults: list[tuple[Place, str]] = []
        self._tx = tx
        self._vault = vault
        self._actor = actor
        self._changes: list[Change] = []

    def run(self, declared: Declared, prune: bool) -> list[Change]:
        """Go from what others refer to, to what refers; deletions the other way round, and first."""
        excess = Excess(self._tx, self._vault, self._actor, declared)
        told = excess.delete(self._at) if prune else excess.kept()
        for owner in _owners(declared):
            self._owner(owner)
        for number, api in enumerate(declared.apis or ()):
            with self._at("apis", number):
                self._api(api)
        for number, app in enumerate(declared.apps or ()):
            self._app(app, ("apps", number))
        for grant in declared.grants or ():
            with self._at(*grant.place):
                self._grant(grant)
        if prune:
            told += excess.delete_owners(self._at)
        return told + self._changes

    @contextmanager
    def _at(self, *place: str | int) -> Iterator[None]:
        try:
            yield
        except RegistryError as error:
            self.faults.append((place, str(error)))

    def _tell(self, action: str, kind: str, name: str, what: str = "") -> None:
        self._changes.append(Change(action, kind, name, what))

    def _owner(self, owner: DeclaredOwner) -> None:
        with self._at("owners"):
            try:
                apps.get_owner(self._tx.connection, self._actor, owner.id)
            except Unknown:
                apps.create_owner(self._tx, self._actor, owner.id, owner.description)
                self._tell("create", "owner", owner.id)

    def _api(self, wanted: DeclaredApi) -> None:
        try:
            found = apis.get_api(self._tx.connection, self._actor, wanted.id)
        except Unknown:
            apis.register_api(
                self._tx, self._actor, wanted.id, wanted.owner,
                group=wanted.group, stages=wanted.stages, self_grant=wanted.self_grant,
            )  # fmt: skip
            self._tell("create", "api", wanted.id, f"owner {wanted.owner}, stages {', '.join(wanted.stages)}")
            return
        if found.owner != wanted.owner:
            raise Conflict(f"API `{wanted.id}` belongs to `{found.owner}`; an API keeps its owner")
        old = {"stages": ", ".join(sorted(found.stages)), "self_grant": found.self_grant, "group": found.group}
        new = {"stages": ", ".join(sorted(wanted.stages)), "self_grant": wanted.self_grant, "group": wanted.group}
        if old != new:
            apis.change_api(
                self._tx, self._actor, wanted.id,
                stages=wanted.stages, self_grant=wanted.self_grant, group=wanted.group,
            )  # fmt: skip
            self._tell("change", "api", wanted.id, _difference(old, new))

    def _app(self, wanted: DeclaredApp, place: Place) -> None:
        with self._at(*place):
            self._app_itself(wanted)
            for number, key in enumerate(wanted.keys or ()):
                with self._at(*place, "keys", number):
                    self._key(wanted.id, key)
            for number, code in enumerate(wanted.codes or ()):
                with self._at(*place, "app_codes", number):
                    if codes.id_of_code(self._tx.connection, self._vault, wanted.id, code) is None:
                        made = codes.create_code(self._tx, self._vault, self._actor, wanted.id, code)
                        self._tell("create", "code", f"...{made.code.hint}", f"of app {wanted.id}")

    def _app_itself(self, wanted: DeclaredApp) -> None:
        try:
            found = apps.get_app(self._tx.connection, self._actor, wanted.id)
        except Unknown:
            apps.create_app(self._tx, self._actor, wanted.id, wanted.owner, wanted.name, wanted.description)
            if wanted.disabled:
                apps.change_app(self._tx, self._actor, wanted.id, disabled=True)
            self._tell("create", "app", wanted.id, f"owner {wanted.owner}{', disabled' if wanted.disabled else ''}")
            return
        if found.owner != wanted.owner:
            raise Conflict(f"app `{wanted.id}` belongs to `{found.owner}`; an app keeps its owner")
        old = {"name": found.name, "description": found.description, "disabled": found.disabled}
        new = {"name": wanted.name, "description": wanted.description, "disabled": wanted.disabled}
        if old != new:
            apps.change_app(
                self._tx, self._actor, wanted.id,
                name=wanted.name, description=wanted.description, disabled=wanted.disabled,
            )  # fmt: skip
            self._tell("change", "app", wanted.id, _difference(old, new))

    def _key(self, app_id: str, wanted: DeclaredKey) -> None:
        view = self._tx.connection
        try:
            found = credentials.get_key(view, self._actor, wanted.app_key)
        except Unknown:
            credentials.create_key(self._tx, self._vault, self._actor, app_id, wanted.app_key, wanted.secret)
            what = f"of app {app_id}"
            if wanted.secret is None:
                what += f"; `extauthz keys reveal {wanted.app_key}` shows its AppSecret"
            self._tell("create", "key", wanted.app_key, what)
        else:
            if found.app != app_id:
                raise Conflict(f"AppKey `{wanted.app_key}` is one of app `{found.app}`; choose another one")
        if wanted.secret is None:
            return
        until_ms = wanted.previous_until_ms
        previous = wanted.previous if until_ms is not None and until_ms > self._tx.now_ms else None
        if credentials.set_secrets(
            self._tx, self._vault, self._actor, wanted.app_key, wanted.secret, previous, until_ms if previous else None
        ):
            until = f", the one before until {utc_text(until_ms)}" if previous else ""
            self._tell("change", "key", wanted.app_key, f"its AppSecret{until}")

    def _grant(self, wanted: DeclaredGrant) -> None:
        name = f"{wanted.app}/{wanted.api}/{wanted.stage}"
        found = _grant_row(self._tx.connection, wanted)
        has_ended = wanted.until_ms is not None and wanted.until_ms <= self._tx.now_ms
        if found is not None and (found.until_ms, found.description) == (wanted.until_ms, wanted.description):
            return
        if has_ended:
            if found is not None:
                grants.revoke(self._tx, self._actor, [wanted.app], [wanted.api], wanted.stage)
            action = "skip" if found is None else "delete"
            self._tell(action, "grant", name, f"ended {utc_text(wanted.until_ms)}")
            return
        grants.grant(
            self._tx, self._actor, [wanted.app], [wanted.api], wanted.stage,
            until_ms=wanted.until_ms, description=wanted.description,
        )  # fmt: skip
        what = f"until {utc_text(wanted.until_ms)}" if wanted.until_ms is not None else "without end"
        self._tell("create" if found is None else "change", "grant", name, what)


def _owners(declared: Declared) -> list[DeclaredOwner]:
    """The owners of a file: those that it lists, and those that its apps and APIs name."""
    owners = {owner.id: owner for owner in declared.owners or ()}
    for owner_id in declared.named_owners():
        owners.setdefault(owner_id, DeclaredOwner(owner_id))
    return list(owners.values())


def _difference(old: dict[str, object], new: dict[str, object]) -> str:
    return "; ".join(f"{name}: {old[name]} -> {new[name]}" for name in old if old[name] != new[name])


def _grant_row(view: Connection, wanted: DeclaredGrant) -> Row[tuple[object, ...]] | None:
    return view.execute(
        select(GRANTS).where(
            GRANTS.c.app_id == wanted.app, GRANTS.c.api_id == wanted.api, GRANTS.c.stage == wanted.stage
        )
    ).first()
