"""IP control: which client addresses may call, as networks (vendor plug-in ``ipControl``)."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address


@dataclass(frozen=True, slots=True, eq=False)
class IpControl:
    """An allow list or a refuse list of networks."""

    id: str
    allow: bool
    networks: tuple[IPv4Network | IPv6Network, ...]

    def admits(self, address: str) -> bool:
        """Whether a call from ``address`` (text) may go on. An address that is no address is never admitted."""
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        mapped = getattr(parsed, "ipv4_mapped", None)
        if mapped is not None:
            parsed = mapped
        listed = any(parsed.version == network.version and parsed in network for network in self.networks)
        return listed is self.allow
