"""An address of the configuration as an operating system takes it."""

import errno
import os
import socket
import stat
from pathlib import Path


def numeric_address(address: str) -> str:
    """``address`` with its host as a number, ``unix:PATH`` as it is. Raises OSError for a name that has no address."""
    if address.startswith("unix:"):
        return address
    host, _, port = address.rpartition(":")
    (family, _, _, _, place), *_ = socket.getaddrinfo(
        host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return f"[{place[0]}]:{port}" if family == socket.AF_INET6 else f"{place[0]}:{port}"


def remove_stale_socket(address: str) -> None:
    """Remove the file of a Unix socket at which nobody listens any longer. Raises OSError where somebody does."""
    if not address.startswith("unix:"):
        return
    path = Path(address.removeprefix("unix:"))
    if not path.exists() or not stat.S_ISSOCK(path.stat().st_mode):
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        if probe.connect_ex(os.fspath(path)) != errno.ECONNREFUSED:
            raise OSError(errno.EADDRINUSE, "another process listens there; stop it, or write another path")
    path.unlink()
