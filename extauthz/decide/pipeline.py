"""The decision: a pure function of request, snapshot and the time, and the steps that it runs.

The steps have the order of the vendor's gateway: API and stage, network, IP control, credential, proof, app
authorization. What must happen only once (nonce, jti) is named in the Allow and recorded by the caller, last of all,
so that neither a wrong signature nor an app without a grant can fill the store.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from extauthz.decide.credential_choice import which_credential
from extauthz.decide.domain_binding import right_domain
from extauthz.decide.grant_expiry import granted
from extauthz.decide.ip_control import address_admitted, app_address_admitted
from extauthz.decide.network import open_on_network
from extauthz.decide.progress import Progress, Step
from extauthz.decide.proof import proven
from extauthz.decide.shadow import in_shadow, let_pass, nobody
from extauthz.decide.spelling import one_spelling
from extauthz.decide.stage_choice import which_stage
from extauthz.decide.upstream import what_goes_upstream
from extauthz.decide.which_api import which_api
from extauthz.domain import reason
from extauthz.domain.decision import Allow, Decision, Deny, Refusal, Subject
from extauthz.domain.reason import ALLOWED, ANONYMOUS
from extauthz.domain.request import Request
from extauthz.domain.snapshot import Snapshot
from extauthz.domain.snapshot.directory import DirectoryUnavailable

STEPS: Final[tuple[Step, ...]] = (
    Step("spelling", one_spelling),
    Step("api", which_api),
    Step("domain", right_domain),
    Step("stage", which_stage),
    Step("network", open_on_network),
    Step("address", address_admitted),
    Step("credential", which_credential),
    Step("proof", proven),
    Step("grant", granted),
    Step("app_address", app_address_admitted),
    Step("upstream", what_goes_upstream),
)
"""The way of one check. The first refusal ends it."""
_RUN: Final = tuple(step.run for step in STEPS)


class Entry(NamedTuple):
    """What a recorder is told of one step that ran."""

    step: str
    """Its name in STEPS."""
    refusal: Refusal | None
    """None when the step let the check go on."""
    found: dict[str, object]
    """What the step has found, by the names in ``progress.FINDINGS``."""


def decide(request: Request, snapshot: Snapshot, now_ms: int) -> Decision:
    """Decide about one request. ``now_ms`` is the time in milliseconds since 1970. Never raises for any request."""
    check = Progress(request, snapshot, now_ms)
    try:
        for run in _RUN:
            refusal = run(check)
            if refusal is not None:
                return _refused(check, refusal)
    except DirectoryUnavailable as error:
        return _deny(check, _unavailable(error))
    return _allow(check)


def decide_recorded(request: Request, snapshot: Snapshot, now_ms: int, record: Callable[[Entry], None]) -> Decision:
    """Decide as ``decide`` does, by the same steps, and tell ``record`` of each of them after it ran."""
    check = Progress(request, snapshot, now_ms)
    for name, run in STEPS:
        before = check.found()
        unavailable = False
        try:
            refusal = run(check)
        except DirectoryUnavailable as error:
            refusal, unavailable = _unavailable(error), True
        found = {what: value for what, value in check.found().items() if before.get(what, check) is not value}
        record(Entry(name, refusal, found))
        if refusal is not None:
            return _deny(check, refusal) if unavailable else _refused(check, refusal)
    return _allow(check)


def _refused(check: Progress, refusal: Refusal) -> Decision:
    if check.snapshot.gateway.shadow is None:
        return _deny(check, refusal)
    try:
        return let_pass(check, refusal) or _deny(check, refusal)
    except DirectoryUnavailable as error:
        return _deny(check, _unavailable(error))


def _unavailable(error: DirectoryUnavailable) -> Refusal:
    return Refusal(reason.REGISTRY_UNAVAILABLE, detail=str(error))


def _deny(check: Progress, refusal: Refusal) -> Deny:
    return Deny(refusal.reason, check.subject(), refusal.fact, refusal.detail)


def _allow(check: Progress) -> Allow:
    proof = check.proof
    about = Subject(check.api, check.stage, check.method, check.app)
    label = ALLOWED if check.methods else ANONYMOUS
    allow = Allow(label, about, check.extra, proof.uses, proof.reading, proof.warning, proof.credential)
    if proof.uses and check.snapshot.gateway.shadow is not None and in_shadow(check):
        return allow._replace(unproven=nobody(check))
    return allow
