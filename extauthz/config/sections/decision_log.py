"""``decision_log``: where decisions are written; sampling that names real reasons, an audit that leaves nothing out."""

from typing import Annotated, Literal

from pydantic import Field

from extauthz.config.names import Section, Share
from extauthz.config.problems import KeyPath, Report
from extauthz.config.secrets import FromFile
from extauthz.domain.reason import ALLOW_LABELS, CATALOGUE


class Rotate(Section):
    """When a log file is set aside. Without it, do so with logrotate: a file that was moved away is noticed.

    ```yaml
    max_mebibytes: 100
    keep: 5
    ```
    """

    max_mebibytes: Annotated[int, Field(ge=1, le=1_048_576)] = Field(description="past it FILE becomes FILE.1")
    keep: Annotated[int, Field(ge=1, le=1000)] = Field(5, description="files set aside; the oldest is removed")


class DecisionLog(Section):
    """One JSON line a decision, never with a credential in it.

    ```yaml
    destination: {file: decisions.jsonl}
    rotate: {max_mebibytes: 100, keep: 5}
    audit: best_effort
    sample_allowed: 0.1
    sample_denied: 1
    sample_reasons: {nonce_used: 1}
    capacity: 10000
    ```
    """

    destination: Literal["stdout", "none"] | FromFile = Field("stdout", description="stdout, none, or {file: PATH}")
    rotate: Rotate | None = Field(None, description="when a file is set aside; without it, logrotate does that")
    audit: Literal["best_effort", "required"] = Field(
        "best_effort", description="required: no record, no answer; while the log cannot be written, checks get 503"
    )
    sample_allowed: Share = Field(1.0, description="share of allowed checks logged")
    sample_denied: Share = Field(1.0, description="share of denied checks logged")
    sample_reasons: dict[str, Share] = Field(default_factory=dict, description="share by reason, before the other two")
    capacity: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        10_000,
        description="decisions waiting; past it they are dropped and counted, or refused where audit is required",
    )


def check_decision_log(log: DecisionLog, report: Report) -> None:
    """Report what is wrong with `decision_log`."""
    for label in log.sample_reasons:
        if label not in CATALOGUE and label not in ALLOW_LABELS:
            report(("decision_log", "sample_reasons", label), "is not a known reason; `extauthz reasons` lists them")
    if log.rotate is not None and not isinstance(log.destination, FromFile):
        report(("decision_log", "rotate"), "only a file can be rotated; write `destination: {file: PATH}`")
    if log.audit == "required":
        path: KeyPath = ("decision_log", "audit")
        if log.destination == "none":
            report(path, "a required audit needs a log; name a `destination`")
        if min(log.sample_allowed, log.sample_denied, *log.sample_reasons.values()) < 1:
            report(path, "a required audit records every decision; take the sampling out, or say `best_effort`")
