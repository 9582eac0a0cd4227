"""The record of a check: what the log, metrics, traces and Envoy's metadata tell of it, each fact from one place."""

import time
from typing import NamedTuple

from extauthz.domain.decision import Allow, Deny
from extauthz.domain.request import Network, Request
from extauthz.domain.snapshot import Snapshot


class Checked(NamedTuple):
    """One check that was decided. Made once, by the servicer; everybody else reads it."""

    id: str
    """Of this check: X-Ca-Request-Id of its answer."""
    at_s: float
    """When it was decided, in seconds since 1970."""
    seconds: float
    """From request bytes to answer bytes."""
    network: Network
    """By which it came, also where the request could not be read: the listener knows."""
    request: Request | None
    """None when there was none to read."""
    decision: Allow | Deny
    snapshot: Snapshot
    """That decided, whatever is in force by now."""
    revision: str
    """Of that snapshot."""
    outcome: str
    """``allow`` or ``deny``."""
    label: str
    """Of the reason."""
    api: str
    """Id; empty when none was found. So are the others."""
    stage: str
    method: str
    app: str
    would_deny: str
    """The reason for which shadow let pass what would be denied; empty for everything else."""


def checked(
    check_id: str,
    started: float,
    network: Network,
    request: Request | None,
    decision: Allow | Deny,
    snapshot: Snapshot,
    revision: str,
) -> Checked:
    """The record of a check that began at ``started``, by the performance counter, in seconds."""
    api, stage, method, app = decision.about
    would_deny = ""
    if isinstance(decision, Allow):
        outcome, label = "allow", decision.label
        if decision.would_deny is not None:
            would_deny = decision.would_deny.reason.label
            was = (
                decision.would_deny.about
            )  # what goes upstream names nobody who was not proven; the log tells who it was
            method, app = was.method or method, app or was.app
    else:
        outcome, label = "deny", decision.reason.label
    return Checked(
        check_id,
        time.time(),
        time.perf_counter() - started,
        network,
        request,
        decision,
        snapshot,
        revision,
        outcome,
        label,
        "" if api is None else api.id,
        "" if stage is None else stage.value,
        method,
        "" if app is None else app.id,
        would_deny,
    )
