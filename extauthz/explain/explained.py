"""One check explained: its way, its outcome, what was wrong with the request; for people and, as JSON, for machines."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from extauthz.auth.string_to_sign import StringToSign, signed_names
from extauthz.client.comparison import compare_strings
from extauthz.domain import reason
from extauthz.domain.decision import Allow, Decision, Deny
from extauthz.domain.header_names import X_CA_SIGNATURE_HEADERS, X_CA_TIMESTAMP, as_written
from extauthz.domain.request import Network, Request
from extauthz.domain.snapshot import Snapshot
from extauthz.explain.diagnosis.diagnose import KeysOf, diagnose, no_keys
from extauthz.explain.diagnosis.finding import Diagnosis
from extauthz.explain.diagnosis.strings import SideBySide, side_by_side, visible, without_credentials
from extauthz.explain.fact import moment
from extauthz.explain.steps import Told, told_steps
from extauthz.explain.way import Way, walk
from extauthz.observe.capture.folder import Captured
from extauthz.wire.asking import written_by_envoy


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be explained."""

    question: bytes
    """The serialized CheckRequest."""
    network: Network | None = None
    """Of the listener, where it states one."""
    client_string: bytes | None = None
    """The string that the client says it signed."""
    error_message: str = ""
    """The X-Ca-Error-Message that the caller got."""
    captured: str = ""
    """What is known of it where it was captured; empty where it is made up anew."""


class Explained(NamedTuple):
    """A check, explained."""

    way: Way
    steps: tuple[Told, ...]
    diagnosis: Diagnosis | None
    notes: tuple[str, ...]
    """What the reader should know besides."""

    @property
    def strings(self) -> SideBySide | None:
        """Both strings to sign, where both are known."""
        diagnosis = self.diagnosis
        if diagnosis is None or not diagnosis.client_string:
            return None
        return side_by_side(diagnosis.server_string, diagnosis.client_string)


def explain(asked: Asked, snapshot: Snapshot, now_ms: int, keys_of: KeysOf = no_keys) -> Explained:
    """Explain one check under a snapshot at a time in milliseconds since 1970.

    ``keys_of`` knows key pairs of an app that the snapshot cannot list.
    """
    way = walk(asked.question, snapshot, asked.network, now_ms)
    diagnosis = None
    if way.denied is not None and way.request is not None:
        diagnosis = diagnose(way.request, way.denied, snapshot, now_ms, asked.client_string, keys_of)
    return Explained(way, tuple(told_steps(way, asked.network)), diagnosis, tuple(_notes(asked, way, snapshot)))


def _notes(asked: Asked, way: Way, snapshot: Snapshot) -> list[str]:
    request = way.request
    if request is None:
        return []
    notes = [asked.captured] if asked.captured else []
    if way.denied is not None and way.denied is not way.decision:
        notes.append("It is in shadow: it passes, and is counted and logged as what would be denied.")
    if way.denied is not None and way.denied.reason is reason.TIMESTAMP_EXPIRED:
        notes += _at_its_own_time(asked, request, snapshot)
    names = signed_names(request.headers.get(X_CA_SIGNATURE_HEADERS, b""))
    if way.denied is None and way.about.method.startswith("digest"):
        changed = written_by_envoy(frozenset(name.lower for name in names or ()))
        notes += [
            f"{as_written(name)} is signed, and Envoy writes it: through Envoy this may fail." for name in changed
        ]
    if asked.error_message and names is not None:
        ours = StringToSign(request, names).primary().decode("utf-8", "replace")
        told = compare_strings(ours, asked.error_message)
        if told.startswith("The strings"):
            notes.append(f"The service was asked about another request than this one. {told}")
        elif told:
            notes.append("The service was asked about this very request: nothing on the way changed what is signed.")
    return notes


def _at_its_own_time(asked: Asked, request: Request, snapshot: Snapshot) -> list[str]:
    stated = request.headers.get(X_CA_TIMESTAMP, b"").strip()
    if not stated.isdigit() or len(stated) > 15:
        return []
    then_ms = int(stated)
    outcome = outcome_of(walk(asked.question, snapshot, asked.network, then_ms).decision)
    return [f"At its own time, {moment(then_ms)}, it ends in: {outcome} (--at {then_ms})."]


def told_of_captured(kept: Captured) -> str:
    """What is known of a check that was kept."""
    hidden = f" Left out when it was kept: {', '.join(kept.hidden)}." if kept.hidden else ""
    told = f"Kept at {moment(kept.at_ms)}, when revision {kept.revision} denied it with {kept.reason}."
    return f"{told} It is decided here by the configuration as it is now.{hidden}"


def outcome_of(decision: Decision) -> str:
    """A decision in three words."""
    if isinstance(decision, Allow):
        would_deny = decision.would_deny
        return f"allow, {decision.label}" + ("" if would_deny is None else f" ({would_deny.reason.label})")
    return f"deny, {decision.reason.label}"


def advice_of(decision: Decision) -> str:
    """What an operator should look at; empty for an allow."""
    denied = decision if isinstance(decision, Deny) else decision.would_deny
    return "" if denied is None else denied.reason.advice


def differences(one: Explained, other: Explained) -> list[tuple[str, str, str]]:
    """The steps that differ under two configurations: name, and what each has that the other has not."""
    found = []
    for mine, theirs in zip(one.steps, other.steps, strict=True):
        if mine != theirs:
            ours, others = _lines(mine), _lines(theirs)
            only = [line for line in ours if line not in others], [line for line in others if line not in ours]
            found.append((mine.step, "; ".join(only[0]), "; ".join(only[1])))
    return found


def _lines(step: Told) -> list[str]:
    verdict = f"{step.verdict}: {step.refused_for}" if step.refused_for else step.verdict.value
    return [verdict, *(f"{fact.test}: {fact.compared}" for fact in step.facts if fact.compared)]


def as_dict(explained: Explained) -> dict[str, Any]:
    """For machines: plain values only."""
    way, request = explained.way, explained.way.request
    about = way.about
    return {
        "outcome": "allow" if isinstance(way.decision, Allow) else "deny",
        "reason": way.checked.label,
        "would_deny": way.checked.would_deny,
        "advice": advice_of(way.decision),
        "at": moment(way.now_ms),
        "revision": way.checked.revision,
        "network": way.checked.network.value,
        "api": way.checked.api,
        "stage": way.checked.stage,
        "method": about.method,
        "app": way.checked.app,
        "request": None if request is None else {"method": request.method, "host": request.host, "path": request.path},
        "answer": {
            "status": way.answered.status,
            "headers": [[name, without_credentials(value)] for name, value in way.answered.set_headers],
            "removed": list(way.answered.removed),
        },
        "steps": [
            {
                "step": step.step,
                "verdict": step.verdict.value,
                "refused_for": step.refused_for,
                "tests": [{"test": f.test, "compared": f.compared, "verdict": f.verdict.value} for f in step.facts],
            }
            for step in explained.steps
        ],
        "notes": list(explained.notes),
        "diagnosis": _diagnosis_as_dict(explained),
    }


def _diagnosis_as_dict(explained: Explained) -> dict[str, Any] | None:
    diagnosis, strings = explained.diagnosis, explained.strings
    if diagnosis is None:
        return None
    return {
        "explanations": [
            [finding._asdict() | {"languages": dict(finding.languages)} for finding in explanation]
            for explanation in diagnosis.explanations
        ],
        "proved": diagnosis.proved,
        "certain": diagnosis.certain,
        "suspicions": [visible(text.encode()) for text in diagnosis.suspicions],
        "signatures_tried": diagnosis.tried,
        "milliseconds": round(diagnosis.seconds * 1000, 1),
        "cut": diagnosis.cut,
        "strings": None
        if strings is None
        else {
            "first_difference": None
            if strings.at is None
            else {
                "byte": strings.at,
                "line": strings.line,
                "column": strings.column,
                "server": strings.server_byte,
                "client": strings.client_byte,
            },
            "lines": [line._asdict() for line in strings.lines],
        },
    }
