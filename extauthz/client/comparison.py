"""Comparing our string to sign with the one that a server echoed, to say where they part."""

from typing import Final

_PREFIX: Final = "Server StringToSign:`"
_MASK: Final = "***"
_PARTS: Final = ("the method", "Accept", "Content-MD5", "Content-Type", "Date")


def compare_strings(ours: str, error_message: str) -> str:
    """What differs, in words, when the message echoes a server's string to sign; empty otherwise.

    The echo writes ``#`` for line feeds (vendor doc 43799), so a value that contains ``#`` may be split in two. Of
    signed headers other than ``X-Ca-*`` it shows ``***`` for the value.
    """
    _, found, rest = error_message.partition(_PREFIX)
    if not found:
        return ""
    theirs = rest.removesuffix("`")
    echoed = ours.replace("\n", "#")
    pairs = list(zip(echoed.split("#"), theirs.split("#"), strict=False))
    same_length = echoed.count("#") == theirs.count("#")
    if same_length and all(_shows_same(mine, other) for mine, other in pairs):
        hidden = ", ".join(mine.partition(":")[0] for mine, other in pairs if mine != other)
        also = f", or the value of a header that the echo does not show: {hidden}" if hidden else ""
        return f"The server built the same string to sign, so the AppSecret differs (or the algorithm{also})."
    for number, (mine, other) in enumerate(pairs):
        if not _shows_same(mine, other):
            part = _PARTS[number] if number < len(_PARTS) else f"line {number + 1}"
            return f"The strings to sign part at {part}:\n  signed here: {mine}\n  the server:  {other}"
    return f"The strings to sign differ in length:\n  signed here: {echoed}\n  the server:  {theirs}"


def _shows_same(mine: str, other: str) -> bool:
    name, colon, value = mine.partition(":")
    return mine == other or (bool(colon and value) and other == f"{name}:{_MASK}")
