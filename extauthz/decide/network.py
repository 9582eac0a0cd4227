"""Which network a call came by. Stated by the listener or by Envoy's context, never by anything a client sends."""

from collections.abc import Mapping
from typing import Final

from extauthz.domain.request import Network

NETWORK_KEY: Final = "extauthz.network"
_NETWORKS: Final = {network.value: network for network in Network}


def network_of(
    binding: Network | None, context: Mapping[str, str], port: int, port_networks: Mapping[int, Network]
) -> Network:
    """The network of a call: our listener's own binding, else Envoy's context, else the destination port.

    Where none of them speaks, or the context holds an unknown word, the answer is ``internet``, the stricter view.
    """
    if binding is not None:
        return binding
    stated = context.get(NETWORK_KEY)
    if stated is not None:
        return _NETWORKS.get(stated, Network.INTERNET)
    return port_networks.get(port, Network.INTERNET)
