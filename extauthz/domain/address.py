"""Addresses of sockets, in the one form that the configuration has for them: ``host:port``, or ``unix:/path``."""

import ipaddress
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Final

_UNIX: Final = "unix:"
_EVERY_IPV4: Final = "0.0.0.0"  # noqa: S104  compared, not bound
_EVERY_IPV6: Final = "::"
LAST_PORT: Final = 65_535


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port, or the path of a Unix socket. ``str()`` gives the text that was parsed."""

    host: str = ""
    """A name or an IP address, an IPv6 one without its brackets; empty for a Unix socket."""
    port: int = 0
    path: str = ""
    """Of a Unix socket; empty for a host."""

    @classmethod
    def parse(cls, text: str) -> "Address":
        """An address from its text. Raises ValueError when it is neither ``host:port`` nor ``unix:/path``."""
        if text.startswith(_UNIX):
            path = text.removeprefix(_UNIX)
            if not path:
                raise ValueError("a Unix socket needs a path, as in unix:/run/extauthz.sock")
            return cls(path=path)
        host, _, port = text.rpartition(":")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if not bare or not (port.isascii() and port.isdigit()) or (":" in bare) != (bare != host):
            raise ValueError("must be host:port or unix:/path, with an IPv6 address in brackets")
        return cls(bare, int(port))

    def __str__(self) -> str:
        return f"{_UNIX}{self.path}" if self.path else f"{self.bracketed}:{self.port}"

    @property
    def bracketed(self) -> str:
        """The host as it stands before a port: an IPv6 address in brackets."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def is_every_interface(self) -> bool:
        """Whether whoever listens here listens on every interface of the machine."""
        return _canonical(self.host) in (_EVERY_IPV4, _EVERY_IPV6)

    @property
    def is_local(self) -> bool:
        """Whether only processes of this machine reach it."""
        return bool(self.path) or is_local_host(self.host)

    def collides_with(self, other: "Address") -> bool:
        """Whether the two cannot be listened on side by side."""
        if self.path or other.path:
            return self.path == other.path
        if self.port != other.port:
            return False
        hosts = {_canonical(self.host), _canonical(other.host)}
        if len(hosts) == 1 or _EVERY_IPV6 in hosts:
            return True
        return _EVERY_IPV4 in hosts and not any(":" in host for host in hosts)

    def with_port(self, port: int) -> "Address":
        """The same host with another port; a Unix socket has none and stays as it is."""
        return self if self.path else replace(self, port=port)

    def of_worker(self, index: int) -> "Address":
        """The address beside this one for the worker ``index``: ``port + index``, or ``path.index.sock``.

        The port may be beyond ``LAST_PORT``: whoever asks for many workers has to look.
        """
        if self.path:
            path = PurePath(self.path)
            return Address(path=str(path.with_suffix(f".{index}{path.suffix}")))
        return replace(self, port=self.port + index)


def is_local_host(host: str) -> bool:
    """Whether a host, an IPv6 address without brackets, is this machine and no other reaches it."""
    try:
        return ipaddress.ip_address(_canonical(host)).is_loopback
    except ValueError:
        return False


def _canonical(host: str) -> str:
    """The one spelling of an IP address; a name as it stands."""
    try:
        return "127.0.0.1" if host == "localhost" else str(ipaddress.ip_address(host))
    except ValueError:
        return host
