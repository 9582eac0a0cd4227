"""Step ``proof``: every one of the chosen methods must hold."""

from typing import Final

from extauthz.auth import METHODS
from extauthz.decide.progress import Progress
from extauthz.domain.api import AuthMethod
from extauthz.domain.decision import Proof, Refusal

ANONYMOUS_PROOF: Final = Proof(AuthMethod.NONE)


def proven(check: Progress) -> Refusal | None:
    """Verify what the caller brought. An anonymous call, which has nothing to verify, has an empty proof."""
    methods = check.methods
    if not methods:
        check.proof, check.method = ANONYMOUS_PROOF, AuthMethod.NONE
        return None
    proofs: list[Proof] = []
    for method in methods if len(methods) == 1 else sorted(methods):
        check.method = method
        outcome = METHODS[method].authenticate(check.request, check.api, check.snapshot, check.now_ms)
        if isinstance(outcome, Refusal):
            return outcome
        proofs.append(outcome)
    proof = proofs[0] if len(proofs) == 1 else _combine(proofs)
    check.proof, check.method, check.app = proof, proof.method, proof.app
    return None


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
        credential="".join(proof.credential for proof in proofs),
    )
