"""Opening an address: who may reach the file of a Unix socket, and what to say when it cannot be opened."""

import errno
import logging
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from extauthz.domain.address import Address

_LONGEST_PATH: Final = 107
"""Bytes of a Unix socket's path, on Linux."""
_SOCKET_UMASK: Final = 0o117
"""Leaves 0660: whoever may write to the socket may ask, so owner and group only."""
_CURES: Final = {
    errno.EADDRINUSE: "another process listens there (`ss -ltnp` names it); stop it, or write another port",
    errno.EADDRNOTAVAIL: "this machine has no such address (`ip address` lists them); write one of them, or 0.0.0.0",
    errno.EACCES: "ports below 1024 need the capability CAP_NET_BIND_SERVICE; give it, or write a higher port",
    errno.EAFNOSUPPORT: "this machine does not speak that version of IP; write an address of the other one",
}
_log: Final = logging.getLogger("extauthz")


@contextmanager
def socket_mode(address: str) -> Iterator[None]:
    """Around the creation of a Unix socket: its file is born with the mode that it keeps, whatever the umask is.

    The umask belongs to the whole process. What other threads create meanwhile (the decision log's file, 0640) needs
    none of the bits that are missing; directories nobody makes. Sockets are opened by one thread, one after the other.
    """
    path = Address.parse(address).path
    if not path:
        yield
        return
    _warn_of_open_folder(Path(path).parent)
    before = os.umask(_SOCKET_UMASK)
    try:
        yield
    finally:
        os.umask(before)


def _warn_of_open_folder(folder: Path) -> None:
    try:
        mode = folder.stat().st_mode
    except OSError:
        return  # the socket cannot be made, which will be said
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        _log.warning(
            "every user of this machine may replace the socket in %s and answer Envoy in our place: take the folder's "
            "write permission from others (chmod o-w), or give it the sticky bit",
            folder,
        )


@contextmanager
def listening(address: str, key: str) -> Iterator[None]:
    """Around the opening of ``address``, which stands under ``key`` of the configuration.

    Raises OSError in place of one from within. The transports tell too little about the cause to build upon, so it is
    looked for anew, the same way for all of them.
    """
    try:
        yield
    except OSError as error:
        cause = _cause(Address.parse(address)) or error.strerror or str(error)
        raise OSError(f"cannot listen on {address} (`{key}` in the configuration): {cause}") from None


def numeric_address(address: str) -> str:
    """``address`` with its host as a number, ``unix:PATH`` as it is. Raises OSError for a name that has no address."""
    named = Address.parse(address)
    return address if named.path else str(replace(named, host=_resolved(named)[2][0]))


def remove_stale_socket(address: str) -> None:
    """Remove the file of a Unix socket at which nobody listens any longer. Raises OSError where somebody does."""
    named = Address.parse(address)
    path = Path(named.path)
    if not named.path or not path.exists() or not stat.S_ISSOCK(path.stat().st_mode):
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        if probe.connect_ex(os.fspath(path)) != errno.ECONNREFUSED:
            raise OSError(errno.EADDRINUSE, "another process listens there; stop it, or write another path")
    path.unlink()


def _resolved(address: Address) -> tuple[int, int, tuple[Any, ...]]:
    """Family, protocol and place of the first address that a host has. Raises OSError when it has none."""
    (family, _, protocol, _, place), *_ = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return family, protocol, place


def _cause(address: Address) -> str:
    if address.path:
        return _cause_of_socket_file(Path(address.path))
    try:
        family, protocol, place = _resolved(address)
    except OSError:
        return "this name has no address; write an address of this machine"
    try:
        with socket.socket(family, socket.SOCK_STREAM, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
            probe.listen()  # two may bind one port to reuse it, and only one may listen
    except OSError as error:
        return _CURES.get(error.errno or 0, "")
    return ""


def _cause_of_socket_file(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {folder}; create it (systemd: `RuntimeDirectory=`), or write another path"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"the service's user has no permission to create files in {folder}; grant it, or write another path"
    if path.is_dir():
        return "this is a folder; write the path of a file in it"
    if len(os.fsencode(path)) > _LONGEST_PATH:
        return f"the path is longer than {_LONGEST_PATH} bytes; write a shorter one"
    return ""
