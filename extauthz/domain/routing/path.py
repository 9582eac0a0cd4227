"""Paths and path templates: which spellings of a path mean one thing to every reader, and which are refused outright.

Paths are matched by their decoded segments, as an upstream would see them. What remains after decoding once is judged,
not how it was spelled: whatever a second reader could decode further, cut off or climb with (escapes, dot segments,
slashes, ``;``, ``?``, control characters) is refused before it is matched. The lesson of CVE-2019-9901,
CVE-2021-29492 and CVE-2026-26205.

A template is literal segments and ``{name}`` segments, with ``/*`` allowed at the end for any non-empty rest:
``/v1/orders/{orderId}``.
"""

import re
from binascii import a2b_qp
from functools import lru_cache
from typing import Final

_PLAIN = re.compile(r"(?:/[A-Za-z0-9_~!$&'()*+,=:@-][A-Za-z0-9._~!$&'()*+,=:@-]*)+/?|/").fullmatch
BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# What a reader that decodes once more would still decode; ``%uXXXX`` is an escape to some.
ESCAPE = re.compile(r"%(?:[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# "Here" and "one up", also to readers that drop blanks around a segment.
DOT_SEGMENT = re.compile(r"(?:\A|/) *\.\.? *(?=/|\Z)")
_AS_QUOTED_PRINTABLE: Final = bytes.maketrans(b"%", b"=")
_NAME = re.compile(r"\{[A-Za-z_][A-Za-z0-9_-]*\}")
# Escapes of what may stand in a segment as it is (RFC 3986, section 3.3: unreserved characters, sub-delims, ``:@``).
_NEEDLESS_ESCAPE = re.compile("%(?:2[146-9A-Ea-e]|3[0-9ABDabd]|4[0-9A-Fa-f]|5[0-9AFaf]|6[1-9A-Fa-f]|7[0-9AEae])")


class TemplateError(ValueError):
    """A path template that cannot be used; the message says how to write it."""


def path_fault(path: str) -> str:
    """Why a raw path is refused as ambiguous, in a word or two for the caller; empty when the path is plain."""
    if _PLAIN(path):
        return ""
    if not path.startswith("/"):
        return "not absolute"
    if "//" in path:
        return "empty segment"
    if "\\" in path or ";" in path or "#" in path:
        return "reserved character"
    if BROKEN_ESCAPE.search(path):
        return "broken escape"
    if any(character <= " " or character == "\x7f" for character in path):
        return "control character"
    try:
        decoded = _decoded(path)
    except UnicodeDecodeError:
        return "not UTF-8"  # %c0%ae is a dot to some readers
    if decoded.count("/") != path.count("/") or ESCAPE.search(decoded) or CONTROL.search(decoded):
        return "encoded delimiter"
    if "\\" in decoded or ";" in decoded or "?" in decoded:
        return "encoded delimiter"
    return "dot segment" if DOT_SEGMENT.search(decoded) else ""


def _decoded(path: str) -> str:
    """Percent-decode a path without broken escapes and control characters. Raises UnicodeDecodeError."""
    # The decoder of quoted-printable is in C, and does the same once `%` is `=`: `unquote` takes 6 ms for a long path.
    return a2b_qp(path.encode().replace(b"=", b"=3D").translate(_AS_QUOTED_PRINTABLE)).decode()


def decoded_segments(path: str) -> list[str]:
    """The segments of a path without faults, percent-decoded."""
    if "%" in path:
        path = _decoded(path)
    return path[1:].split("/")


def spelled_as_template(path: str, template: str) -> bool:
    """Whether all that stands in no ``{name}`` is spelled in a raw path as everybody would spell it.

    Envoy's routes compare raw text: ``/public/%70ing`` is ``/public/ping`` to us and to most upstreams, but takes the
    route of another path. Clients may escape as they like where the template has a ``{name}`` or its final ``*``.
    ``path`` must match the template.
    """
    segments = path[1:].split("/")
    for index, wanted in enumerate(parse_template(template)):
        if wanted == "*":
            return not path_fault("/" + "/".join(segments[index:]))
        if wanted != "{}" and (_NEEDLESS_ESCAPE.search(segments[index]) or path_fault("/" + segments[index])):
            return False
    return True


@lru_cache(maxsize=4096)
def parse_template(template: str) -> tuple[str, ...]:
    """Segments of a template: a literal as itself, ``{}`` for a named segment, ``*`` for the rest.

    Raises TemplateError.
    """
    if not template.startswith("/"):
        raise TemplateError(f"path {template!r} must begin with `/`")
    segments = template[1:].split("/")
    shape = []
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        if segment == "*" and last:
            shape.append("*")
        elif _NAME.fullmatch(segment):
            shape.append("{}")
        elif any(sign in segment for sign in "{}*?#;%\\"):
            raise TemplateError(
                f"path {template!r}: segment {segment!r} must be plain text, a whole `{{name}}`, or a final `*`"
            )
        elif segment in (".", "..") or (segment == "" and not last):
            raise TemplateError(f"path {template!r} has an empty or dot segment")
        else:
            shape.append(segment)
    return tuple(shape)
