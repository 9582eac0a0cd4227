"""What is found while a file is built: mistakes and notes, each at its place in the YAML file."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from heapq import nsmallest
from typing import Final, Protocol, TypeVar

from extauthz.config.problems import KeyPath, Problem, Report, Warn, Warned
from extauthz.config.source import Source

_NAMED: Final = 8
"""How many of the known names an error lists."""


class _WithId(Protocol):
    @property
    def id(self) -> str: ...


Entry = TypeVar("Entry")
Named = TypeVar("Named", bound=_WithId)


@dataclass(frozen=True, slots=True)
class Line:
    """A place in the YAML file, for an error message; it is looked up only when it is told."""

    source: Source
    path: KeyPath

    def __str__(self) -> str:
        place = self.source.problem(self.path, "")
        return f"line {place.line}" + (f" of {place.file}" if place.file != str(self.source.file) else "")


class Findings:
    """Collects mistakes and notes, and knows which entries were left out because of a mistake."""

    def __init__(
        self, source: Source, position: Callable[[str, int], int], left_out: Iterable[tuple[str, str]]
    ) -> None:
        """``position`` leads from an entry's place among the valid ones of a section to its place in the YAML file.

        ``left_out`` are section and id of the entries that are missing since their shape is wrong.
        """
        self.problems: list[Problem] = []
        self.notes: list[Problem] = []
        self._source = source
        self._position = position
        self._left_out = set(left_out)

    def report(self, path: KeyPath, message: str) -> None:
        """Take down a mistake."""
        self.problems.append(self._source.problem(path, message))

    def note(self, what: Warned, path: KeyPath, message: str) -> None:
        """Take down what is no mistake, but its author should know."""
        self.notes.append(replace(self._source.problem(path, message), warned=what))

    def reporter(self, *prefix: str | int) -> Report:
        """``report`` for the section at ``prefix``."""
        return lambda path, message: self.report((*prefix, *path), message)

    def noter(self, *prefix: str | int) -> Warn:
        """``note`` for the section at ``prefix``."""
        return lambda what, path, message: self.note(what, (*prefix, *path), message)

    def line(self, path: KeyPath) -> "Line":
        """Where a key path stands in the file."""
        return Line(self._source, path)

    def placed(self, section: str, entries: Iterable[Entry]) -> Iterator[tuple[int, Entry]]:
        """The entries of a section, each with its place in the YAML file."""
        for position, entry in enumerate(entries):
            yield self._position(section, position), entry

    def unique(self, section: str, entries: Iterable[Named]) -> Iterator[tuple[int, Named]]:
        """As ``placed``, without those whose id is taken by one before them, which is reported."""
        first: dict[str, Line] = {}
        for index, entry in self.placed(section, entries):
            if entry.id in first:
                self.report_taken((section, index, "id"), entry.id, first[entry.id])
                continue
            first[entry.id] = self.line((section, index))
            yield index, entry

    def report_taken(self, path: KeyPath, taken: str, by: object) -> None:
        """Report an id that another entry has; ``by`` says which, as text."""
        self.report(path, f"id `{taken}` is taken by {by}; give this one another id")

    def leave_out(self, section: str, entry_id: str) -> None:
        """Remember an entry that has mistakes of its own, so that references to it are not reported too."""
        self._left_out.add((section, entry_id))

    def is_left_out(self, section: str, entry_id: str) -> bool:
        """Whether an entry exists in the file and was left out because of a mistake."""
        return (section, entry_id) in self._left_out

    def missing(self, section: str, wanted: str, known: Iterable[str], path: KeyPath, what: str) -> None:
        """Report a reference to an entry that does not exist, unless it was left out. ``what`` is its word."""
        if self.is_left_out(section, wanted):
            return
        some = nsmallest(_NAMED + 1, known)
        names = ", ".join(some[:_NAMED]) + (", ..." if len(some) > _NAMED else "") if some else "none"
        close = get_close_matches(wanted, some, n=1)
        hint = f"did you mean `{close[0]}`? Known" if close else "known"
        self.report(path, f"{what} `{wanted}` does not exist; {hint}: {names}")
