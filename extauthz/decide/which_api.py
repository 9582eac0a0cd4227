"""Step ``api``: which API a request means, by Envoy's route or by our own matcher."""

from extauthz.decide.progress import Progress
from extauthz.decide.spelling import ambiguous
from extauthz.domain import reason
from extauthz.domain.api import Api
from extauthz.domain.context_keys import API_KEY
from extauthz.domain.decision import Refusal
from extauthz.domain.request import Request
from extauthz.domain.routing.path import spelled_as_template
from extauthz.domain.snapshot import Snapshot


def which_api(check: Progress) -> Refusal | None:
    """Find the API, and refuse a path that is not spelled as this API's template has it."""
    request, fault = check.request, check.path_fault
    api = _matching_api(request, check.snapshot)
    if isinstance(api, Refusal):
        return api
    if fault and not (api.lenient_path_parameters and api.path is not None):
        return ambiguous(fault)
    if (fault or "%" in request.path) and api.path is not None and not spelled_as_template(request.path, api.path):
        return Refusal(reason.PATH_INVALID, "needless escape", f"{api.path!r} of API {api.id!r} is spelled otherwise")
    check.api = api
    return None


def _matching_api(request: Request, snapshot: Snapshot) -> Api | Refusal:
    """The API that Envoy's route names, or that our own matcher finds. Where both speak they must agree."""
    named = request.context.get(API_KEY)
    matched = snapshot.gateway.routes.find(request.host, request.method, request.path)
    if named is None:
        if matched is not None:
            return matched
        if not snapshot.gateway.routes.knows_host(request.host):
            return Refusal(reason.HOST_INVALID, request.host)
        return Refusal(reason.API_NOT_FOUND, detail="no API has this method and path on this domain")
    api = snapshot.gateway.apis.get(named)
    if api is None:
        return Refusal(reason.API_NOT_FOUND, detail=f"Envoy's route names API {named!r}, which does not exist")
    if api.path is not None and matched is not api:
        other = repr(matched.id) if matched else "none"
        return Refusal(reason.API_NOT_FOUND, detail=f"Envoy's route names API {named!r} but host and path mean {other}")
    if request.method not in api.methods:
        return Refusal(reason.API_NOT_FOUND, detail=f"API {named!r} has no method {request.method}")
    return api
