"""The decision: a pure function of request, snapshot and the time.

The steps run in the order of the vendor's gateway: API and stage, network, IP control, credential, proof, app
authorization. What must happen only once (nonce, jti) is named in the Allow and recorded by the caller, last of all,
so that neither a wrong signature nor an app without a grant can fill the store.
"""

from typing import Final

from extauthz.auth import METHODS
from extauthz.decide.client_address import client_address
from extauthz.decide.upstream import extra_of
from extauthz.domain import reason
from extauthz.domain.api import Api, AuthMethod, AuthPolicy, DomainBinding
from extauthz.domain.app import App
from extauthz.domain.decision import Allow, Decision, Deny, Proof, Refusal, Subject
from extauthz.domain.ip import IpControl
from extauthz.domain.lenient_path import lenient_path_fault
from extauthz.domain.reason import ALLOWED, ANONYMOUS, Reason
from extauthz.domain.request import Network, Request, Stage
from extauthz.domain.route import is_host, path_fault, spelled_as_template
from extauthz.domain.snapshot import Snapshot

API_KEY: Final = "extauthz.api"
STAGE_KEY: Final = "extauthz.stage"
VPC_ID_KEY: Final = "extauthz.vpc_id"
MAX_URL_LENGTH: Final = 65_536
"""Characters of path and query, which are read before anyone has proved anything. Envoy's own default is below it."""
MAX_PATH_LENGTH: Final = 16_384
"""Characters of the path alone, whose segments are decoded and matched: twice what other servers take."""
MAX_HOST_LENGTH: Final = 255
"""RFC 1035, section 2.3.4; answers that name the host are cached."""
_STAGES: Final = {stage.value.encode(): stage for stage in Stage}
_NOBODY: Final = frozenset[AuthMethod]()
_ANONYMOUS_PROOF: Final = Proof(AuthMethod.NONE)
_NO_BINDING: Final = DomainBinding()


def decide(request: Request, snapshot: Snapshot, now_ms: int) -> Decision:
    """Decide about one request. ``now_ms`` is the time in milliseconds since 1970. Never raises for any request."""
    api = _find_api(request, snapshot)
    if isinstance(api, Refusal):
        return _deny(api, Subject())
    binding = _NO_BINDING
    if api.group.bindings:
        bound = _find_binding(request, api)
        if isinstance(bound, Refusal):
            return _deny(bound, Subject(api))
        binding = bound
    stage = _find_stage(request, api, binding)
    if isinstance(stage, Refusal):
        return _deny(stage, Subject(api))
    policy = api.auth.get(request.network)
    refusal = _network_refusal(request, api, policy) or _address_refusal(request, api, snapshot)
    if refusal is not None or policy is None:
        return _deny(refusal or Refusal(reason.INTERNAL_ERROR), Subject(api, stage))

    methods = _choose_methods(request, api, policy)
    if isinstance(methods, Refusal):
        return _deny(methods, Subject(api, stage))
    proof = _authenticate(methods, request, api, stage, snapshot, now_ms)
    if isinstance(proof, Deny):
        return proof
    about = Subject(api, stage, proof.method, proof.app)
    if proof.app is not None:
        refusal = _grant_refusal(proof.app, api, stage, snapshot, now_ms)
        if refusal is not None:
            return _deny(refusal, about)
    if api.ip_control is not None and api.ip_control.asks_for_app:
        refusal = _app_address_refusal(request, api.ip_control, proof.app, snapshot)
        if refusal is not None:
            return _deny(refusal, about)
    extra = extra_of(request, proof, snapshot.gateway.settings, now_ms)
    if isinstance(extra, Refusal):
        return _deny(extra, about)
    return Allow(ALLOWED if methods else ANONYMOUS, about, extra, proof.uses, proof.reading, proof.warning)


def _deny(refusal: Refusal, about: Subject) -> Deny:
    return Deny(refusal.reason, about, refusal.fact, refusal.detail)


def _find_api(request: Request, snapshot: Snapshot) -> Api | Refusal:
    """The API that the request means, if host and path mean one thing to every reader."""
    if request.unread:
        return Refusal(reason.PATH_INVALID, request.unread, "what Envoy tells and the bytes of the request may differ")
    if len(request.path) > MAX_PATH_LENGTH or len(request.path) + len(request.query) > MAX_URL_LENGTH:
        return Refusal(reason.URL_TOO_LARGE)
    if len(request.host) > MAX_HOST_LENGTH:
        return Refusal(reason.HOST_INVALID, "too long")
    if not is_host(request.host):
        return Refusal(reason.HOST_INVALID, request.host, "not a host name")
    fault = path_fault(request.path)
    if fault and (not snapshot.gateway.routes.lenient or lenient_path_fault(request.path)):
        return Refusal(reason.PATH_INVALID, fault, "the path has an ambiguous spelling")
    api = _matching_api(request, snapshot)
    if isinstance(api, Refusal):
        return api
    if fault and not (api.lenient_path_parameters and api.path is not None):
        return Refusal(reason.PATH_INVALID, fault, "the path has an ambiguous spelling")
    if (fault or "%" in request.path) and api.path is not None and not spelled_as_template(request.path, api.path):
        return Refusal(reason.PATH_INVALID, "needless escape", f"{api.path!r} of API {api.id!r} is spelled otherwise")
    return api


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


def _find_binding(request: Request, api: Api) -> DomainBinding | Refusal:
    """What the domain of the call is tied to, if the call came by the network that the domain is tied to."""
    binding = api.group.binding_of(request.host)
    if binding is None:
        return Refusal(reason.HOST_INVALID, request.host, f"no domain of group {api.group.id!r} covers this host")
    if binding.network is not None and binding.network is not request.network:
        detail = f"domain {request.host!r} may be called from {binding.network} only"
        return Refusal(_wrong_network(request.network), detail=detail)
    return binding


def _wrong_network(network: Network) -> Reason:
    return reason.VPC_REFUSED if network is Network.VPC else reason.INTERNET_DISABLED


def _find_stage(request: Request, api: Api, binding: DomainBinding) -> Stage | Refusal:
    """The stage that Envoy's context pins, else the one the client asks for, else the domain's, else RELEASE.

    A route or a domain that is tied to a stage serves no other, whoever asks for it: Envoy has chosen the upstream by
    then, and may have read the client's header in another letter case than we do.
    """
    if "x-ca-stage" in request.repeated:
        return Refusal(reason.HEADER_REPEATED, "X-Ca-Stage")
    asked = request.headers.get("x-ca-stage", b"")
    pinned = request.context.get(STAGE_KEY)
    if pinned is not None:
        wanted = pinned.encode()
    else:
        wanted = asked or (b"RELEASE" if binding.stage is None else binding.stage.value.encode())
    stage = _STAGES.get(wanted) or _STAGES.get(wanted.strip().upper())
    if stage is None:
        return Refusal(reason.STAGE_INVALID, detail="not one of RELEASE, PRE, TEST")
    if pinned is not None and asked and asked.strip().upper() != stage.value.encode():
        return Refusal(reason.STAGE_INVALID, detail=f"Envoy's route serves stage {stage} only")
    if binding.stage is not None and stage is not binding.stage:
        return Refusal(reason.STAGE_INVALID, detail=f"domain {request.host!r} serves stage {binding.stage} only")
    if stage not in api.stages:
        return Refusal(reason.STAGE_INVALID, detail=f"API {api.id!r} is not published in stage {stage}")
    return stage


def _network_refusal(request: Request, api: Api, policy: AuthPolicy | None) -> Refusal | None:
    if policy is None:
        return Refusal(
            _wrong_network(request.network), detail=f"API {api.id!r} may not be called from {request.network}"
        )
    if request.network is Network.VPC and api.vpc_ids:
        vpc_id = request.context.get(VPC_ID_KEY, "")
        if vpc_id not in api.vpc_ids:
            return Refusal(reason.VPC_REFUSED, detail=f"VPC {vpc_id!r} is not in the whitelist")
    return None


def _address_refusal(request: Request, api: Api, snapshot: Snapshot) -> Refusal | None:
    """What IP control says before anybody has proved who calls; nothing yet where that can depend on the app."""
    if api.ip_control is None or api.ip_control.asks_for_app:
        return None
    return _app_address_refusal(request, api.ip_control, None, snapshot)


def _app_address_refusal(request: Request, control: IpControl, app: App | None, snapshot: Snapshot) -> Refusal | None:
    address = client_address(request, snapshot.gateway.settings)
    if control.admits(address, app.id if app else None):
        return None
    return Refusal(reason.IP_REFUSED, detail=f"address {address!r}, plug-in {control.id!r}")


def _choose_methods(request: Request, api: Api, policy: AuthPolicy) -> frozenset[AuthMethod] | Refusal:
    """The one alternative of the policy that the presented credentials mean; the empty set is an anonymous call.

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


def _nothing_presented(request: Request, api: Api, policy: AuthPolicy) -> frozenset[AuthMethod] | Refusal:
    if policy.methods == {AuthMethod.JWT}:
        if api.jwt is not None and api.jwt.bypass_empty_token:
            return _NOBODY
        return Refusal(reason.JWT_MISSING)
    others = [name for name in METHODS if name not in policy.methods and METHODS[name].is_presented(request, api)]
    if others:
        return Refusal(
            reason.METHOD_REFUSED, "this method", f"presented {others[0]}, not accepted on {request.network}"
        )
    return Refusal(reason.CREDENTIAL_MISSING)


def _authenticate(
    methods: frozenset[AuthMethod], request: Request, api: Api, stage: Stage, snapshot: Snapshot, now_ms: int
) -> Proof | Deny:
    """Every one of the methods must hold; none of them is the empty proof of an anonymous call."""
    if not methods:
        return _ANONYMOUS_PROOF
    proofs: list[Proof] = []
    for method in methods if len(methods) == 1 else sorted(methods):
        outcome = METHODS[method].authenticate(request, api, snapshot, now_ms)
        if isinstance(outcome, Refusal):
            return _deny(outcome, Subject(api, stage, method))
        proofs.append(outcome)
    return proofs[0] if len(proofs) == 1 else _combine(proofs)


def _combine(proofs: list[Proof]) -> Proof:
    """One proof out of several that all held."""
    apps = [proof.app for proof in proofs if proof.app is not None]
    return Proof(
        method="+".join(proof.method for proof in proofs),
        app=apps[0] if apps else None,
        subject="".join(proof.subject for proof in proofs),
        uses=tuple(use for proof in proofs for use in proof.uses),
        reading="".join(proof.reading for proof in proofs),
        warning="".join(proof.warning for proof in proofs),
        claim_headers=tuple(header for proof in proofs for header in proof.claim_headers),
    )


def _grant_refusal(app: App, api: Api, stage: Stage, snapshot: Snapshot, now_ms: int) -> Refusal | None:
    if app.disabled:
        return Refusal(reason.APP_DISABLED, detail=f"app {app.id!r} is disabled")
    grant = snapshot.directory.grant(app.id, api.id, stage)
    if grant is None:
        return Refusal(reason.NOT_GRANTED, detail=f"app {app.id!r} has no grant for API {api.id!r} in stage {stage}")
    if not grant.is_live(now_ms):
        return Refusal(reason.GRANT_EXPIRED, detail=f"grant of app {app.id!r} for API {api.id!r} ended")
    return None
