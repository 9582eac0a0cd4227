"""Text that does not say what it seems to: white space at its ends, and characters that nobody sees."""

from typing import Any, Final

from extauthz.config.problems import KeyPath

_BYTE_ORDER_MARK: Final = "\ufeff"


def stray(text: str) -> str:
    """What is wrong with a piece of text, and the cure; empty when nothing is. Never quotes it: it may be a secret."""
    if text.isprintable():
        return "begins or ends with white space; remove it" if text != text.strip() else ""
    if text.startswith(_BYTE_ORDER_MARK):
        return "begins with a byte order mark (U+FEFF), which an editor put there; remove it"
    first = next(character for character in text if not character.isprintable())
    if first in "\r\n":
        return "holds a line break; write it on one line (a block that begins with `|` ends with one)"
    return f"holds the invisible character U+{ord(first):04X}; remove it"


def find_stray(data: Any) -> list[tuple[KeyPath, str]]:
    """Every key and value of a file's data that is text with something stray in it: its place, and what is wrong."""
    found: list[tuple[KeyPath, str]] = []
    _search(data, [], found)
    return found


def _search(node: Any, path: list[str | int], found: list[tuple[KeyPath, str]]) -> None:
    if isinstance(node, str):
        if not node.isprintable() or node[:1] == " " or node[-1:] == " ":
            found.append((tuple(path), stray(node)))
    elif isinstance(node, dict):
        for key, value in node.items():
            path.append(key)
            if isinstance(key, str) and (fault := stray(key)):
                found.append((tuple(path), f"the key {fault}"))
            _search(value, path, found)
            path.pop()
    elif isinstance(node, list):
        for index, item in enumerate(node):
            path.append(index)
            _search(item, path, found)
            path.pop()
