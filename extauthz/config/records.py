"""What is recorded of checks: sampling that names real reasons, and an audit that leaves nothing out."""

from collections.abc import Callable
from pathlib import Path

from extauthz.config.problems import KeyPath
from extauthz.config.schema import ConfigFile
from extauthz.config.secrets import FromFile, SecretUnresolved, resolve
from extauthz.domain.reason import ALLOW_LABELS, CATALOGUE


def check_records(file: ConfigFile, base: Path, report: Callable[[KeyPath, str], None]) -> None:
    """Report what is wrong with `decision_log` and `tracing`. ``base`` is the folder of the configuration file."""
    log = file.decision_log
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
    if file.tracing is not None:
        for name, value in file.tracing.headers.items():
            try:
                resolve(value, base)
            except SecretUnresolved as error:
                report(("tracing", "headers", name), str(error))
