"""``apps``: AppKeys, AppSecrets and AppCodes, each of one app alone and fit to prove it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import AwareDatetime, Field

from extauthz.config.findings import Findings
from extauthz.config.names import AppKey, Id, Section
from extauthz.config.problems import KeyPath, Warned
from extauthz.config.secrets import Secret, SecretUnresolved, resolve
from extauthz.config.sections.apps.credentials import SHORT, code_fault, credential_fault
from extauthz.domain.app import App, KeyPair, hash_app_code
from extauthz.domain.header_value import is_header_value
from extauthz.domain.snapshot.directory import DirectoryBuilder, Taken
from extauthz.domain.snapshot.sharded import GrowingMap
from extauthz.pauses import release


class PreviousSecret(Section):
    """The AppSecret before a rotation, while clients still sign with it.

    ```yaml
    secret: {file: secrets/web-shop-old}
    until: 2027-06-30T00:00:00Z
    ```
    """

    secret: Secret = Field(description="by value, {env: NAME} or {file: PATH}")
    until: AwareDatetime = Field(description="when it ends, with time zone")


class KeyEntry(Section):
    """An AppKey and its AppSecret.

    ```yaml
    app_key: web-shop-1
    app_secret: {file: secrets/web-shop-new}
    previous: {secret: {file: secrets/web-shop-old}, until: 2027-06-30T00:00:00Z}
    ```
    """

    app_key: AppKey = Field(description="what X-Ca-Key names; no secret")
    app_secret: Secret = Field(description="what requests are signed with: {file: PATH}, {env: NAME}, or by value")
    previous: PreviousSecret | None = Field(None, description="accepted beside `app_secret` until it ends")


class AppEntry(Section):
    """An app: the identity that calls.

    ```yaml
    id: web-shop
    owner: shop-team
    disabled: false
    keys: [{app_key: web-shop-1, app_secret: {file: secrets/web-shop}}]
    app_codes: [{file: secrets/web-shop-code}]
    ```
    """

    id: Id = Field(description="its name in grants, logs, and the header that tells the upstream who calls")
    owner: str = Field("", description="the account that it belongs to")
    disabled: bool = Field(False, description="whether all its calls are refused")
    keys: list[KeyEntry] = Field(default_factory=list, description="AppKeys with their AppSecrets, for signed requests")
    app_codes: list[Secret] = Field(
        default_factory=list, description="AppCodes: {file: PATH}, {env: NAME}, or by value"
    )


@dataclass(slots=True)
class Apps:
    """Adds the apps of a file, with their credentials, to a directory."""

    base: Path
    """The folder of the configuration file."""
    now_ms: int
    """The time at which the file is read, in milliseconds since 1970."""
    directory: DirectoryBuilder
    findings: Findings
    _owners: GrowingMap[str, App] = field(default_factory=GrowingMap, repr=False)
    """By AppSecret. Gone with the builder: a snapshot holds no index of secrets."""
    _pairs: list[KeyPair] = field(default_factory=list, repr=False)
    _codes: list[bytes] = field(default_factory=list, repr=False)

    def add(self, index: int, entry: AppEntry) -> None:
        """Add an app; what is wrong with its section is reported, and what is weak is warned of."""
        place: KeyPath = ("apps", index)
        app = App(entry.id, entry.owner, entry.disabled)
        try:
            self.directory.add_app(app, self.findings.line(place))
        except Taken as taken:
            self.findings.report_taken((*place, "id"), app.id, taken.first)
            return
        if not is_header_value(app.owner):
            cure = "leave out control characters and outer blanks, and keep it below 4 KiB"
            self.findings.report((*place, "owner"), f"cannot be told in a header: {cure}")
        for position, key in enumerate(entry.keys):
            self._add_key(app, key, (*place, "keys", position))
        for position, written in enumerate(entry.app_codes):
            self._add_code(app, written, (*place, "app_codes", position))

    def release(self) -> None:
        """Let go of what was only needed to add apps."""
        release(*self._owners.parts(), self._pairs, self._codes)

    def credentials(self) -> Iterator[bytes]:
        """Every credential that was added, wherever it stands, in the order of the file: for a revision."""
        for pair in self._pairs:
            yield from (pair.app_key.encode(), pair.secret, pair.previous or b"")
        yield from self._codes

    def _add_key(self, app: App, entry: KeyEntry, path: KeyPath) -> None:
        pair = self._read_pair(app, entry, path)
        place = (*path, "app_key")
        try:
            if pair is None:
                self.directory.claim_app_key(entry.app_key, app.id, self.findings.line(place))
            else:
                self.directory.add_key_pair(pair, self.findings.line(place))
                self._pairs.append(pair)
        except Taken as taken:
            self.findings.report(place, f"{taken}; keep one of them")

    def _read_pair(self, app: App, entry: KeyEntry, path: KeyPath) -> KeyPair | None:
        place = (*path, "app_secret")
        secret = self._read(entry.app_secret, credential_fault, place)
        if secret is None:
            return None
        self._check_unique(app, entry, secret, place)
        if entry.previous is None:
            return KeyPair(app.id, entry.app_key, secret.encode())
        place = (*path, "previous", "secret")
        previous = self._read(entry.previous.secret, credential_fault, place)
        until_ms = int(entry.previous.until.timestamp() * 1000)
        if previous == secret:
            self.findings.report(
                place, "is the same as `app_secret`; write there the one that clients are to sign with"
            )
        elif previous is not None:
            self._check_unique(app, entry, previous, place)
        if until_ms <= self.now_ms:
            message = "has passed, so `app_secret` alone is accepted; take it out"
            self.findings.note(Warned.PREVIOUS_SECRET_ENDED, (*path, "previous", "until"), message)
        old = None if previous is None else previous.encode()
        return KeyPair(app.id, entry.app_key, secret.encode(), old, until_ms)

    def _check_unique(self, app: App, entry: KeyEntry, secret: str, place: KeyPath) -> None:
        report = self.findings.report
        if secret == entry.app_key:
            report(place, "is the AppKey itself, which every request shows; make a secret of its own")
        owner = self._owners.setdefault(secret, app)
        if owner is not app:
            report(place, f"is the secret of app `{owner.id}` too: each could sign as the other; give each its own")
        if hash_app_code(secret.encode()) in self.directory.app_codes:
            report(place, "is an AppCode too, which every call with it shows; make a secret of its own")

    def _add_code(self, app: App, written: Secret, path: KeyPath) -> None:
        code = self._read(written, code_fault, path)
        if code is None:
            return
        hashed = hash_app_code(code.encode())
        try:
            self.directory.add_app_code(hashed, app.id, self.findings.line(path))
            self._codes.append(hashed)
        except Taken as taken:
            self.findings.report(path, f"{taken}; keep one of them")
        if code in self._owners:
            owner = self._owners[code]
            self.findings.report(path, f"is a secret of app `{owner.id}` too, which every call with it would show")

    def _read(self, written: Secret, fault_of: Callable[[str], str], path: KeyPath) -> str | None:
        try:
            value = resolve(written, self.base)
        except SecretUnresolved as error:
            self.findings.report(path, str(error))
            return None
        fault = fault_of(value)
        if fault:
            self.findings.report(path, fault)
            return None
        if len(value) < SHORT:
            message = f"has {len(value)} characters; {SHORT} or more made at random withstand guessing better"
            self.findings.note(Warned.SECRET_SHORT, path, message)
        return value
