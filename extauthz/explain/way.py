"""The way of one check: decided by the servicer itself, and step by step with a recorder around the very steps."""

from typing import Final, NamedTuple

from extauthz.decide.pipeline import STEPS, Entry, decide_recorded
from extauthz.domain.decision import Allow, Decision, Deny, Subject
from extauthz.domain.request import Network, Request
from extauthz.domain.snapshot import Snapshot
from extauthz.replay.memory import MemoryReplayStore
from extauthz.wire.asking import Answered, read_answer
from extauthz.wire.checked import Checked
from extauthz.wire.servicer import Servicer

_ONE_CHECK: Final = 16
"""Room for the one-time values of one check."""


class Way(NamedTuple):
    """How a check went."""

    checked: Checked
    answered: Answered
    entries: tuple[Entry, ...]
    """Of each step that ran."""
    now_ms: int
    """The time at which it was decided, in milliseconds since 1970."""

    @property
    def request(self) -> Request | None:
        """None where the question could not be read."""
        return self.checked.request

    @property
    def decision(self) -> Decision:
        """What it ended in."""
        return self.checked.decision

    @property
    def denied(self) -> Deny | None:
        """The denial; also what would be one, were it not in shadow."""
        decision = self.decision
        return decision if isinstance(decision, Deny) else decision.would_deny

    @property
    def about(self) -> Subject:
        """Whom and what the check was about when it was refused, or else when it ended."""
        denied = self.denied
        return self.decision.about if denied is None else denied.about

    @property
    def not_reached(self) -> tuple[str, ...]:
        """The names of the steps that did not run."""
        return tuple(step.name for step in STEPS[len(self.entries) :])


class _Kept:
    """A recorder that keeps what it is told."""

    def __init__(self) -> None:
        self.records: list[Checked] = []

    def record(self, checked: Checked) -> bool:
        self.records.append(checked)
        return True


def walk(question: bytes, snapshot: Snapshot, binding: Network | None, now_ms: int) -> Way:
    """Decide about a serialized CheckRequest as a service would that has seen no nonce yet.

    ``binding`` is the network of the listener, where it states one. ``now_ms`` is in milliseconds since 1970.
    """
    kept = _Kept()
    servicer = Servicer(snapshot, MemoryReplayStore(_ONE_CHECK, share=1), kept, lambda: now_ms)
    answer = servicer.check(question, binding)
    if not isinstance(answer, bytes):
        raise TypeError("a store in memory answers at once")
    (checked,) = kept.records
    entries: list[Entry] = []
    if checked.request is not None:
        recorded = decide_recorded(checked.request, snapshot, now_ms, entries.append)
        if isinstance(recorded, Allow) is not isinstance(checked.decision, Allow):
            raise RuntimeError("the recorded steps and the servicer ended differently")
    return Way(checked, read_answer(answer), tuple(entries), now_ms)
