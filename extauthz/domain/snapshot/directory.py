"""The directory: apps, keys, codes and grants. The half of a snapshot that changes one entry at a time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from extauthz.domain.app import App, Grant, KeyPair
from extauthz.domain.request import Stage
from extauthz.domain.snapshot.sharded import GrowingMap, ShardedMap

GrantKey = tuple[str, str, Stage]
"""App id, API id and stage."""


class Changes(NamedTuple):
    """What is different in the next revision of a directory. None in place of a value removes the entry."""

    apps: tuple[tuple[str, App | None], ...] = ()
    """By app id."""
    key_pairs: tuple[tuple[bytes, KeyPair | None], ...] = ()
    """By AppKey."""
    app_codes: tuple[tuple[bytes, str | None], ...] = ()
    """App id by hash, see ``hash_app_code``."""
    grants: tuple[tuple[GrantKey, Grant | None], ...] = ()


class DirectoryUnavailable(Exception):
    """It cannot be said who calls or what they may: nothing is known of the registry, or what is known is damaged."""


class Directory:
    """Who calls, and what they were granted. Never changed: ``apply`` makes another one that shares what is equal."""

    __slots__ = ("_app_codes", "_apps", "_grants", "_key_pairs", "file_revision", "revision")

    def __init__(
        self,
        revision: str,
        apps: ShardedMap[str, App],
        key_pairs: ShardedMap[bytes, KeyPair],
        app_codes: ShardedMap[bytes, str],
        grants: ShardedMap[GrantKey, Grant],
    ) -> None:
        self.revision = revision
        self.file_revision = revision
        """Of what stands in the configuration file, which changes with it alone."""
        self._apps = apps
        self._key_pairs = key_pairs
        self._app_codes = app_codes
        self._grants = grants

    def app(self, app_id: str) -> App | None:
        """An app by its id."""
        return self._apps.get(app_id)

    def key_pair(self, app_key: bytes) -> KeyPair | None:
        """A key pair by its AppKey."""
        return self._key_pairs.get(app_key)

    def app_of_code(self, code_hash: bytes) -> App | None:
        """The app that an AppCode belongs to, by the code's hash."""
        app_id = self._app_codes.get(code_hash)
        return None if app_id is None else self._apps.get(app_id)

    def grant(self, app_id: str, api_id: str, stage: Stage) -> Grant | None:
        """The grant of an app for an API in a stage, whether it still holds or not."""
        return self._grants.get((app_id, api_id, stage))

    def apply(self, changes: Changes, revision: str) -> "Directory":
        """The directory with these changes, at a cost that does not grow with its size."""
        return Directory(
            revision,
            self._apps.changed(changes.apps) if changes.apps else self._apps,
            self._key_pairs.changed(changes.key_pairs) if changes.key_pairs else self._key_pairs,
            self._app_codes.changed(changes.app_codes) if changes.app_codes else self._app_codes,
            self._grants.changed(changes.grants) if changes.grants else self._grants,
        )

    def key_pairs(self) -> Iterator[tuple[bytes, KeyPair]]:
        """Every key pair by its AppKey, in no order."""
        return self._key_pairs.items()

    def app_codes(self) -> Iterator[tuple[bytes, str]]:
        """Every AppCode's hash and the id of its app, in no order."""
        return self._app_codes.items()

    def parts(self) -> list[object]:
        """What it is made of, in parts of some thousand entries: for whoever lets go of one part after the other."""
        return [part for one in (self._apps, self._key_pairs, self._app_codes, self._grants) for part in one.parts()]

    def ends_of_grants(self) -> list[int]:
        """When the grants of the file end, of those that do: milliseconds since 1970, the earliest first."""
        return sorted(grant.until_ms for _, grant in self._grants.items() if grant.until_ms is not None)

    def sizes(self) -> dict[str, int]:
        """How many entries of each kind there are."""
        return {
            "apps": len(self._apps),
            "keys": len(self._key_pairs),
            "codes": len(self._app_codes),
            "grants": len(self._grants),
        }


class RegistryDirectory(Protocol):
    """What a check asks of the registry. Each may raise DirectoryUnavailable."""

    revision: str

    def app(self, app_id: str) -> App | None:
        """An app by its id."""

    def key_pair(self, app_key: bytes) -> KeyPair | None:
        """A key pair by its AppKey."""

    def app_of_code(self, code_hash: bytes) -> App | None:
        """The app that an AppCode belongs to, by the hash that the registry keeps."""

    def grant(self, app_id: str, api_id: str, stage: Stage) -> Grant | None:
        """The grant of an app for an API in a stage."""

    def sizes(self) -> dict[str, int]:
        """How many entries of each kind there are."""


class Taken(ValueError):
    """Two entries claim what only one may have."""

    def __init__(self, what: str, first: object) -> None:
        """``what`` is taken, and ``first`` the origin of the entry that has it; the message names both."""
        super().__init__(f"{what} ({first})")
        self.first = first


@dataclass(slots=True)
class DirectoryBuilder:
    """Collects the entries of a directory from one or more origins and keeps the rules of uniqueness.

    An origin is whatever ``str`` turns into text for an error message, such as ``line 12`` or ``the registry``; it is
    asked for its text only then.
    """

    apps: GrowingMap[str, App] = field(default_factory=GrowingMap)
    key_pairs: GrowingMap[bytes, KeyPair] = field(default_factory=GrowingMap)
    app_codes: GrowingMap[bytes, str] = field(default_factory=GrowingMap)
    grants: GrowingMap[GrantKey, Grant] = field(default_factory=GrowingMap)
    _apps_from: GrowingMap[str, object] = field(default_factory=GrowingMap)
    _keys_from: GrowingMap[str, tuple[str, object]] = field(default_factory=GrowingMap)
    """App id and origin by AppKey."""
    _codes_from: GrowingMap[bytes, object] = field(default_factory=GrowingMap)
    _grants_from: GrowingMap[GrantKey, object] = field(default_factory=GrowingMap)

    def add_app(self, app: App, origin: object) -> None:
        """Add an app. Raises Taken when its id is in use."""
        if app.id in self.apps:
            raise Taken(f"app id `{app.id}` is already used", self._apps_from[app.id])
        self._apps_from[app.id] = origin
        self.apps[app.id] = app

    def claim_app_key(self, app_key: str, app_id: str, origin: object) -> None:
        """Keep an AppKey from others, although its secret is not known. Raises Taken when it is in use."""
        if app_key in self._keys_from:
            owner, first = self._keys_from[app_key]
            raise Taken(f"AppKey `{app_key}` already belongs to app `{owner}`", first)
        self._keys_from[app_key] = (app_id, origin)

    def add_key_pair(self, pair: KeyPair, origin: object) -> None:
        """Add a key pair. Raises Taken when its AppKey is in use."""
        self.claim_app_key(pair.app_key, pair.app_id, origin)
        self.key_pairs[pair.app_key.encode()] = pair

    def add_app_code(self, code_hash: bytes, app_id: str, origin: object) -> None:
        """Add an AppCode by its hash. Raises Taken when it is in use."""
        if code_hash in self.app_codes:
            owner = self.app_codes[code_hash]
            raise Taken(f"this AppCode already belongs to app `{owner}`", self._codes_from[code_hash])
        self._codes_from[code_hash] = origin
        self.app_codes[code_hash] = app_id

    def add_grant(self, grant: Grant, origin: object) -> None:
        """Add a grant. Raises Taken when the app has one for this API and stage."""
        key = (grant.app_id, grant.api_id, grant.stage)
        if key in self.grants:
            what = f"app `{grant.app_id}` is already granted API `{grant.api_id}` in stage {grant.stage}"
            raise Taken(what, self._grants_from[key])
        self._grants_from[key] = origin
        self.grants[key] = grant

    def build(self, revision: str) -> Directory:
        """The directory of everything that was added, which the builder no longer has afterwards."""
        built = Directory(
            revision,
            ShardedMap.taking(self.apps),
            ShardedMap.taking(self.key_pairs),
            ShardedMap.taking(self.app_codes),
            ShardedMap.taking(self.grants),
        )
        self.apps, self.key_pairs, self.app_codes, self.grants = GrowingMap(), GrowingMap(), GrowingMap(), GrowingMap()
        return built

    def parts(self) -> list[dict[Any, Any]]:
        """What it still has, in parts of some thousand entries: for whoever lets go of one part after the other."""
        has = (self.apps, self.key_pairs, self.app_codes, self.grants)
        origins = (self._apps_from, self._keys_from, self._codes_from, self._grants_from)
        return [part for one in (*has, *origins) for part in one.parts()]


def build_directory(
    revision: str,
    apps: Iterable[App],
    key_pairs: Iterable[KeyPair],
    app_codes: Iterable[tuple[bytes, str]],
    grants: Iterable[Grant],
) -> Directory:
    """A directory of entries that are known to be unique."""
    return Directory(
        revision,
        ShardedMap({app.id: app for app in apps}),
        ShardedMap({pair.app_key.encode(): pair for pair in key_pairs}),
        ShardedMap(dict(app_codes)),
        ShardedMap({(grant.app_id, grant.api_id, grant.stage): grant for grant in grants}),
    )


EMPTY: Final = build_directory("", (), (), (), ())
"""A directory without entries: nobody may call what asks for an app."""
