"""Apps from their sections: AppKeys, AppSecrets and AppCodes, each of one app alone and fit to prove it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from extauthz.config.problems import KeyPath, Report
from extauthz.config.schema import AppEntry, KeyEntry
from extauthz.config.secrets import Secret, SecretUnresolved, resolve
from extauthz.config.sections.credentials import SHORT, code_fault, credential_fault
from extauthz.domain.app import App, KeyPair, hash_app_code
from extauthz.domain.header_value import is_header_value


@dataclass(slots=True)
class Apps:
    """The apps of a file, indexed as a snapshot wants them."""

    base: Path
    """The folder of the configuration file."""
    now_ms: int
    """The time at which the file is read, in milliseconds since 1970."""
    apps: dict[str, App] = field(default_factory=dict)
    keys: dict[str, KeyPair] = field(default_factory=dict)
    codes: dict[bytes, App] = field(default_factory=dict)
    _owners: dict[str, App] = field(default_factory=dict, repr=False)
    """By AppSecret. Gone with the builder: a snapshot holds no index of secrets."""

    def add(self, entry: AppEntry, report: Report, warn: Report) -> None:
        """Add an app; what is wrong with its section is reported, and what is weak is warned of."""
        app = App(entry.id, entry.owner, entry.disabled)
        self.apps[app.id] = app
        if not is_header_value(app.owner):
            cure = "leave out control characters and outer blanks, and keep it below 4 KiB"
            report(("owner",), f"cannot be told in a header: {cure}")
        for position, key in enumerate(entry.keys):
            self._add_key(app, key, ("keys", position), report, warn)
        for position, written in enumerate(entry.app_codes):
            self._add_code(app, written, ("app_codes", position), report, warn)

    def _add_key(self, app: App, entry: KeyEntry, path: KeyPath, report: Report, warn: Report) -> None:
        taken = self.keys.get(entry.app_key)
        if taken is not None:
            report((*path, "app_key"), f"AppKey `{entry.app_key}` already belongs to app `{taken.app_id}`")
        place = (*path, "app_secret")
        secret = self._read(entry.app_secret, credential_fault, place, report, warn)
        if secret is None:
            return
        self._check_unique(app, entry, secret, place, report)
        previous, until_ms = None, None
        if entry.previous is not None:
            place = (*path, "previous", "secret")
            previous = self._read(entry.previous.secret, credential_fault, place, report, warn)
            until_ms = int(entry.previous.until.timestamp() * 1000)
            if previous == secret:
                report(place, "is the same as `app_secret`; write there the one that clients are to sign with")
            elif previous is not None:
                self._check_unique(app, entry, previous, place, report)
            if until_ms <= self.now_ms:
                warn((*path, "previous", "until"), "has passed, so `app_secret` alone is accepted; take it out")
        if taken is None:
            old = None if previous is None else previous.encode()
            self.keys[entry.app_key] = KeyPair(app.id, entry.app_key, secret.encode(), old, until_ms)

    def _check_unique(self, app: App, entry: KeyEntry, secret: str, place: KeyPath, report: Report) -> None:
        if secret == entry.app_key:
            report(place, "is the AppKey itself, which every request shows; make a secret of its own")
        owner = self._owners.setdefault(secret, app)
        if owner is not app:
            report(place, f"is the secret of app `{owner.id}` too: each could sign as the other; give each its own")
        if hash_app_code(secret.encode()) in self.codes:
            report(place, "is an AppCode too, which every call with it shows; make a secret of its own")

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
