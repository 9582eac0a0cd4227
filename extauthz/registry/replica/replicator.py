"""The one process of a host that follows the registry and writes the replica, from which all others read.

A process of its own: reading a million apps would hold up the checks of a process that serves, and a damaged file may
end the process that reads it through. It ends when whoever started it is gone.

``python -m extauthz.registry.replica.replicator`` reads its settings as one line of JSON from standard input; it is no
command for people.
"""

import json
import logging
import signal
import sys
import threading
from pathlib import Path
from typing import Final

from extauthz.registry.replica.file import ReplicaBroken, read_through
from extauthz.registry.replica.folder import ReplicaFolder
from extauthz.registry.replica.settings import Settings, TakenUp
from extauthz.registry.replica.writing import FileWriter

_log: Final = logging.getLogger("extauthz")


def run(settings: Settings, stopping: threading.Event) -> None:
    """Follow until told to stop, as soon as nobody else on this host does. Raises OSError."""
    folder = ReplicaFolder(Path(settings.folder))
    folder.make()
    while not stopping.is_set():
        with folder.only_writer() as mine:
            if mine:
                taken_up = take_up(folder, settings)
                if taken_up is not None:
                    threading.Thread(target=prove, args=(folder, taken_up, stopping), name="prove", daemon=True).start()
                from extauthz.registry.replica.follow import (
                    Replicator,  # what was known is served before SQL is even loaded
                )

                Replicator(settings, stopping, taken_up).run()
                return
        stopping.wait(1.0)


def take_up(folder: ReplicaFolder, settings: Settings) -> TakenUp | None:
    """Put into force what an earlier life left, if it can be read through."""
    name = folder.take_on_trial()
    if not name:
        return None
    try:
        read_through(folder.path / name, settings.sealer)
        writer = FileWriter.resume(folder.path / name, settings.sealer)
    except ReplicaBroken as error:
        _log.error("the replica is thrown away: %s", error)
        return None
    folder.put_into_force(name)
    _log.info("replica of revision %d taken up", writer.position.revision)
    return TakenUp(name, writer)


def prove(folder: ReplicaFolder, taken_up: TakenUp, stopping: threading.Event) -> None:
    """Prove all records: each is proved when it is looked up, but a look-up may not find what is damaged."""
    try:
        taken_up.writer.prove(lambda: stopping.is_set() or folder.current() != taken_up.name)
    except ReplicaBroken as error:
        _log.error("the replica will be made anew: %s", error)
        folder.report_damage(taken_up.name)


def main() -> int:
    """Follow the registry until standard input ends."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s replicator: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    settings = Settings(**json.loads(sys.stdin.readline()))
    stopping = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        stopping.set()

    threading.Thread(target=wait_for_the_end, name="parent", daemon=True).start()
    for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):  # sent to all; whoever started it says when to end
        signal.signal(signum, signal.SIG_IGN)
    try:
        run(settings, stopping)
    except OSError as error:
        _log.error("cannot write the replica to %s: %s", settings.folder, error.strerror)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
