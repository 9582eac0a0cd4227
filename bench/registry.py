"""The registry at scale, one line for each promise: ``python -m bench.registry [--apps 1000000] [--postgresql]``.

A database is filled with apps, a key pair each and two grants each; a host follows it as `extauthz serve` does. What
a check costs is processor time, so that a busy machine says the same as an idle one; the load average stands beside
what is wall-clock time.
"""

import argparse
import base64
import os
import random
import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from bench.registry_pauses import Pauses, pauses_until
from bench.registry_served import FEW, served
from bench.registry_world import ADMIN, APIS, change_many, check_request, fill, postgresql, write_config
from extauthz import build
from extauthz.config import load
from extauthz.domain.request import Stage
from extauthz.registry import grants
from extauthz.registry.database.sealing import Sealer
from extauthz.registry.database.store import Store, revision_of
from extauthz.registry.replica.reading import Absent
from extauthz.replay.memory import MemoryReplayStore
from extauthz.serve.registry_follower import RegistryFollower
from extauthz.serve.replicator_process import open_replicator
from extauthz.transport.choice import choose_transport
from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.servicer import Servicer

CHANGES_S: Final = 500
TOGETHER: Final = 10
"""Changes in one transaction, as one request to the admin API makes them."""
LARGE: Final = 10_000
_CHECKS: Final = 20_000


class Nobody:
    """Wants to know nothing of decisions."""

    def record(self, checked: object) -> bool:
        """Forget it."""
        return True


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--apps", type=int, default=1_000_000)
    arguments.add_argument("--postgresql", action="store_true", help="a PostgreSQL server of its own instead of SQLite")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-registry-") as name:
        folder = Path(name)
        with postgresql() if chosen.postgresql else nullcontext(f"sqlite:///{folder / 'registry.db'}") as database:
            bench(folder, chosen.apps, database)


def bench(folder: Path, count: int, database: str) -> None:
    master_key = os.urandom(32)
    (folder / "master.keys").write_text(base64.b64encode(master_key).decode())
    store = Store(database)
    say("build", build(), database.partition(":")[0])
    filling_s = fill(store, Sealer([master_key]), count)
    file = write_config(folder, database)
    say("filled", f"{count:,} apps, {count:,} keys, {2 * count:,} grants in {filling_s:.0f} s")
    with followed(file) as (follower, ready_s, pauses):
        replica = follower.folder.path / follower.folder.current()
        say("first sync", f"{ready_s:.1f} s", f"replica {replica.stat().st_size >> 20} MiB")
        say("longest pause meanwhile", str(pauses))
    with followed(file) as (follower, ready_s, pauses):
        say("ready after a restart", f"{ready_s:.2f} s")
        before_mib = private_mib()
        few_us, many_us = costs(file, follower, count)
        say("one check, ten apps", f"{few_us:.1f} us")
        say("one check, random apps", f"{many_us:.1f} us", f"{100 * few_us / many_us:.0f} % of the throughput of ten")
        say("private memory that random apps add", f"{private_mib() - before_mib:.0f} MiB")
        say("private memory of this process", f"{private_mib():.0f} MiB", "with the load generator in it")
        made, worst_s = visible_under_changes(store, follower)
        say(f"change visible under {made:.0f} changes/s", f"{worst_s * 1000:.0f} ms at worst")
        say(f"longest pause, {LARGE:,} changes at once", str(pauses_of_a_large_change(store, database, follower)))
        say("longest pause, another replica", str(pauses_of_another_replica(follower)))
    for transport in ("front", "grpcio"):
        try:
            choose_transport(transport)
        except ModuleNotFoundError:
            continue
        say(f"served by {transport}", str(served(folder, database, count, transport)))
    store.close()


def say(what: str, *facts: str) -> None:
    print(f"{what:<42} {'; '.join(facts)} [load {os.getloadavg()[0]:.0f}]", flush=True)


@contextmanager
def followed(file: Path) -> Iterator[tuple[RegistryFollower, float, Pauses]]:
    """A host that follows the registry, how long it took to be ready in seconds, and the pauses meanwhile."""
    config = load(file)
    began_s = 0.0
    replicator = open_replicator(config)
    follower = RegistryFollower(config)
    ready_s = 0.0

    def begin() -> None:
        nonlocal began_s
        began_s = time.monotonic()
        replicator.start()

    def is_ready() -> bool:
        nonlocal ready_s
        ready_s = time.monotonic() - began_s
        return not isinstance(follower.directory, Absent)

    try:
        pauses = pauses_until(follower, is_ready, begin)
        yield follower, ready_s, pauses
    finally:
        replicator.stop()
        follower.close()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        say("processor time of replicators so far", f"{used.ru_utime + used.ru_stime:.1f} s")


def pauses_of_a_large_change(store: Store, database: str, follower: RegistryFollower) -> Pauses:
    """What a loop notices of one transaction that changes much, in another process."""
    with store.reading() as view:
        arriving = f"r{revision_of(view)[0] + 1}"
    maker = get_context("spawn").Process(target=change_many, args=(database, LARGE))
    pauses = pauses_until(follower, lambda: follower.directory.revision == arriving, maker.start)
    maker.join()
    return pauses


def pauses_of_another_replica(follower: RegistryFollower) -> Pauses:
    """What a loop notices when the whole replica is replaced."""
    began = follower.folder.current()

    def is_replaced() -> bool:
        return follower.folder.current() not in ("", began) and not follower.look()

    return pauses_until(follower, is_replaced, lambda: follower.folder.report_damage(began))


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


def visible_under_changes(store: Store, follower: RegistryFollower, seconds: float = 10.0) -> tuple[float, float]:
    """Changes a second that were committed, and how long the slowest that was looked at took to be served."""
    stopping, committed = threading.Event(), [0]

    def change() -> None:
        began_s = time.monotonic()
        while not stopping.is_set():
            act = grants.revoke if committed[0] // TOGETHER % 2 else grants.grant
            with store.changing() as tx:
                act(tx, ADMIN, [f"app-{number}" for number in range(TOGETHER)], [APIS[0]], "TEST")
            committed[0] += TOGETHER
            # At least a moment: SQLite serves waiting writers in no order, and one that never waits starves the others.
            stopping.wait(max(0.005, began_s + committed[0] / CHANGES_S - time.monotonic()))

    worker = threading.Thread(target=change)
    began_s, worst_s = time.monotonic(), 0.0
    worker.start()
    try:
        while time.monotonic() < began_s + seconds:
            with store.changing() as tx:
                grants.grant(tx, ADMIN, ["first"], [APIS[1]], "RELEASE")
            worst_s = max(worst_s, until_served(follower, there=True))
            with store.changing() as tx:
                grants.revoke(tx, ADMIN, ["first"], [APIS[1]], "RELEASE")
            worst_s = max(worst_s, until_served(follower, there=False))
    finally:
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
