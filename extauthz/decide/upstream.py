"""What goes upstream with an allowed request: identity headers, claim headers, and what is taken off."""

from email.utils import formatdate

from extauthz.decide.client_address import client_address
from extauthz.domain.api import Api
from extauthz.domain.decision import Proof, Upstream
from extauthz.domain.request import Request, Stage
from extauthz.domain.settings import IdentityFact, Settings


def upstream_changes(
    request: Request, api: Api, stage: Stage, proof: Proof, settings: Settings, now_ms: int
) -> Upstream:
    """Every identity header is either overwritten or removed, so that no client's copy of one ever passes.

    That includes the spelling with underscores, which CGI-like backends cannot tell from the one with hyphens.
    """
    set_headers: list[tuple[str, str]] = []
    remove: list[str] = []
    for name, fact in settings.identity_headers:
        value = _fact(fact, request, api, stage, proof, settings, now_ms)
        if value:
            set_headers.append((name, value))
        else:
            remove.append(name)
    if api.jwt is not None:
        claimed = dict(proof.claim_headers)
        set_headers.extend(claimed.items())
        remove.extend(entry.header for entry in api.jwt.claim_headers if entry.header not in claimed)
    if api.strip_credentials:
        remove.extend(proof.credential_headers)
    owned = {name for name, _ in set_headers} | set(remove)
    remove.extend(name for name in request.headers if "_" in name and name.replace("_", "-") in owned)
    return Upstream(tuple(set_headers), tuple(remove))


def _fact(
    fact: IdentityFact, request: Request, api: Api, stage: Stage, proof: Proof, settings: Settings, now_ms: int
) -> str:
    app = proof.app
    match fact:
        case IdentityFact.APP_ID:
            return app.id if app else ""
        case IdentityFact.REQUEST_ID:
            return request.id
        case IdentityFact.NETWORK:
            return request.network.value
        case IdentityFact.CLIENT_IP:
            return client_address(request, settings)
        case IdentityFact.DOMAIN:
            return request.host
        case IdentityFact.REQUEST_TIME:
            return formatdate(now_ms / 1000, usegmt=True)
        case IdentityFact.SCHEME:
            return request.scheme
        case IdentityFact.PROXY:
            return "extauthz"
        case IdentityFact.STAGE:
            return stage.value
        case IdentityFact.API_ID:
            return api.id
        case IdentityFact.OWNER:
            return app.owner if app else ""
        case IdentityFact.AUTH_METHOD:
            return proof.method
        case IdentityFact.SUBJECT:
            return proof.subject
