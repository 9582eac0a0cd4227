"""IP control: which client addresses may call, for everybody or for one app (vendor plug-in ``ipControl``).

Where the vendor's documents leave a choice, ours is:

* Networks without an app bind everybody.
* Networks of an app (allow lists only) bind that app alone. Another app is not affected by them, unless the list also
  has networks for everybody: then it must come from one of those. This is the vendor's newer page; an older text lets
  an anonymous API with such items refuse everything, and so do we for every caller who is no app.
* An allow list without any network admits nobody. The vendor says that it has no effect; the configuration refuses it.
* A refuse list ignores apps: what it names is refused for everybody, so the configuration takes no apps there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

AnyNetwork = IPv4Network | IPv6Network
_BITS = {4: 32, 6: 128}


class NetworkIndex:
    """Networks by length, so that a look-up costs one set access a length however many networks there are."""

    __slots__ = ("_by_length",)

    def __init__(self, networks: Iterable[AnyNetwork]) -> None:
        self._by_length: dict[tuple[int, int], set[int]] = {}
        for network in networks:
            plain = _without_mapping(network)
            shift = _BITS[plain.version] - plain.prefixlen
            self._by_length.setdefault((plain.version, shift), set()).add(int(plain.network_address) >> shift)

    def __bool__(self) -> bool:
        return bool(self._by_length)

    def holds(self, version: int, number: int) -> bool:
        """Whether an address, as a number, lies in one of the networks."""
        return any(kind == version and number >> shift in found for (kind, shift), found in self._by_length.items())


@dataclass(frozen=True, slots=True, eq=False)
class IpControl:
    """An allow list or a refuse list of networks."""

    id: str
    allow: bool
    networks: tuple[AnyNetwork, ...]
    """They bind everybody."""
    app_networks: Mapping[str, tuple[AnyNetwork, ...]] = field(default_factory=dict)
    """By app id; for allow lists only."""
    _everybody: NetworkIndex = field(init=False, repr=False)
    _of_app: Mapping[str, NetworkIndex] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_everybody", NetworkIndex(self.networks))
        of_app = {app: NetworkIndex(networks) for app, networks in self.app_networks.items()} if self.allow else {}
        object.__setattr__(self, "_of_app", of_app)

    @property
    def asks_for_app(self) -> bool:
        """Whether the answer can depend on which app calls."""
        return bool(self._of_app)

    def admits(self, address: str, app_id: str | None = None) -> bool:
        """Whether a call from ``address`` (text) may go on. An address that is no address is never admitted.

        ``app_id`` is the app that proved who it is; None where none did.
        """
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        version, number = parsed.version, int(parsed)
        if self._everybody.holds(version, number):
            return self.allow
        if not self.allow:
            return True
        if app_id is None:
            return False
        own = self._of_app.get(app_id)
        if own is not None:
            return own.holds(version, number)
        return bool(self._of_app) and not self._everybody


def _without_mapping(network: AnyNetwork) -> AnyNetwork:
    """An IPv4 network that is written inside ``::ffff:0:0/96`` as what it is."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None or network.prefixlen < 96:
        return network
    return ip_network(f"{mapped}/{network.prefixlen - 96}")
