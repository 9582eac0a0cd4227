"""A replicator in a process of its own, as a host runs it, and what a serving process reads from its replica."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import select

from extauthz.domain.request import Stage
from extauthz.registry.database.sealing import Sealer, Vault
from extauthz.registry.database.store import Store, revision_of
from extauthz.registry.database.tables import APP_CODES, APPS, GRANTS, KEY_PAIRS
from extauthz.registry.replica.folder import ReplicaFolder
from extauthz.registry.replica.following import Replica
from extauthz.registry.replica.reading import Absent
from extauthz.registry.replica.settings import Settings


class Host:
    """One host: a folder, a replicator, and a reader."""

    def __init__(self, folder: Path, database: str, master_keys: list[bytes], poll_s: float = 0.05) -> None:
        self.settings = Settings.of(database, master_keys, folder, poll_s)
        self.folder = ReplicaFolder(folder)
        self.replica = Replica(self.folder, Sealer(master_keys))
        self.log = folder.parent / f"{folder.name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *program: str) -> "Host":
        """``program``: another replicator than the one that is shipped, as arguments of Python."""
        command = [sys.executable, *(program or ("-m", "extauthz.registry.replica.replicator"))]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=log)
        self.process.stdin.write(json.dumps(self.settings._asdict()).encode() + b"\n")
        self.process.stdin.flush()
        return self

    def stop(self) -> None:
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait(20)
            self.process = None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process = None

    def restart_reader(self) -> None:
        """Another serving process."""
        sealer = self.settings.sealer
        self.replica = None  # one process opens a file once: the first reader has to be gone
        self.replica = Replica(self.folder, sealer)

    def follows(self, store: Store, timeout_s: float = 20.0) -> Any:
        """The directory once it is where the registry is now."""
        with store.reading() as view:
            revision, registry_id = revision_of(view)

        def there() -> bool:
            self.replica.look()
            found = self.replica.directory
            return not isinstance(found, Absent) and found.meta.position[:2] == (registry_id, revision)

        eventually(there, timeout_s, lambda: self.log.read_text()[-2000:])
        return self.replica.directory


def eventually(what: Callable[[], Any], timeout_s: float = 30.0, why: Callable[[], str] = lambda: "") -> Any:
    deadline_s = time.monotonic() + timeout_s
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < deadline_s, f"did not happen within {timeout_s} s: {why()}"
        time.sleep(0.01)


def in_registry(store: Store, vault: Vault) -> dict[str, Any]:
    """What the registry holds, read straight from its tables."""

    def opened(sealed: Any, label: str) -> bytes | None:
        return None if sealed is None else vault.sealer.open(bytes(sealed), label)

    with store.reading() as view:
        return {
            "apps": {row.id: (row.owner_id, bool(row.disabled)) for row in view.execute(select(APPS))},
            "keys": {
                row.app_key: (
                    row.app_id, opened(row.secret, row.app_key), opened(row.previous_secret, row.app_key),
                    row.previous_until_ms,
                )
                for row in view.execute(select(KEY_PAIRS))
            },
            "codes": {bytes(row.code_hash): row.app_id for row in view.execute(select(APP_CODES))},
            "grants": {
                (row.app_id, row.api_id, row.stage): (row.until_ms, row.granted_by)
                for row in view.execute(select(GRANTS))
            },
        }  # fmt: skip


class Seen:
    """Everything that was ever in a registry, so that what is gone is asked for too."""

    def __init__(self) -> None:
        self.names: dict[str, set[Any]] = {"apps": set(), "keys": set(), "codes": set(), "grants": set()}

    def in_replica(self, held: dict[str, Any], directory: Any) -> dict[str, Any]:
        """The same from a replica, asked as a check asks."""
        for kind, entries in held.items():
            self.names[kind] |= set(entries)
        answers: dict[str, Any] = {"apps": {}, "keys": {}, "codes": {}, "grants": {}}
        for key in self.names["keys"]:
            pair = directory.key_pair(key.encode())
            if pair is not None:
                answers["keys"][key] = (pair.app_id, pair.secret, pair.previous, pair.previous_until_ms)
                app = directory.app(pair.app_id)
                assert (app.owner, app.disabled) == held["apps"][app.id]
        for code_hash in self.names["codes"]:
            app = directory.app_of_code(code_hash)
            if app is not None:
                answers["codes"][code_hash] = app.id
                assert (app.owner, app.disabled) == held["apps"][app.id]
        for app_id in self.names["apps"]:
            app = directory.app(app_id)
            if app is not None:
                answers["apps"][app_id] = (app.owner, app.disabled)
        for app_id, api_id, stage in self.names["grants"]:
            grant = directory.grant(app_id, api_id, Stage(stage))
            if grant is not None:
                answers["grants"][app_id, api_id, stage] = (grant.until_ms, grant.granted_by)
        sizes = {kind: len(entries) for kind, entries in held.items()}
        assert directory.sizes() == sizes, f"{directory.sizes()} instead of {sizes}"
        return answers
