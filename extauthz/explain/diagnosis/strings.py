"""Two strings to sign side by side: where they part, with what cannot be seen made visible."""

import re
from typing import Final, NamedTuple

_LINES: Final = ("method", "Accept", "Content-MD5", "Content-Type", "Date")
_HIDDEN_LINE: Final = re.compile(rb"(?im)^((?:authorization|cookie|proxy-authorization)[ \t]*:)[^\n]+")
_HIDDEN_VALUE: Final = re.compile(rb"(?i)([?&](?:appcode|access_token|token|jwt)=)[^&\n]*")
_MASK: Final = rb"\1***"
_UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f\u00a0\u200b-\u200f\u2028\u2029\ufeff]")
LONGEST: Final = 8192
"""Bytes of a string that are shown."""


class Line(NamedTuple):
    """One line of both strings."""

    name: str
    server: str
    client: str
    same: bool


class SideBySide(NamedTuple):
    """Both strings, and the first byte in which they differ."""

    lines: tuple[Line, ...]
    at: int | None
    """Its place in the string, from 0; None: they are the same."""
    line: int
    """Its line, from 1."""
    column: int
    """Its place in the line, from 1."""
    server_byte: str
    client_byte: str


def masked(string: bytes) -> bytes:
    """A string to sign without the credentials that a client may have put into it, and cut to what can be shown."""
    return _HIDDEN_VALUE.sub(_MASK, _HIDDEN_LINE.sub(_MASK, string))[:LONGEST]


def without_credentials(message: str) -> str:
    """An error message that quotes a string to sign, without the credentials that may stand among its parameters."""
    return _HIDDEN_VALUE.sub(_MASK, message.encode()).decode()


def visible(text: bytes) -> str:
    """Text in which blanks at the edges and control characters can be seen."""
    shown = text.decode("utf-8", "backslashreplace")
    shown = _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), shown)
    inner = shown.strip(" ")
    lead = len(shown) - len(shown.lstrip(" "))
    return "␠" * lead + inner + "␠" * (len(shown) - lead - len(inner))


def side_by_side(server: bytes, client: bytes) -> SideBySide:
    """Compare two strings to sign. What is shown of them is masked; what is compared is not."""
    at = next((place for place, (a, b) in enumerate(zip(server, client, strict=False)) if a != b), None)
    if at is None and len(server) != len(client):
        at = min(len(server), len(client))
    ours, theirs = server.split(b"\n"), client.split(b"\n")
    count = max(len(ours), len(theirs))
    ours += [b""] * (count - len(ours))
    theirs += [b""] * (count - len(theirs))
    shown_ours, shown_theirs = masked(server).split(b"\n"), masked(client).split(b"\n")
    lines = []
    for number in range(count):
        shown = [visible(one[number]) if number < len(one) else "(no line)" for one in (shown_ours, shown_theirs)]
        lines.append(Line(_name(number, ours), shown[0], shown[1], ours[number] == theirs[number]))
    if at is None:
        return SideBySide(tuple(lines), None, 0, 0, "", "")
    line = server[:at].count(b"\n") + 1
    column = at - (server.rfind(b"\n", 0, at) + 1) + 1
    return SideBySide(tuple(lines), at, line, column, _byte(server, at), _byte(client, at))


def _name(number: int, server: list[bytes]) -> str:
    if number < len(_LINES):
        return _LINES[number]
    return "path" if number == len(server) - 1 else "header"


def _byte(string: bytes, at: int) -> str:
    if at >= len(string):
        return "the end"
    byte = string[at : at + 1]
    return f"0x{byte.hex()} {byte.decode()!r}" if byte.isascii() else f"0x{byte.hex()}"
