"""Step ``credential``: which of the proofs that open the API a request means to bring."""

from typing import Final

from extauthz.auth import METHODS
from extauthz.decide.progress import Progress
from extauthz.domain import reason
from extauthz.domain.api import Api, AuthPolicy
from extauthz.domain.decision import Refusal
from extauthz.domain.request import Request

_NOBODY: Final = frozenset[str]()


def which_credential(check: Progress) -> Refusal | None:
    """Choose the one alternative of the policy that the presented credentials mean."""
    methods = _choose(check.request, check.api, check.policy)
    if isinstance(methods, Refusal):
        return methods
    check.methods = methods
    return None


def _choose(request: Request, api: Api, policy: AuthPolicy) -> frozenset[str] | Refusal:
    """The methods that must hold; the empty set is an anonymous call.

    Credentials of methods that the policy does not mention are ignored where others decide, and refused where they
    are all the caller brought. A credential that is presented is never ignored in favour of ``none``.
    """
    alternatives = policy.alternatives
    if policy.only is not None:
        is_presented = METHODS[policy.only].is_presented(request, api)
        return alternatives[0] if is_presented else _nothing_presented(request, api, policy)
    if not policy.methods:
        return _NOBODY
    presented = frozenset(method for method in policy.methods if METHODS[method].is_presented(request, api))
    if not presented:
        return _NOBODY if _NOBODY in alternatives else _nothing_presented(request, api, policy)
    possible = [alternative for alternative in alternatives if alternative and alternative <= presented]
    if len(possible) > 1:
        possible = [one for one in possible if all(other <= one for other in possible)]
        if not possible:
            return Refusal(reason.CREDENTIAL_AMBIGUOUS, detail=f"presented: {', '.join(sorted(presented))}")
    if not possible:
        return Refusal(reason.CREDENTIAL_MISSING, detail=f"presented only: {', '.join(sorted(presented))}")
    leftover = presented - possible[0]
    if leftover:
        return Refusal(reason.CREDENTIAL_AMBIGUOUS, detail=f"presented: {', '.join(sorted(presented))}")
    return possible[0]


def _nothing_presented(request: Request, api: Api, policy: AuthPolicy) -> frozenset[str] | Refusal:
    if len(policy.methods) == 1:
        absent = METHODS[next(iter(policy.methods))].absent
        if absent is not None:
            return absent(api) or _NOBODY
    others = [name for name in METHODS if name not in policy.methods and METHODS[name].is_presented(request, api)]
    if others:
        return Refusal(
            reason.METHOD_REFUSED, "this method", f"presented {others[0]}, not accepted on {request.network}"
        )
    return Refusal(reason.CREDENTIAL_MISSING)
