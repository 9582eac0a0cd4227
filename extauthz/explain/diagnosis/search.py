"""Trying the known mistakes, singly and in pairs, until one makes the signature match. Bounded in time.

A match is a proof: nobody can make an HMAC match by another string or another key. What it does not prove is which of
two mistakes it was that come to the same string for this request; all of them are named then.
"""

import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final, NamedTuple

from extauthz.auth.parameters import decode_escapes
from extauthz.domain.app import HMAC_SHA1
from extauthz.explain.diagnosis.changes import (
    RIGHT_MAC,
    Change,
    Mac,
    Made,
    Secret,
    changed_heads,
    changed_keys,
    changed_macs,
    changed_strings,
    changed_tails,
    place_of,
)
from extauthz.explain.diagnosis.mistakes.draft import Case, Head, Tail, query_first
from extauthz.explain.diagnosis.mistakes.sealing import OTHER_HASH, from_base64
from extauthz.explain.diagnosis.mistakes.table import MISTAKES

BUDGET_S: Final = 0.05
"""Seconds of processor time that one search may take."""
_USUAL: Final = 12
"""Variants of a mistake that are tried together with another mistake, the usual ones first."""
_USUAL_TWICE: Final = 5
"""The same where both mistakes are in the lines before the path, of which there are most."""
_LOOK_AT_CLOCK: Final = 32
"""Tries between two looks at the clock; each takes microseconds, but for strings of more than _LONG bytes."""
_LONG: Final = 8192
_HASHES: Final = {16: "md5", 20: "sha1", 32: "sha256", 48: "sha384", 64: "sha512"}
"""By the length of what an HMAC gives."""


class Search(NamedTuple):
    """What came of a search."""

    found: tuple[Change, ...]
    """Each explains the signature completely; several where this request cannot tell them apart. Empty: none does."""
    string: bytes
    """The string that was signed; empty when nothing was found."""
    tried: int
    """Signatures that were computed."""
    seconds: float
    """Of processor time."""
    cut: bool
    """Whether the time was up before everything was tried."""

    @property
    def certain(self) -> bool:
        """Whether it was this mistake and no other that is known."""
        return len(self.found) == 1 and not self.cut


def search(case: Case, signature: bytes, method: str, secrets: Sequence[Secret], budget_s: float = BUDGET_S) -> Search:
    """Look for the mistake. ``method`` is the algorithm that the request states; the first secret is the right one."""
    return _Searching(case, signature, method, secrets, budget_s).run()


class _OutOfTime(Exception):
    pass


class _Searching:
    def __init__(self, case: Case, signature: bytes, method: str, secrets: Sequence[Secret], budget_s: float) -> None:
        self._case = case
        self._secrets = secrets
        self._secret = secrets[0].value
        self._began_s = time.thread_time()
        self._until_s = self._began_s + budget_s
        self._tried = 0
        self._found: dict[tuple[str, ...], tuple[Change, bytes]] = {}
        self._wanted = list(_wanted(signature.strip(), "sha1" if method == HMAC_SHA1 else "sha256").items())

    def run(self) -> Search:
        cut = False
        try:
            if self._wanted and not self._is_right():
                self._singles()
                if not self._found:
                    self._pairs()
        except _OutOfTime:
            cut = True
        found = sorted(self._found.values(), key=lambda one: (len(one[0]), [place_of(made) for made in one[0]]))
        string = found[0][1] if found else b""
        seconds = time.thread_time() - self._began_s
        return Search(tuple(change for change, _ in found), string, self._tried, seconds, cut)

    def _is_right(self) -> bool:
        """Whether there is nothing to look for."""
        string = self._case.head.text() + self._case.tail.text()
        return any(wanted.get(RIGHT_MAC(self._secret, string, name)) == () for name, wanted in self._wanted)

    def _singles(self) -> None:
        """No mistake but that of spelling, and each mistake alone, with every reading of the request."""
        heads, tails = _readings_of_head(self._case), _readings_of_tail(self._case)
        strings = [head.text() + tail.text() for head in heads for tail in tails]
        for string in strings:
            self._try(string, ())  # what is wrong may be the spelling of the signature alone
        for tail, change in changed_tails([(tail, ()) for tail in tails], self._case):
            after = tail.text()
            for head in heads:
                self._try(head.text() + after, change)
        for head, change in changed_heads([(head, ()) for head in heads], self._case):
            before = head.text()
            for tail in tails:
                self._try(before + tail.text(), change)
        keys, macs = changed_keys(self._secrets, self._case), changed_macs()
        for string in strings:
            self._try_sealed(string, (), [one for one in keys if len(one[1]) == 1], macs)

    def _pairs(self) -> None:
        """Two mistakes, the likelier kinds of pairs first."""
        case = self._case
        head_text, tail_text = case.head.text(), case.tail.text()
        tails = list(changed_tails([(case.tail, ())], case, _USUAL))
        heads = self._texts(changed_heads([(case.head, ())], case, _USUAL))
        ends = self._texts(tails)
        for before, first in heads:
            for after, second in ends:
                self._try(before + after, first + second)
        for tail, change in changed_tails(tails, case, _USUAL):
            self._try(head_text + tail.text(), change)
        keys, macs = changed_keys(self._secrets, case), changed_macs()
        single_keys = [one for one in keys if len(one[1]) == 1]
        self._try_sealed(head_text + tail_text, (), [one for one in keys if len(one[1]) == 2], ())
        for mac, second in macs:
            for key, first in single_keys:
                self._try(head_text + tail_text, first + second, key, mac)
        for string, change in changed_strings([(head_text + tail_text, ())], case):
            self._try_sealed(string, change, single_keys, macs)
        for text, change in ends:
            self._try_sealed(head_text + text, change, single_keys, macs)
        for text, change in heads:
            self._try_sealed(text + tail_text, change, single_keys, macs)
        some_heads = changed_heads([(case.head, ())], case, _USUAL_TWICE)
        for head, change in changed_heads(some_heads, case, _USUAL_TWICE):
            self._try(head.text() + tail_text, change)

    def _try_sealed(
        self, string: bytes, change: Change, keys: Sequence[tuple[bytes, Change]], macs: Sequence[tuple[Mac, Change]]
    ) -> None:
        """Try a string that was changed as a whole, signed with another key, or by something else than the HMAC."""
        for changed, both in changed_strings([(string, change)], self._case):
            self._try(changed, both)
        for key, second in keys:
            self._try(string, change + second, key)
        for mac, second in macs:
            self._try(string, change + second, None, mac)

    def _texts(self, parts: Iterable[tuple[Head | Tail, Change]]) -> list[tuple[bytes, Change]]:
        texts = []
        for part, change in parts:
            texts.append((part.text(), change))
            self._look_at_clock()
        return texts

    def _look_at_clock(self) -> None:
        if time.thread_time() > self._until_s:
            raise _OutOfTime

    def _try(self, string: bytes, change: Change, key: bytes | None = None, mac: Mac = RIGHT_MAC) -> None:
        self._tried += 1
        if self._tried % _LOOK_AT_CLOCK == 0 or len(string) > _LONG:
            self._look_at_clock()
        for name, wanted in self._wanted:
            spelled = wanted.get(mac(self._secret if key is None else key, string, name))
            if spelled is not None and (change or spelled):
                every = change + spelled
                self._found.setdefault(tuple(sorted(made.mistake.name for made in every)), (every, string))


def _wanted(sent: bytes, stated: str) -> dict[str, dict[bytes, Change]]:
    """By the name of the hash, what the HMAC must come to, and which mistakes of spelling it shows."""
    spelled: list[tuple[bytes, Change]] = [(raw, ()) for raw in from_base64(sent)]
    for mistake in MISTAKES:
        if mistake.spellings is not None:
            spelled += [(raw, (Made(mistake, ""),)) for raw in islice(mistake.spellings(sent), 1)]
    wanted: dict[str, dict[bytes, Change]] = {}
    for raw, change in spelled:
        name = _HASHES.get(len(raw))
        if name is not None:
            other = () if name == stated else (Made(OTHER_HASH, f"{name} in place of {stated}"),)
            wanted.setdefault(name, {}).setdefault(raw, change + other)
    return wanted


def _readings_of_head(case: Case) -> list[Head]:
    """The lines as they came, and with the first value of each header that came more than once."""
    firsts = case.request.firsts
    headers = tuple((name, firsts.get(name.decode().lower(), value)) for name, value in case.head.headers)
    other = case.head._replace(headers=headers)
    return [case.head] if other == case.head else [case.head, other]


def _readings_of_tail(case: Case) -> list[Tail]:
    """The readings that the service takes, too: the path as sent or decoded, the form's value or the query's."""
    tails = [case.tail]
    plain = decode_escapes(case.tail.path)
    if plain != case.tail.path:
        tails.append(case.tail._replace(path=plain))
    if case.tail.query and case.tail.form:
        tails += [tail._replace(unite=query_first) for tail in tails]
    return tails
