"""What the mistakes of the table make of each part of a signature, one variant after the other."""

import hmac
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from extauthz.explain.diagnosis.mistakes.draft import Case, Head, Tail
from extauthz.explain.diagnosis.mistakes.mistake import Mistake
from extauthz.explain.diagnosis.mistakes.sealing import OTHER_SECRET
from extauthz.explain.diagnosis.mistakes.table import MISTAKES

Mac = Callable[[bytes, bytes, str], bytes]
RIGHT_MAC: Final[Mac] = hmac.digest


class Made(NamedTuple):
    """A mistake that was made, and what it came to in this request."""

    mistake: Mistake
    detail: str


class Secret(NamedTuple):
    """A secret that the client may have used, and how it is called where it is not the right one."""

    value: bytes
    told: str = ""

    def __repr__(self) -> str:
        return f"Secret({self.told!r})"


Change = tuple[Made, ...]
_PLACES: Final = {mistake.name: place for place, mistake in enumerate(MISTAKES)}
_HEADS: Final = [(mistake, mistake.heads) for mistake in MISTAKES if mistake.heads is not None]
_TAILS: Final = [(mistake, mistake.tails) for mistake in MISTAKES if mistake.tails is not None]
_STRINGS: Final = [(mistake, mistake.strings) for mistake in MISTAKES if mistake.strings is not None]
_SECRETS: Final = [(mistake, mistake.secrets) for mistake in MISTAKES if mistake.secrets is not None]
_MACS: Final = [(mistake, mistake.mac) for mistake in MISTAKES if mistake.mac is not None]


def place_of(made: Made) -> int:
    """The place of a mistake in the table."""
    return _PLACES[made.mistake.name]


def _comes_after(mistake: Mistake, first: Change) -> bool:
    """Whether a pair is tried in this order, so that none is tried twice."""
    return not first or _PLACES[mistake.name] > _PLACES[first[0].mistake.name]


def changed_heads(
    heads: Iterable[tuple[Head, Change]], case: Case, most: int | None = None
) -> Iterator[tuple[Head, Change]]:
    """Each of these lines before the path, with each mistake beside those that were made. ``most``: variants of one."""
    for head, first in heads:
        for mistake, variants in _HEADS:
            if _comes_after(mistake, first):
                for changed, detail in islice(variants(head, case), most):
                    if changed != head:
                        yield changed, (*first, Made(mistake, detail))


def changed_tails(
    tails: Iterable[tuple[Tail, Change]], case: Case, most: int | None = None
) -> Iterator[tuple[Tail, Change]]:
    """The same for path and parameters."""
    for tail, first in tails:
        for mistake, variants in _TAILS:
            if _comes_after(mistake, first):
                for changed, detail in islice(variants(tail, case), most):
                    yield changed, (*first, Made(mistake, detail))


def changed_strings(strings: Iterable[tuple[bytes, Change]], case: Case) -> Iterator[tuple[bytes, Change]]:
    """The same for the string as a whole."""
    for string, first in strings:
        for mistake, variants in _STRINGS:
            for changed, detail in variants(string, case):
                if changed != string:
                    yield changed, (*first, Made(mistake, detail))


def changed_keys(secrets: Sequence[Secret], case: Case) -> list[tuple[bytes, Change]]:
    """Keys that the client may have used. The first secret is the right one."""
    keys: list[tuple[bytes, Change]] = [(secrets[0].value, ())]
    keys += [(other.value, (Made(OTHER_SECRET, other.told),)) for other in secrets[1:]]
    changed = []
    for secret, first in keys:
        for mistake, variants in _SECRETS:
            changed += [(key, (*first, Made(mistake, detail))) for key, detail in variants(secret, case)]
    twice = []
    for secret, first in changed[: len(changed) // len(keys)]:
        for mistake, variants in _SECRETS:
            if _comes_after(mistake, first):
                twice += [(key, (*first, Made(mistake, detail))) for key, detail in variants(secret, case)]
    return [*keys[1:], *changed, *twice]


def changed_macs() -> list[tuple[Mac, Change]]:
    """What clients compute in place of the HMAC."""
    return [(mac, (Made(mistake, ""),)) for mistake, mac in _MACS]
