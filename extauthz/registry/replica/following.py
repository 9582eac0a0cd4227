"""Who reads a replica: which file is current, when it has changed, and what cannot be believed."""

import logging
from typing import Final

import lmdb

from extauthz.registry.database.sealing import Sealer
from extauthz.registry.replica.file import ReplicaBroken, ReplicaLocked, open_file, read_meta
from extauthz.registry.replica.folder import ReplicaFolder
from extauthz.registry.replica.reading import Absent, Damage, Kept, ReplicaDirectory
from extauthz.registry.replica.records import APP

_log: Final = logging.getLogger("extauthz")


class Replica:
    """Follows the replica in a folder. One thread looks; any thread may use the directory that it finds."""

    def __init__(self, folder: ReplicaFolder, sealer: Sealer) -> None:
        self.directory: ReplicaDirectory | Absent = Absent()
        self.changed: list[str] | None = None
        """The ids of the apps that differ from the directory before; None: it may be any."""
        self._folder = folder
        self._sealer = sealer
        self._name = ""
        self._opened: lmdb.Environment | None = None
        self._refused = ""
        self._damage = Damage()

    def look(self) -> bool:
        """Whether there is another directory now. Takes microseconds where there is none. Never raises."""
        if self._damage.seen:
            self._damage.seen = False
            self._folder.report_damage(self._name)
        name = self._folder.current()
        try:
            if name and name != self._name:
                return self._open(name)
            return self._follow()
        except ReplicaLocked as error:
            self._refuse(name, str(error))
        except (ReplicaBroken, lmdb.Error) as error:
            self._refuse(name, str(error) or type(error).__name__)
            self._folder.report_damage(name)
        return False

    def trust(self, sealer: Sealer) -> None:
        """Open secrets with other master keys from the next directory on."""
        self._sealer = sealer
        self._name = self._refused = ""

    def close(self) -> None:
        """Know nothing any more; what is still in use of it is closed when nobody uses it."""
        self.directory, self._opened, self._name = Absent(), None, ""

    def _open(self, name: str) -> bool:
        if name == self._refused:
            return False
        path = self._folder.path / name
        # One process may open a file once: who trusts other keys goes on with what is open.
        opened = self._opened if self._opened is not None and self._opened.path() == str(path) else open_file(path)
        view = opened.begin(buffers=False)
        meta, vault, cipher = read_meta(view, self._sealer)
        self.directory = ReplicaDirectory(view, meta, vault, cipher, Kept(), self._damage)
        self._opened, self._name, self._refused, self.changed = opened, name, "", None
        return True

    def _follow(self) -> bool:
        before = self.directory
        if self._opened is None or isinstance(before, Absent):
            return False
        if self._opened.info()["last_txnid"] == before.number:
            return False
        self.directory, changed = before.later(self._opened.begin(buffers=False), self._sealer)
        self.changed = None if changed is None else [key[1:].decode() for key in changed if key[:1] == APP]
        return True

    def _refuse(self, name: str, why: str) -> None:
        if self._refused != name:
            self._refused = name
            _log.error("the replica %s is not used: %s", name, why)
