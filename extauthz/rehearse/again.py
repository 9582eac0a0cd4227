"""One recorded check decided again. What a log cannot know (a body, a signature, a token) is said, not guessed."""

from enum import StrEnum
from typing import Final, NamedTuple

from extauthz.access.assumed import APP_METHODS, Assumed, Reached, walk
from extauthz.decide.shadow import SHADOWED, in_shadow
from extauthz.domain import reason
from extauthz.domain.api import AuthMethod, Strictness
from extauthz.domain.reason import CATALOGUE, WOULD_DENY
from extauthz.domain.snapshot import Snapshot
from extauthz.domain.snapshot.directory import DirectoryUnavailable
from extauthz.rehearse.recorded import Recorded


class Change(StrEnum):
    """What becomes of a check."""

    SAME = "same"
    LOSES = "loses"
    """It passed, and would not."""
    GAINS = "gains"
    """It did not pass, and would."""
    UNKNOWN = "unknown"


class Again(NamedTuple):
    """A recorded check under another configuration."""

    change: Change
    reason: str
    """How it would end; of what is unknown: why it is."""
    api: str
    """Which API it would be for; empty when none."""


_AFTER_PROOF: Final = frozenset(
    one.label
    for one in (
        reason.NOT_GRANTED, reason.GRANT_EXPIRED, reason.APP_DISABLED, reason.IP_REFUSED, reason.IDENTITY_INVALID,
        reason.NONCE_USED, reason.JTI_USED, reason.REPLAY_SHARE_FULL,
    )
)  # fmt: skip
"""Denials of callers that had proved who they are. IP control may also come before."""
_USED: Final = (reason.NONCE_USED.label, reason.JTI_USED.label, reason.REPLAY_SHARE_FULL.label)
NOT_DECIDED: Final = "it failed then, and was not decided"
NO_REQUEST: Final = "the log has too little of the request"
PROOF_REFUSED: Final = "its proof was refused then; a log cannot verify it again"
PROOF_NOT_SEEN: Final = "it was refused before its proof was looked at, and would be asked for one"
NO_REGISTRY: Final = "the registry was not asked"


def again(recorded: Recorded, snapshot: Snapshot, at_ms: int | None, registry_missing: bool = False) -> Again:
    """What becomes of a recorded check. ``at_ms`` is another moment for all of them; None: each at its own.

    ``registry_missing``: the configuration has a registry that was not asked, so an app may be one of that.
    """
    cause = CATALOGUE.get(recorded.reason)
    if cause is not None and cause.failure:
        return Again(Change.UNKNOWN, NOT_DECIDED, recorded.api)
    request = recorded.request
    if request is None:
        return Again(Change.UNKNOWN, NO_REQUEST, recorded.api)
    if registry_missing and recorded.app and snapshot.directory.app(recorded.app) is None:
        return Again(Change.UNKNOWN, NO_REGISTRY, recorded.api)
    proof = _proof(recorded)
    try:
        reached = walk(request, snapshot, recorded.at_ms if at_ms is None else at_ms, proof)
    except DirectoryUnavailable:
        return Again(Change.UNKNOWN, NO_REGISTRY, recorded.api)
    return _compare(recorded, proof, reached)


def _proof(recorded: Recorded) -> Assumed | None:
    """The proof that the log says was good; None where it says of none."""
    label = recorded.reason
    proven = label not in CATALOGUE or (label in _AFTER_PROOF and (recorded.app or recorded.method))
    if proven:
        return Assumed(recorded.method or AuthMethod.NONE, recorded.app, recorded.credential)
    # Without a detail nothing at all was presented, so an API that has become open lets it pass.
    if label == reason.CREDENTIAL_MISSING.label and not recorded.detail:
        return Assumed(AuthMethod.NONE)
    return None


def _compare(recorded: Recorded, proof: Assumed | None, reached: Reached) -> Again:
    check, refusal = reached
    about = check.subject()
    api = "" if about.api is None else about.api.id
    if refusal is None and about.api is not None and proof is not None:
        takes_strict = about.api.digest.strict is Strictness.ON and AuthMethod.DIGEST in proof.method
        label = reason.STRICT_REFUSED.label if recorded.strict and takes_strict else ""
        label = label or (recorded.reason if recorded.reason in _USED else "")
    else:
        label = "" if refusal is None else refusal.reason.label
    shadowed = about.stage is not None and in_shadow(check)
    if label:
        passes = shadowed and CATALOGUE[label] in SHADOWED
        return Again(_change(recorded.passed, passes), WOULD_DENY if passes else label, api)
    if proof is None and not shadowed:
        if not (recorded.method or recorded.reason == reason.CREDENTIAL_MISSING.label):
            return Again(Change.UNKNOWN, PROOF_NOT_SEEN, api)
        if recorded.passed:  # in shadow then, and no more
            return Again(Change.LOSES, recorded.reason, api)
        return Again(Change.UNKNOWN, PROOF_REFUSED, api)
    ends = WOULD_DENY if proof is None else "allowed" if APP_METHODS & check.methods else "anonymous"
    return Again(_change(recorded.passed, True), ends, api)


def _change(passed: bool, passes: bool) -> Change:
    if passed == passes:
        return Change.SAME
    return Change.GAINS if passes else Change.LOSES
