"""Which network a call came by, and step ``network``: whether the API may be called from there.

The network is stated by the listener or by Envoy's context, never by anything a client sends.
"""

from collections.abc import Mapping
from typing import Final

from extauthz.decide.progress import Progress
from extauthz.domain import reason
from extauthz.domain.context_keys import NETWORK_KEY, VPC_ID_KEY
from extauthz.domain.decision import Refusal
from extauthz.domain.reason import Reason
from extauthz.domain.request import Network

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


def open_on_network(check: Progress) -> Refusal | None:
    """Whether the API may be called from the network of the call, and by which proofs; of VPCs, from this one."""
    request, api = check.request, check.api
    policy = api.auth.get(request.network)
    if policy is None:
        detail = f"API {api.id!r} may not be called from {request.network}"
        return Refusal(wrong_network(request.network), detail=detail)
    if request.network is Network.VPC and api.vpc_ids:
        vpc_id = request.context.get(VPC_ID_KEY, "")
        if vpc_id not in api.vpc_ids:
            return Refusal(reason.VPC_REFUSED, detail=f"VPC {vpc_id!r} is not in the whitelist")
    check.policy = policy
    return None


def wrong_network(network: Network) -> Reason:
    """Why a call is refused for the network it came by."""
    return reason.VPC_REFUSED if network is Network.VPC else reason.INTERNET_DISABLED
