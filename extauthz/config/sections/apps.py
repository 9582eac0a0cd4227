"""Apps from their sections: AppKeys, AppSecrets and AppCodes, each of one app alone and fit to prove it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from extauthz.config.problems import KeyPath, Report
from extauthz.config.schema import AppEntry, KeyEntry
from extauthz.config.secrets import Secret, SecretUnresolved, resolve
from extauthz.config.sections.credentials import SHORT, code_fault, credential_fault
from extauthz.domain.app import App, KeyPair, hash_app_code


@dataclass(slots=True)
class Apps:
    """The apps of a file, indexed as a snapshot wants them."""

    base: Path
    """The folder of the configuration file."""
    apps: dict[str, App] = field(default_factory=dict)
    keys: dict[str, KeyPair] = field(default_factory=dict)
    codes: dict[bytes, App] = field(default_factory=dict)
    _owners: dict[str, App] = field(default_factory=dict, repr=False)
    """By AppSecret. Gone with the builder: a snapshot holds no index of secrets."""

    def add(self, entry: AppEntry, report: Report, warn: Report) -> None:
        """Add an app; what is wrong with its section is reported, and what is weak is warned of."""
        app = App(entry.id, entry.owner, entry.disabled)
        self.apps[app.id] = app
        for position, key in enumerate(entry.keys):
            self._add_key(app, key, ("keys", position), report, warn)
        for position, written in enumerate(entry.app_codes):
            self._add_code(app, written, ("app_codes", position), report, warn)

    def _add_key(self, app: App, entry: KeyEntry, path: KeyPath, report: Report, warn: Report) -> None:
        taken = self.keys.get(entry.app_key)
        if taken is not None:
            report((*path, "app_key"), f"AppKey `{entry.app_key}` already belongs to app `{taken.app.id}`")
        place = (*path, "app_secret")
        secret = self._read(entry.app_secret, credential_fault, place, report, warn)
        if secret is None:
            return
        if secret == entry.app_key:
            report(place, "is the AppKey itself, which every request shows; make a secret of its own")
        owner = self._owners.setdefault(secret, app)
        if owner is not app:
            report(place, f"is the secret of app `{owner.id}` too: each could sign as the other; give each its own")
        if hash_app_code(secret.encode()) in self.codes:
            report(place, "is an AppCode too, which every call with it shows; make a secret of its own")
        if taken is None:
            self.keys[entry.app_key] = KeyPair(app, entry.app_key, secret.encode())

    def _add_code(self, app: App, written: Secret, path: KeyPath, report: Report, warn: Report) -> None:
        code = self._read(written, code_fault, path, report, warn)
        if code is None:
            return
        hashed = hash_app_code(code.encode())
        if hashed in self.codes:
            report(path, f"this AppCode already belongs to app `{self.codes[hashed].id}`")
        if code in self._owners:
            report(path, f"is a secret of app `{self._owners[code].id}` too, which every call with it would show")
        self.codes.setdefault(hashed, app)

    def _read(
        self, written: Secret, fault_of: Callable[[str], str], path: KeyPath, report: Report, warn: Report
    ) -> str | None:
        try:
            value = resolve(written, self.base)
        except SecretUnresolved as error:
            report(path, str(error))
            return None
        fault = fault_of(value)
        if fault:
            report(path, fault)
            return None
        if len(value) < SHORT:
            warn(path, f"has {len(value)} characters; {SHORT} or more made at random withstand guessing better")
        return value
