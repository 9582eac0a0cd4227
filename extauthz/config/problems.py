"""Mistakes in a configuration, with the place where they stand and what to write instead."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

KeyPath = tuple[str | int, ...]
Report = Callable[[KeyPath, str], None]
"""Takes down what is wrong at a place of the file, or of the section in hand."""


class Warned(StrEnum):
    """What is no mistake, but its author should know: found while a file is read, judged by the lint."""

    TRACES_IN_PLAIN_TEXT = "traces-in-plain-text"
    TRACES_WITHOUT_PATH = "traces-without-path"
    REDIS_IN_PLAIN_TEXT = "redis-in-plain-text"
    GRANT_ENDED = "grant-ended"
    PREVIOUS_SECRET_ENDED = "previous-secret-ended"  # noqa: S105
    SECRET_SHORT = "secret-short"  # noqa: S105
    SECRET_INLINE = "secret-inline"  # noqa: S105
    SECRET_IN_ENVIRONMENT = "secret-in-environment"  # noqa: S105
    OPEN_ON_INTERNET = "open-on-internet"
    KEYS_LEFT_OUT = "keys-left-out"
    SHADOW_ON = "shadow-on"
    SHADOW_ENDED = "shadow-ended"


Warn = Callable[[Warned, KeyPath, str], None]
"""As ``Report``, for what is no mistake."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake, or one thing that its author should know. Its text never contains a secret."""

    file: str
    line: int
    """Counted from 1."""
    path: KeyPath
    """In the file that includes all others."""
    message: str
    warned: Warned | None = None
    """What it warns of; None: it is a mistake."""
    own_path: KeyPath | None = None
    """In an included file."""

    def __str__(self) -> str:
        place = show_path(self.path if self.own_path is None else self.own_path)
        return f"{self.file}:{self.line}: {place + ': ' if place else ''}{self.message}"


class ConfigError(Exception):
    """A configuration that cannot be used. Carries every mistake that was found."""

    def __init__(self, problems: Sequence[Problem], notes: Sequence[Problem] = ()) -> None:
        """``notes`` are no mistakes, but their author should know them."""
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)
        self.notes = tuple(notes)


def show_path(path: KeyPath) -> str:
    """``("apis", 0, "auth")`` as ``apis[0].auth``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text
