"""Names of parameters and cookies that some reader takes for another name.

We read a token under one exact name. A backend may drop blanks and quotes around a name (most cookie parsers), ignore
its letter case (ASP.NET), read ``a.b`` and ``a b`` as ``a_b`` and ``a[0]`` as ``a`` (PHP, Rails), end it at a NUL, or
decode it once more. What it could take for our name is never passed over as "something else".
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from extauthz.domain.request import Pair

MISSPELLED: Final = b"\0"
"""Stands, in a list of credentials, for what came under a look-alike of the name. No credential is equal to it."""
_AS_PHP: Final = bytes.maketrans(b". ", b"__")
_AS_PHP_WITH_BRACKET: Final = bytes.maketrans(b". [", b"___")
_AROUND: Final = bytes(range(33)) + b"\"'`\x7f"
_UNICODE_ESCAPE: Final = re.compile(rb"%u00([0-9A-Fa-f]{2})")
_PERCENT: Final = ord(b"%")
_CACHEABLE: Final = 64


def values_of(pairs: Iterable[Pair], wanted: bytes, *, any_case: bool = False) -> list[bytes]:
    """Values under a name, in lower case when ``any_case`` is right; MISSPELLED for each under a look-alike of it.

    Empty values under look-alikes are nothing.
    """
    plain = plain_name(wanted)
    names = b"\0".join([name for name, _ in pairs])
    # Whatever a reader does to a name, but for decoding it, leaves ours standing in it.
    if _PERCENT not in names and plain not in names.translate(_AS_PHP_WITH_BRACKET).lower():
        return []
    found = []
    for name, value in pairs:
        if name == wanted or (any_case and name.lower() == wanted):
            found.append(value)
        elif value and plain_name(name) == plain:
            found.append(MISSPELLED)
    return found


def plain_name(name: bytes) -> bytes:
    """One form for all names that some reader takes for each other."""
    # Requests repeat the same few names. Long ones stay out of the cache, which strangers can fill.
    return _plain_name_cached(name) if len(name) <= _CACHEABLE else _plain_name(name)


def _plain_name(name: bytes) -> bytes:
    if _PERCENT in name:
        name = unquote_to_bytes(_UNICODE_ESCAPE.sub(rb"%\1", name))
    if not name.isascii():  # no-break and zero-width blanks
        name = name.decode("utf-8", "replace").strip().strip("\ufeff\u200b").encode()
    name = name.partition(b"\0")[0].strip(_AROUND)
    head, bracket, tail = name.partition(b"[")
    if bracket and head:
        name = head if b"]" in tail else head + b"_" + tail
    return name.translate(_AS_PHP).lower()


_plain_name_cached = lru_cache(maxsize=4096)(_plain_name)
