"""What a diagnosis says: mistakes with their cures, how sure it is, and what it saw besides."""

from collections.abc import Mapping
from typing import NamedTuple

from extauthz.explain.diagnosis.changes import Change
from extauthz.explain.diagnosis.mistakes.mistake import NO_LANGUAGES


class Finding(NamedTuple):
    """One mistake in one request."""

    name: str
    wrong: str
    """What the client does, as a sentence."""
    cure: str
    """What to change, as a sentence."""
    detail: str = ""
    """What it came to in this request."""
    languages: Mapping[str, str] = NO_LANGUAGES
    """The cure in words of a language or library."""


class Diagnosis(NamedTuple):
    """What is wrong with a request."""

    explanations: tuple[tuple[Finding, ...], ...] = ()
    """Each explains the denial completely; where there are several, this request cannot tell them apart."""
    proved: bool = False
    """Whether a signature or a hash matches once the mistakes are made: nothing else can have been signed."""
    certain: bool = False
    """Whether it is proved, and by no other mistake that is known."""
    suspicions: tuple[str, ...] = ()
    """What may be the cause, and cannot be proved from the request."""
    server_string: bytes = b""
    """The string to sign as the service builds it; empty where that is not the matter."""
    client_string: bytes = b""
    """The string that the client signed, as it was given or found; empty where it is not known."""
    tried: int = 0
    """Signatures that were computed."""
    seconds: float = 0.0
    """Of processor time."""
    cut: bool = False
    """Whether the time was up before everything was tried."""


def findings_of(change: Change) -> tuple[Finding, ...]:
    """The mistakes of a search, as findings."""
    return tuple(
        Finding(mistake.name, mistake.wrong, mistake.cure, detail, mistake.languages) for mistake, detail in change
    )
