"""What goes upstream with an allowed request: identity headers, claim headers, and what is taken off.

In two parts, because the first runs for every check and the second once for all checks of a kind: what depends on this
very request (``extra_of``), and what app, API and settings settle (``upstream_changes``).
"""

from email.utils import formatdate
from typing import Final

from extauthz.auth import CREDENTIAL_HEADERS
from extauthz.decide.client_address import client_address
from extauthz.domain.api import Api
from extauthz.domain.decision import Extra, Proof, Subject, Upstream
from extauthz.domain.request import Network, Request
from extauthz.domain.settings import IdentityFact, Settings

NOTHING: Final = Extra()
_OF_THE_REQUEST: Final = frozenset(
    {
        IdentityFact.CLIENT_IP,
        IdentityFact.DOMAIN,
        IdentityFact.REQUEST_TIME,
        IdentityFact.SCHEME,
        IdentityFact.SUBJECT,
    }
)


def extra_of(request: Request, proof: Proof, settings: Settings, now_ms: int) -> Extra:
    """What this very request adds. Nothing, for most."""
    headers = proof.claim_headers
    if not _OF_THE_REQUEST.isdisjoint(settings.identity_facts):
        headers += tuple(
            (name, value)
            for name, fact in settings.identity_headers
            if fact in _OF_THE_REQUEST and (value := _request_fact(fact, request, proof, settings, now_ms))
        )
    misspelled = _misspelled(request, settings) if "_" in "".join(request.headers) else ()
    if not (headers or misspelled):
        return NOTHING
    return Extra(headers, misspelled)


def upstream_changes(
    about: Subject, network: Network, request_id: str, carried: tuple[str, ...], settings: Settings
) -> Upstream:
    """What holds for every request of a kind, whose ``Extra`` sets the headers named ``carried``.

    Every identity header is either set, here or there, or removed, so that no client's copy of one ever passes.
    """
    set_headers: dict[str, str] = {}
    remove: list[str] = []
    for name, fact in settings.identity_headers:
        if name in carried:
            continue
        value = _settled_fact(fact, about, network, request_id)
        if value:
            set_headers[name] = value
        else:
            remove.append(name)
    remove.extend(sorted(settings.claim_headers.difference(set_headers, carried)))
    api = about.api
    if api is not None and api.strip_credentials:
        remove.extend(_credential_headers(about, api))
    return Upstream(tuple(set_headers.items()), tuple(remove))


def _misspelled(request: Request, settings: Settings) -> tuple[str, ...]:
    """Client headers that CGI-like backends cannot tell from ours."""
    owned = {name for name, _ in settings.identity_headers} | settings.claim_headers
    return tuple(sorted(name for name in request.headers if "_" in name and name.replace("_", "-") in owned))


def _credential_headers(about: Subject, api: Api) -> list[str]:
    names: list[str] = []
    for method in about.method.split("+"):
        names.extend(CREDENTIAL_HEADERS.get(method, ()))
        if method == "jwt" and api.jwt is not None and api.jwt.place == "header":
            names.append(api.jwt.parameter)
    return names


def _request_fact(fact: IdentityFact, request: Request, proof: Proof, settings: Settings, now_ms: int) -> str:
    match fact:
        case IdentityFact.CLIENT_IP:
            return client_address(request, settings)
        case IdentityFact.DOMAIN:
            return request.host
        case IdentityFact.REQUEST_TIME:
            return formatdate(now_ms / 1000, usegmt=True)
        case IdentityFact.SCHEME:
            return request.scheme
        case _:
            return proof.subject


def _settled_fact(fact: IdentityFact, about: Subject, network: Network, request_id: str) -> str:
    app, api = about.app, about.api
    match fact:
        case IdentityFact.APP_ID:
            return app.id if app else ""
        case IdentityFact.OWNER:
            return app.owner if app else ""
        case IdentityFact.REQUEST_ID:
            return request_id
        case IdentityFact.NETWORK:
            return network.value
        case IdentityFact.PROXY:
            return "extauthz"
        case IdentityFact.STAGE:
            return about.stage.value if about.stage else ""
        case IdentityFact.API_ID:
            return api.id if api else ""
        case IdentityFact.AUTH_METHOD:
            return about.method
        case _:
            return ""
