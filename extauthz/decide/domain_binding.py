"""Step ``domain``: what the domain of a call is tied to (vendor: CustomDomainType and BindStageName of SetDomain)."""

from extauthz.decide.network import wrong_network
from extauthz.decide.progress import Progress
from extauthz.domain import reason
from extauthz.domain.decision import Refusal


def right_domain(check: Progress) -> Refusal | None:
    """Whether the call came by the network that its domain is tied to. The stage of the domain is kept for later."""
    request, group = check.request, check.api.group
    if not group.bindings:
        return None
    binding = group.binding_of(request.host)
    if binding is None:
        return Refusal(reason.HOST_INVALID, request.host, f"no domain of group {group.id!r} covers this host")
    if binding.network is not None and binding.network is not request.network:
        detail = f"domain {request.host!r} may be called from {binding.network} only"
        return Refusal(wrong_network(request.network), detail=detail)
    check.binding = binding
    return None
