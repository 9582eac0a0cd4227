"""The registry at scale, one line for each promise: ``python -m bench.registry [--apps 1000000] [--database URL]``.

A database is filled with apps, a key pair each and two grants each; a host follows it as `extauthz serve` does. What
a check costs is processor time in one process, so that a busy machine says the same as an idle one.
"""

import argparse
import asyncio
import base64
import os
import random
import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import yaml

from extauthz.client.signer import Credentials, OutgoingRequest, SigningOptions, sign
from extauthz.config import load
from extauthz.domain.request import Stage
from extauthz.registry import apis, apps, grants
from extauthz.registry.database.migrate import migrate
from extauthz.registry.database.sealing import Sealer
from extauthz.registry.database.store import Store
from extauthz.registry.database.tables import APPS, GRANTS, KEY_PAIRS
from extauthz.registry.replica.reading import Absent
from extauthz.registry.rules import Actor, Role
from extauthz.replay.memory import MemoryReplayStore
from extauthz.serve.registry_follower import RegistryFollower
from extauthz.serve.replicator_process import open_replicator
from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.servicer import Servicer

ADMIN: Final = Actor("bench", Role.ADMIN)
APIS: Final = ("orders", "stock")
FEW: Final = 10
CHANGES_S: Final = 500
_CHECKS: Final = 20_000
_AT_ONCE: Final = 20_000


class Nobody:
    """Wants to know nothing of decisions."""

    def record(self, checked: object) -> bool:
        """Forget it."""
        return True


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--apps", type=int, default=1_000_000)
    arguments.add_argument("--database", default="", help="an empty PostgreSQL database; by default SQLite")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-registry-") as name:
        bench(Path(name), chosen.apps, chosen.database)


def bench(folder: Path, count: int, database: str) -> None:
    master_key = os.urandom(32)
    (folder / "master.keys").write_text(base64.b64encode(master_key).decode())
    store = Store(database or f"sqlite:///{folder / 'registry.db'}")
    filling_s = fill(store, Sealer([master_key]), count)
    file = write_config(folder, database or f"sqlite:///{folder / 'registry.db'}")
    say("filled", f"{count:,} apps, {count:,} keys, {2 * count:,} grants in {filling_s:.0f} s")
    with followed(file) as (follower, ready_s, pause_ms):
        replica = follower.folder.path / follower.folder.current()
        say("first sync", f"{ready_s:.1f} s", f"replica {replica.stat().st_size >> 20} MiB")
        say("longest pause of the loop during it", f"{pause_ms:.1f} ms")
    with followed(file) as (follower, ready_s, _):
        say("ready after a restart", f"{ready_s:.2f} s")
        before_mib = private_mib()
        few_us, many_us = costs(file, follower, count)
        say("one check, ten apps", f"{few_us:.1f} us")
        say("one check, random apps", f"{many_us:.1f} us", f"{100 * few_us / many_us:.0f} % of the throughput of ten")
        say("private memory that random apps add", f"{private_mib() - before_mib:.0f} MiB")
        say("private memory of this process", f"{private_mib():.0f} MiB", "with the load generator in it")
        made, worst_s = visible_under_changes(store, follower)
        say(f"change visible under {made:.0f} changes/s", f"{worst_s * 1000:.0f} ms at worst")
    store.close()


def say(what: str, *facts: str) -> None:
    print(f"{what:<40} {'; '.join(facts)}", flush=True)


def fill(store: Store, sealer: Sealer, count: int) -> float:
    began_s = time.monotonic()
    migrate(store, sealer)
    with store.changing() as tx:
        apps.create_owner(tx, ADMIN, "bench")
        for api in APIS:
            apis.register_api(tx, ADMIN, api, "bench", stages=("RELEASE",))
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


def app_key(number: int) -> str:
    return f"{number:024x}"


def secret(number: int) -> str:
    return f"secret-of-{number:022d}"


def write_config(folder: Path, database: str) -> Path:
    file = folder / "extauthz.yaml"
    config = {
        "listen": [{"address": "127.0.0.1:9191"}],
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


@contextmanager
def followed(file: Path) -> Iterator[tuple[RegistryFollower, float, float]]:
    """A host that follows the registry; how long it took in seconds, and the longest pause meanwhile in ms."""
    config = load(file)
    began_s = time.monotonic()
    replicator = open_replicator(config)
    replicator.start()
    follower = RegistryFollower(config)

    async def wait() -> float:
        longest_s = 0.0
        await follower.start(lambda: None)
        while isinstance(follower.directory, Absent):
            before_s = time.monotonic()
            await asyncio.sleep(0.001)
            longest_s = max(longest_s, time.monotonic() - before_s - 0.001)
        await follower.stop()
        return longest_s * 1000

    try:
        pause_ms = asyncio.run(wait())
        yield follower, time.monotonic() - began_s, pause_ms
    finally:
        replicator.stop()
        follower.close()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        say("processor time of replicators so far", f"{used.ru_utime + used.ru_stime:.1f} s")


def costs(file: Path, follower: RegistryFollower, count: int) -> tuple[float, float]:
    """Processor time of a check in microseconds: of ten apps, and of apps chosen among all."""
    servicer = Servicer(follower.join(load(file).snapshot), MemoryReplayStore(10), Nobody())
    dice = random.Random(1)
    few = [check_request(n % min(FEW, count), n) for n in range(_CHECKS)]
    many = [check_request(dice.randrange(count), n) for n in range(_CHECKS)]
    servicer.check(few[0])
    measured = []
    for payloads in (few, many, few, many):
        began_s = time.thread_time()
        answers = [answer for payload in payloads if isinstance(answer := servicer.check(payload), bytes)]
        measured.append((time.thread_time() - began_s) / len(payloads) * 1e6)
        refused = sum(pb.CheckResponse.FromString(answer).status.code != 0 for answer in answers[::100])
        if refused:
            raise SystemExit(f"{refused} of the checks that were looked at were refused")
    return min(measured[0], measured[2]), min(measured[1], measured[3])


def check_request(app: int, number: int) -> bytes:
    path = f"/{APIS[number % 2]}"
    headers = sign(OutgoingRequest("GET", path), Credentials(app_key(app), secret(app)), SigningOptions(nonce=""))
    request = pb.CheckRequest()
    http = request.attributes.request.http
    http.id, http.method, http.path, http.host, http.scheme = str(number), "GET", path, "api.test", "http"
    http.headers.update({name.lower(): value for name, value in headers.items()})
    return request.SerializeToString()


def visible_under_changes(store: Store, follower: RegistryFollower, seconds: float = 10.0) -> tuple[float, float]:
    """Changes a second that were committed, and how long the slowest that was looked at took to be served."""
    stopping, committed = threading.Event(), [0]

    def change() -> None:
        began_s = time.monotonic()
        while not stopping.is_set():
            act = grants.revoke if committed[0] % 2 else grants.grant
            with store.changing() as tx:
                act(tx, ADMIN, ["first"], [APIS[0]], "RELEASE")
            committed[0] += 1
            stopping.wait(max(0.0, began_s + committed[0] / CHANGES_S - time.monotonic()))

    worker = threading.Thread(target=change)
    began_s, worst_s = time.monotonic(), 0.0
    worker.start()
    while time.monotonic() < began_s + seconds:
        with store.changing() as tx:
            grants.grant(tx, ADMIN, ["first"], [APIS[1]], "RELEASE")
        worst_s = max(worst_s, until_served(follower, there=True))
        with store.changing() as tx:
            grants.revoke(tx, ADMIN, ["first"], [APIS[1]], "RELEASE")
        worst_s = max(worst_s, until_served(follower, there=False))
    stopping.set()
    worker.join()
    return committed[0] / (time.monotonic() - began_s), worst_s


def until_served(follower: RegistryFollower, *, there: bool) -> float:
    began_s = time.monotonic()
    while (follower.directory.grant("first", APIS[1], Stage.RELEASE) is not None) is not there:
        time.sleep(0.05)
        follower.look()
    return time.monotonic() - began_s


def private_mib() -> float:
    """Memory of this process that it shares with no other, in MiB."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty"))) / 1024


if __name__ == "__main__":
    main()
