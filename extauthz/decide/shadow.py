"""Shadow: a refusal of what is in shadow becomes an allow that tells of it, and of nobody who was not proven.

Only what the configuration names is in shadow, until its end. What is not a judgement on a caller stays a denial:
a failure of ours, overload, a request that cannot be read or has two readings, an unknown host, API or stage.
"""

from typing import Final

from extauthz.decide.credential_choice import which_credential
from extauthz.decide.progress import Progress
from extauthz.decide.proof import ANONYMOUS_PROOF, proven
from extauthz.decide.upstream import what_goes_upstream
from extauthz.domain import reason
from extauthz.domain.decision import Allow, Deny, Proof, Refusal, Subject, Unproven
from extauthz.domain.reason import WOULD_DENY, Reason

SHADOWED: Final[frozenset[Reason]] = frozenset(
    {
        reason.INTERNET_DISABLED,
        reason.VPC_REFUSED,
        reason.IP_REFUSED,
        reason.HEADER_INVALID,
        reason.CREDENTIAL_MISSING,
        reason.METHOD_REFUSED,
        reason.CREDENTIAL_AMBIGUOUS,
        reason.SIGNATURE_MISSING,
        reason.APP_KEY_UNKNOWN,
        reason.SIGNATURE_METHOD_REFUSED,
        reason.SIGNATURE_MISMATCH,
        reason.TIMESTAMP_INVALID,
        reason.TIMESTAMP_REQUIRED,
        reason.TIMESTAMP_EXPIRED,
        reason.NONCE_REQUIRED,
        reason.NONCE_USED,
        reason.SIGNED_HEADER_REQUIRED,
        reason.STRICT_REFUSED,
        reason.CONTENT_MD5_INVALID,
        reason.BODY_TOO_LARGE,
        reason.BODY_UNAVAILABLE,
        reason.APP_CODE_UNKNOWN,
        reason.APP_DISABLED,
        reason.NOT_GRANTED,
        reason.GRANT_EXPIRED,
        reason.JWT_MISSING,
        reason.JWT_MALFORMED,
        reason.JWT_INVALID,
        reason.JWT_KEY_UNKNOWN,
        reason.JWT_EXPIRED,
        reason.JTI_REQUIRED,
        reason.JTI_USED,
    }
)
"""What may be let pass: judgements on who calls, from where and with which grant."""


def let_pass(check: Progress, refusal: Refusal) -> Allow | None:
    """The allow in place of a denial, where the check is in shadow; None where the denial stands."""
    about = check.subject()
    if refusal.reason not in SHADOWED or about.stage is None or not in_shadow(check):
        return None
    proof = _proof(check)
    if proof is None and refusal.reason is reason.IP_REFUSED and which_credential(check) is None:
        proven(check)  # who calls was not asked yet; the backend wants to know as ever
        proof = _proof(check)
    would_deny = Deny(refusal.reason, about, refusal.fact, refusal.detail)
    unproven = nobody(check)
    if unproven is None:
        return None
    if proof is None:
        return Allow(WOULD_DENY, unproven.about, unproven.extra, would_deny=would_deny)
    check.proof = proof
    if what_goes_upstream(check) is not None:
        return None
    about = Subject(check.api, check.stage, check.method, check.app)
    return Allow(
        WOULD_DENY, about, check.extra, proof.uses, proof.reading, proof.warning, proof.credential, would_deny, unproven
    )


def in_shadow(check: Progress) -> bool:
    """Whether the configuration lets a check pass whatever is found. Its API and stage must be known."""
    shadow = check.snapshot.gateway.shadow
    if shadow is None:
        return False
    if shadow.covers_api(check.api.id, check.request.method, check.now_ms):
        return True
    app = check.app
    return app is not None and shadow.covers_app(app.id, check.now_ms)


def nobody(check: Progress) -> Unproven | None:
    """What goes upstream when nobody was proven; None where not even that can be told as it is."""
    check.proof = ANONYMOUS_PROOF
    if what_goes_upstream(check) is not None:
        return None
    return Unproven(Subject(check.api, check.stage, ANONYMOUS_PROOF.method), check.extra)


def _proof(check: Progress) -> Proof | None:
    found: Proof | None = getattr(check, "proof", None)
    return found
