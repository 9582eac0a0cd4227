"""An address that cannot be opened: which one, the key that names it, why, and what to do about it."""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_LONGEST_PATH: Final = 107
"""Bytes of a Unix socket's path, on Linux."""
_CURES: Final = {
    errno.EADDRINUSE: "another process listens there (`ss -ltnp` names it); stop it, or write another port",
    errno.EADDRNOTAVAIL: "this machine has no such address (`ip address` lists them); write one of them, or 0.0.0.0",
    errno.EACCES: "ports below 1024 need the capability CAP_NET_BIND_SERVICE; give it, or write a higher port",
    errno.EAFNOSUPPORT: "this machine does not speak that version of IP; write an address of the other one",
}


@contextmanager
def listening(address: str, key: str) -> Iterator[None]:
    """Around the opening of ``address``, which stands under ``key`` of the configuration.

    Raises OSError in place of one from within. The transports tell too little about the cause to build upon, so it is
    looked for anew, the same way for all of them.
    """
    try:
        yield
    except OSError as error:
        cause = _cause(address) or error.strerror or str(error)
        raise OSError(f"cannot listen on {address} (`{key}` in the configuration): {cause}") from None


def _cause(address: str) -> str:
    if address.startswith("unix:"):
        return _cause_of_socket_file(Path(address.removeprefix("unix:")))
    host, _, port = address.rpartition(":")
    try:
        (family, kind, protocol, _, place), *_ = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError:
        return "this name has no address; write an address of this machine"
    try:
        with socket.socket(family, kind, protocol) as probe:
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
        return f"the service's user may not create files in {folder}; let it, or write another path"
    if path.is_dir():
        return "this is a folder; write the path of a file in it"
    if len(os.fsencode(path)) > _LONGEST_PATH:
        return f"the path is longer than {_LONGEST_PATH} bytes; write a shorter one"
    return ""
