"""Paths of APIs with ``lenient_path_parameters``: what vendor SDKs put into a path parameter, and no path hidden in it.

Only the ``{name}`` segments of such an API are read like this, see ``path.spelled_as_template``.
"""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from extauthz.domain.routing.path import BROKEN_ESCAPE, CONTROL, DOT_SEGMENT, ESCAPE

_CUT = re.compile("[;?]")
MAX_LENIENT_LENGTH: Final = 8192
"""Characters of a path that is read leniently: it is decoded several times, before anyone has proved anything."""
_MAX_DECODINGS: Final = 4
"""Of a lenient path, the raw one included; nobody escapes an escape that often."""


def lenient_path_fault(path: str) -> str:
    """Why a raw path is refused even where ``;``, ``%3F`` and an escaped escape may stand; empty when it is not.

    These may not make another path of it: whether a reader cuts a segment there or not, and however often it decodes,
    the path has the same number of segments, none of them empty or of dots.
    """
    if not path.startswith("/"):
        return "not absolute"
    if len(path) > MAX_LENIENT_LENGTH:
        return "too long"
    if "#" in path:
        return "reserved character"
    if BROKEN_ESCAPE.search(path):
        return "broken escape"
    if any(character <= " " or character == "\x7f" for character in path):
        return "control character"
    decoded = path
    for _ in range(_MAX_DECODINGS):
        fault = _segments_fault(decoded, path.count("/"))
        if fault or not ESCAPE.search(decoded):
            return fault
        try:
            decoded = unquote_to_bytes(decoded).decode()
        except UnicodeDecodeError:
            return "not UTF-8"
    return "encoded delimiter"


def _segments_fault(path: str, slashes: int) -> str:
    if path.count("/") != slashes or "\\" in path or CONTROL.search(path):
        return "encoded delimiter"
    segments = path[1:].split("/")
    for index, segment in enumerate(segments):
        kept = _CUT.split(segment, maxsplit=1)[0]
        if not kept and (segment or index < len(segments) - 1):
            return "empty segment"
        if DOT_SEGMENT.search(kept):
            return "dot segment"
    return "dot segment" if DOT_SEGMENT.search(path) else ""
