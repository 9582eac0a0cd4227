"""Request ids: one for each check, drawn from the operating system many at a time."""

import os
from typing import Final

_IDS_DRAWN: Final = 256
"""Request ids drawn from the system at a time: one call for each would cost more than the id itself."""
_VARIANT: Final = {digit: "89AB"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""The digit in which a UUID says how it is to be read (RFC 9562, section 4.1), by the digit that was drawn."""
_drawn: Final[list[str]] = []


def new_request_id() -> str:
    """A random UUID (version 4) in upper case, as the vendor's gateway gives. Nobody can foresee the next from his own.

    Any thread may call it: taking one from the list is one step, and two threads that find it empty both fill it.
    """
    try:
        digits = _drawn.pop()
    except IndexError:
        digits = _draw()
    text = f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:]}"
    return text.upper()


def _draw() -> str:
    digits = os.urandom(16 * _IDS_DRAWN).hex()
    _drawn.extend([digits[start : start + 32] for start in range(32, len(digits), 32)])
    return digits[:32]
