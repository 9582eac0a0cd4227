"""What goes upstream with an allowed request: identity headers, claim headers, and what is taken off.

In two parts, because the first runs for every check and the second once for all checks of a kind: what depends on this
very request (step ``upstream``), and what app, API and settings settle (``upstream_changes``).
"""

from collections.abc import Iterable
from email.utils import formatdate
from typing import Final

from extauthz.auth import METHODS
from extauthz.decide.client_address import client_address, is_address
from extauthz.decide.progress import Progress
from extauthz.domain import reason
from extauthz.domain.api import Api, AuthMethod
from extauthz.domain.decision import Extra, Proof, Refusal, Subject, Upstream
from extauthz.domain.header_names import PREFIX, X_CA_WOULD_DENY
from extauthz.domain.header_value import is_header_value
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


def what_goes_upstream(check: Progress) -> Refusal | None:
    """What this very request adds. Nothing, for most. A fact that cannot be told as it is refuses the request."""
    request, settings, proof = check.request, check.snapshot.gateway.settings, check.proof
    headers = proof.claim_headers
    if not _OF_THE_REQUEST.isdisjoint(settings.identity_facts):
        for name, fact in settings.identity_headers:
            if fact not in _OF_THE_REQUEST:
                continue
            value = _request_fact(fact, request, proof, settings, check.now_ms)
            if not value:
                continue
            if not is_header_value(value) or (fact is IdentityFact.CLIENT_IP and not is_address(value)):
                return Refusal(reason.IDENTITY_INVALID, fact.value, f"{value!r:.200} for {name}")
            headers += ((name, value),)
    misspelled = _misspelled(request, check.api, settings) if "_" in "".join(request.headers) else ()
    check.extra = Extra(headers, misspelled) if headers or misspelled else NOTHING
    return None


def upstream_changes(
    about: Subject,
    network: Network,
    request_id: str,
    carried: tuple[str, ...],
    settings: Settings,
    would_deny: str = "",
) -> Upstream:
    """What holds for every request of a kind, whose ``Extra`` sets the headers named ``carried``.

    ``would_deny`` is the reason of a denial that shadow lets pass.

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
    if would_deny:
        set_headers[X_CA_WOULD_DENY] = would_deny
    elif settings.marks_shadow:
        remove.append(X_CA_WOULD_DENY)
    api = about.api
    if api is not None:
        remove.extend(_credential_headers(about.method, api, None if would_deny else network))
    return Upstream(tuple(set_headers.items()), tuple(dict.fromkeys(remove)))


def _misspelled(request: Request, api: Api, settings: Settings) -> tuple[str, ...]:
    """Client headers that CGI-like backends cannot tell from ours, from a verified token, or from the scheme's own."""
    owned = {name for name, _ in settings.identity_headers} | settings.claim_headers | settings.token_headers
    for method in METHODS.values():
        owned.update(method.credential_headers(api))
    found = []
    for name in request.headers:
        if "_" in name:
            dashed = name.replace("_", "-")
            if dashed in owned or dashed.startswith(PREFIX):
                found.append(name)
    return tuple(sorted(found))


def _credential_headers(method: str, api: Api, network: Network | None) -> list[str]:
    """What is taken off: the proof, where the API says so; without a proof, every place where one could have stood.

    What stands there was not verified, and a backend that reads its own copy of a token would believe it. With
    ``network`` None these are the places on any network: in shadow a caller may bring what this one does not take.
    """
    if method != AuthMethod.NONE:
        methods: Iterable[str] = method.split("+") if api.strip_credentials else ()
    else:
        policies = [policy for at, policy in api.auth.items() if network is None or at is network]
        methods = sorted(frozenset[str]().union(*[policy.methods for policy in policies]))
    names: list[str] = []
    for one in methods:
        names.extend(METHODS[one].credential_headers(api))
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
