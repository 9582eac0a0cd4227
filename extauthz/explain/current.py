"""The snapshot that a service with a configuration would decide by now: its registry and its key sets included."""

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from extauthz.config import ServiceConfig
from extauthz.config.sections.registry import RegistryAccess, registry_access
from extauthz.domain.api import Api
from extauthz.domain.app import KeyPair
from extauthz.domain.snapshot import Snapshot
from extauthz.domain.snapshot.joined import JoinedDirectory
from extauthz.keys.fetcher import KeyFetcher
from extauthz.registry.database.migrate import check_schema
from extauthz.registry.database.sealing import SealBroken, Sealer
from extauthz.registry.database.store import Store, StoreFault
from extauthz.registry.database.tables import KEY_PAIRS
from extauthz.registry.replica.feed import everything, position_of
from extauthz.registry.replica.folder import ReplicaFolder
from extauthz.registry.replica.following import Replica
from extauthz.registry.replica.reading import Absent, ReplicaDirectory
from extauthz.registry.replica.writing import FileWriter


@contextmanager
def current_snapshot(config: ServiceConfig) -> Iterator[Snapshot]:
    """The snapshot of a configuration, with the apps of its registry behind those of the file.

    The registry is read from the replica of this host while a service keeps it fresh, else from its database. Raises
    StoreFault, SealBroken, MasterKeyFault, SQLAlchemyError, OSError.
    """
    section = config.file.registry
    if section is None:
        yield config.snapshot
        return
    access = registry_access(section, config.path.absolute().parent)
    sealer = Sealer(access.master_keys)
    folder = ReplicaFolder(access.replica)
    if folder.status().up and (directory := _directory_in(folder, sealer)) is not None:
        yield _joined(config.snapshot, directory)
        return
    with tempfile.TemporaryDirectory() as aside:
        copy = ReplicaFolder(Path(aside) / "replica")
        _read_database(access, sealer, copy)
        found = _directory_in(copy, sealer)
        yield config.snapshot if found is None else _joined(config.snapshot, found)


def _directory_in(folder: ReplicaFolder, sealer: Sealer) -> ReplicaDirectory | None:
    replica = Replica(folder, sealer)
    replica.look()
    return None if isinstance(replica.directory, Absent) else replica.directory


def _joined(snapshot: Snapshot, directory: ReplicaDirectory) -> Snapshot:
    return Snapshot(snapshot.gateway, JoinedDirectory(snapshot.directory, directory, directory.rehash))


def _read_database(access: RegistryAccess, sealer: Sealer, folder: ReplicaFolder) -> None:
    folder.make()
    name = folder.new_name()
    store = Store(access.url)
    try:
        check_schema(store)
        with store.reading() as view:
            FileWriter.build(folder.path / name, sealer, position_of(view), everything(view, sealer), lambda: None)
    finally:
        store.close()
    folder.put_into_force(name)


def keys_in_registry(config: ServiceConfig) -> Callable[[str], Sequence[KeyPair]]:
    """Who knows the key pairs of an app of the registry: asked of the database, and none where it cannot be asked."""

    def keys_of(app_id: str) -> Sequence[KeyPair]:
        section = config.file.registry
        if section is None:
            return ()
        access = registry_access(section, config.path.absolute().parent)
        sealer = Sealer(access.master_keys)
        query = select(KEY_PAIRS.c.app_key, KEY_PAIRS.c.secret).where(KEY_PAIRS.c.app_id == app_id)
        try:
            store = Store(access.url)
            try:
                with store.reading() as view:
                    rows = view.execute(query).all()
            finally:
                store.close()
            return [KeyPair(app_id, row.app_key, sealer.open(bytes(row.secret), row.app_key)) for row in rows]
        except (StoreFault, SealBroken, SQLAlchemyError, OSError):
            return ()

    return keys_of


def needs_keys(api: Api | None) -> bool:
    """Whether an API's tokens are verified with keys that have to be fetched first."""
    return api is not None and api.jwt is not None and api.jwt.key_source.remote is not None


def fetch_keys(snapshot: Snapshot, api: Api) -> None:
    """Fetch the keys of an API's JWT plug-in once, as a service does at its start. Waits for a few seconds at most."""
    alone = Snapshot(replace(snapshot.gateway, apis={api.id: api}), snapshot.directory)

    async def fetch() -> None:
        fetcher = KeyFetcher()
        fetcher.start(alone)
        await fetcher.first_attempts()
        await fetcher.stop()

    asyncio.run(fetch())
