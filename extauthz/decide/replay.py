"""Replay protection: a nonce or jti passes once; Envoy's own repeat of one request passes with it."""

from enum import Enum
from typing import Final, NamedTuple, Protocol

from extauthz.domain import reason
from extauthz.domain.api import ReplayOutage
from extauthz.domain.decision import Allow, Decision, Deny, OneTimeUse
from extauthz.domain.reason import ASKED_AGAIN, REPLAY_UNCHECKED, WOULD_DENY
from extauthz.later import Later

REPEAT_MS: Final = 10_000
"""How long Envoy may ask again about one stream, in milliseconds."""


class Outcome(Enum):
    """What recording a one-time value ended in."""

    FIRST = "first"
    ASKED_AGAIN = "asked again"
    USED = "used"
    FULL = "full"
    SHARE_FULL = "share full"
    UNAVAILABLE = "unavailable"


class ReplayStore(Protocol):
    """Where one-time values are recorded. ``record`` answers at once or, for a shared store, later."""

    def record(self, use: OneTimeUse, now_ms: int) -> Outcome | Later[Outcome]:
        """Record a value unless it is there already. Never raises: a fault is Outcome.UNAVAILABLE."""
        ...


class Unsettled(NamedTuple):
    """A decision that waits for what a shared store says of its one-time values."""

    decision: Decision
    uses: tuple[OneTimeUse, ...]
    """Those that are left."""
    outcome: Later[Outcome]
    """Of the first of them."""
    now_ms: int


def record_all(
    store: ReplayStore, decision: Decision, uses: tuple[OneTimeUse, ...], now_ms: int
) -> Decision | Unsettled:
    """Record what may be used once, in order; the first that was used before turns an allow into a denial."""
    for index, use in enumerate(uses):
        outcome = store.record(use, now_ms)
        if not isinstance(outcome, Outcome):
            return Unsettled(decision, uses[index:], outcome, now_ms)
        decision = settle(decision, use, outcome)
        if isinstance(decision, Deny):
            break
    return decision


def go_on(store: ReplayStore, unsettled: Unsettled, outcome: Outcome) -> Decision | Unsettled:
    """The same once the outcome of the first of those that are left is known."""
    decision = settle(unsettled.decision, unsettled.uses[0], outcome)
    return decision if isinstance(decision, Deny) else record_all(store, decision, unsettled.uses[1:], unsettled.now_ms)


def settle(decision: Decision, use: OneTimeUse, outcome: Outcome) -> Decision:
    """The decision once the outcome of recording one of its values is known. A denial stays one."""
    if isinstance(decision, Deny) or outcome is Outcome.FIRST:
        return decision
    if outcome is Outcome.ASKED_AGAIN:
        return decision._replace(label=WOULD_DENY if decision.would_deny is not None else ASKED_AGAIN)
    if outcome is Outcome.USED:
        return _used(decision, Deny(use.used, decision.about))
    api = decision.about.api
    if outcome is Outcome.UNAVAILABLE and api is not None and api.replay_outage is ReplayOutage.ALLOW:
        return decision._replace(label=WOULD_DENY if decision.would_deny is not None else REPLAY_UNCHECKED)
    if outcome is Outcome.SHARE_FULL:
        return Deny(reason.REPLAY_SHARE_FULL, decision.about, detail=f"{use.kind} of {use.holder!r}")
    refused = reason.REPLAY_STORE_FULL if outcome is Outcome.FULL else reason.REPLAY_STORE_UNAVAILABLE
    return Deny(refused, decision.about)


def _used(decision: Allow, deny: Deny) -> Decision:
    """What was used before proves nobody. In shadow it passes so; else it is a denial."""
    unproven = decision.unproven
    if unproven is None:
        return deny
    return Allow(WOULD_DENY, unproven.about, unproven.extra, would_deny=decision.would_deny or deny)
