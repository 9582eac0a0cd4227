"""Comparing our string to sign with the one that a server echoed, to say where they part."""

from typing import Final

_PREFIX: Final = "Server StringToSign:`"
_PARTS: Final = ("the method", "Accept", "Content-MD5", "Content-Type", "Date")


def compare_strings(ours: str, error_message: str) -> str:
    """What differs, in words, when the message echoes a server's string to sign; empty otherwise.

    The echo writes ``#`` for line feeds (vendor doc 43799), so a value that contains ``#`` may be split in two.
    """
    _, found, rest = error_message.partition(_PREFIX)
    if not found:
        return ""
    theirs = rest.removesuffix("`")
    echoed = ours.replace("\n", "#")
    if theirs == echoed:
        return "The server built the same string to sign, so the AppSecret differs (or the algorithm)."
    for number, (mine, other) in enumerate(zip(echoed.split("#"), theirs.split("#"), strict=False)):
        if mine != other:
            part = _PARTS[number] if number < len(_PARTS) else f"line {number + 1}"
            return f"The strings to sign part at {part}:\n  signed here: {mine}\n  the server:  {other}"
    return f"The strings to sign differ in length:\n  signed here: {echoed}\n  the server:  {theirs}"
