"""What is told of a step: the tests that it made, the values that were compared, and how each ended."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from extauthz.domain.decision import Refusal
from extauthz.domain.reason import Reason
from extauthz.explain.reading.unreadable import UnreadableRequest
from extauthz.explain.way import Way


class Verdict(StrEnum):
    """How a test or a step ended."""

    PASSED = "passed"
    REFUSED = "refused"
    NOT_REACHED = "not reached"
    NOTED = "noted"
    """Nothing was tested; it is told because later tests look at it."""


class Fact(NamedTuple):
    """One test of a step."""

    test: str
    compared: str
    """The values, for people. Never a secret, an AppCode or a token."""
    verdict: Verdict = Verdict.NOTED


class Row(NamedTuple):
    """A test that a method makes: by which reasons it refuses, and what it compares."""

    test: str
    reasons: tuple[Reason, ...]
    compared: Callable[[Way], str]


def told_of(rows: Sequence[Row], way: Way, refusal: Refusal | None) -> list[Fact]:
    """The tests of a method, in the order in which it makes them, as far as it came."""
    if refusal is None:
        return [Fact(test, compared(way), Verdict.PASSED) for test, _, compared in rows]
    at = next((place for place, row in enumerate(rows) if refusal.reason in row.reasons), None)
    if at is None:  # it is not known how far the method came
        return [Fact(test, "") for test, _, _ in rows]
    facts = [Fact(test, compared(way), Verdict.PASSED) for test, _, compared in rows[:at]]
    for place, (test, _, compared) in enumerate(rows[at:]):
        facts.append(Fact(test, compared(way) if place == 0 else "", Verdict.NOT_REACHED if place else Verdict.REFUSED))
    return facts


def moment(ms: int) -> str:
    """A time in milliseconds since 1970, for people."""
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds")
    except OverflowError:
        return f"{ms} ms"


def parse_moment(written: str) -> int:
    """A time that a person wrote, in milliseconds since 1970: ISO 8601, UTC unless it says other, or a number of them.

    Raises UnreadableRequest.
    """
    if written.isdigit():
        return int(written)
    try:
        at = datetime.fromisoformat(written)
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise UnreadableRequest(f"{written!r} is no time; write 2027-01-31T12:00:00Z, or milliseconds") from None


def span(ms: int) -> str:
    """A span of time, for people."""
    seconds = abs(ms) / 1000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.3f} s"


def text(value: bytes) -> str:
    """A header value as text; what is not UTF-8 is escaped."""
    return value.decode("utf-8", "backslashreplace")
