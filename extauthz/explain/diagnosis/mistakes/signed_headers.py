"""Mistakes in the lines of the signed headers: which ones, their names, order and values."""

from collections.abc import Callable
from typing import Final

from extauthz.domain.header_names import (
    ACCEPT,
    CONTENT_MD5,
    CONTENT_TYPE,
    DATE,
    PREFIX,
    X_CA_SIGNATURE,
    X_CA_SIGNATURE_HEADERS,
    X_CA_STAGE,
    as_written,
)
from extauthz.domain.request import Pair
from extauthz.explain.diagnosis.mistakes.draft import Case, Head
from extauthz.explain.diagnosis.mistakes.mistake import Heads, Mistake

_NOT_IN_BLOCK: Final = (DATE, ACCEPT, CONTENT_TYPE, CONTENT_MD5, X_CA_SIGNATURE_HEADERS)
_SEVERAL: Final = 40
"""Headers beyond which none is tried one by one."""


def each(head: Head) -> range:
    """The places of the header lines, as far as they are tried one by one."""
    return range(min(len(head.headers), _SEVERAL))


def lower(head: Head, place: int) -> str:
    """The name of a header line in lower case."""
    return head.headers[place][0].decode("ascii", "replace").lower()


def written(head: Head, place: int) -> str:
    """The name of a header line as the client wrote it."""
    return head.headers[place][0].decode("ascii", "replace")


def _block_left_out(head: Head, _: Case) -> Heads:
    yield head._replace(headers=()), f"{len(head.headers)} listed headers are not signed"


def _stage(head: Head, case: Case) -> Heads:
    for place in each(head):
        if lower(head, place) == X_CA_STAGE:
            yield head.without(place), "the line of the stage is missing"
            yield head.with_value(place, b""), "signed with no value"
            for stage in (b"RELEASE", b"PRE", b"TEST"):
                yield head.with_value(place, stage), f"signed as {stage.decode()}"
    if X_CA_STAGE in case.request.headers and not any(name.lower == X_CA_STAGE for name in case.names):
        for spelled in (as_written(X_CA_STAGE), X_CA_STAGE):
            line = (spelled.encode(), case.request.headers[X_CA_STAGE])
            yield _with(head, line), "signed, but not listed in X-Ca-Signature-Headers"


def _with(head: Head, *lines: Pair) -> Head:
    return head._replace(headers=tuple(sorted([*head.headers, *lines])))


def _listed_not_signed(head: Head, _: Case) -> Heads:
    for place in each(head):
        yield head.without(place), f"{written(head, place)} is listed, but its line is missing"
        yield head.with_value(place, b""), f"{written(head, place)} was signed with no value"


def _signed_not_listed(head: Head, case: Case) -> Heads:
    listed = {name.lower for name in case.names}
    missing = [
        name
        for name in case.request.headers
        if name not in listed and name.startswith(PREFIX) and name not in (X_CA_SIGNATURE, X_CA_SIGNATURE_HEADERS)
    ]
    for spelled in (as_written, str.lower):
        lines = [(spelled(name).encode(), case.request.headers[name]) for name in missing[:_SEVERAL]]
        for line in lines:
            yield _with(head, line), f"{line[0].decode()} is signed, but not listed in X-Ca-Signature-Headers"
        if len(lines) > 1:
            yield _with(head, *lines), "signed, but not listed: " + ", ".join(name.decode() for name, _ in lines)


def _fixed_in_block(head: Head, case: Case) -> Heads:
    listed = case.request.headers.get(X_CA_SIGNATURE_HEADERS, b"").split(b",")
    extra = [name for part in listed if (name := part.strip()).decode("ascii", "replace").lower() in _NOT_IN_BLOCK]
    lines = [(name, case.request.headers.get(name.decode().lower(), b"")) for name in extra]
    for line in lines:
        yield _with(head, line), f"{line[0].decode()} stands in the header lines, too"
    if len(lines) > 1:
        yield _with(head, *lines), ", ".join(name.decode() for name, _ in lines) + " stand in the header lines, too"


def _name_case(head: Head, _: Case) -> Heads:
    for change, what in ((bytes.lower, "in lower case"), (bytes.title, "Like-This"), (bytes.upper, "in upper case")):
        changed = tuple((change(name), value) for name, value in head.headers)
        yield head._replace(headers=tuple(sorted(changed))), f"signed {what}"
        yield head._replace(headers=changed), f"signed {what}, in the order of the list's spelling"


def _listed_order(head: Head, case: Case) -> Heads:
    listed = case.request.headers.get(X_CA_SIGNATURE_HEADERS, b"").lower().split(b",")
    places = {part.strip(): place for place, part in enumerate(listed)}
    yield head._replace(headers=tuple(sorted(head.headers, key=lambda line: places.get(line[0].lower(), 0)))), ""


def _case_order(head: Head, _: Case) -> Heads:
    yield head._replace(headers=tuple(sorted(head.headers, key=lambda line: line[0].lower()))), ""


def _end(*ends: bytes) -> Callable[[Head, Case], Heads]:
    def change(head: Head, _: Case) -> Heads:
        for end in ends:
            yield head._replace(end=end), ""

    return change


SIGNED_HEADER_MISTAKES: Final = (
    Mistake(
        "stage_forgotten",
        "X-Ca-Stage was added, or changed, after the request was signed.",
        "Set X-Ca-Stage before you sign, and list it in X-Ca-Signature-Headers.",
        heads=_stage,
    ),
    Mistake(
        "headers_not_signed",
        "X-Ca-Signature-Headers lists headers, but the string to sign has no lines for them.",
        "Add a line `name:value` for every header that is listed, or list none.",
        {"PHP": "the demo signs no header unless setSignHeader was called at least once"},
        heads=_block_left_out,
    ),
    Mistake(
        "listed_not_signed",
        "A header is listed in X-Ca-Signature-Headers, but its line, or its value, is not signed.",
        "Set every header before you sign; list exactly those that have a line in the string to sign.",
        heads=_listed_not_signed,
    ),
    Mistake(
        "signed_not_listed",
        "A header has a line in the string to sign, but is not listed in X-Ca-Signature-Headers.",
        "List every header that has a line in the string to sign.",
        heads=_signed_not_listed,
    ),
    Mistake(
        "fixed_header_among_lines",
        "A header that has one of the five first lines was signed among the other headers, too.",
        "Leave Accept, Content-MD5, Content-Type and Date out of the header lines.",
        {"JS": "aliyun-api-gateway does it with `date` in signHeaders: leave it out there"},
        heads=_fixed_in_block,
    ),
    Mistake(
        "header_name_case",
        "Header names were signed in another letter case than X-Ca-Signature-Headers lists them in.",
        "Write each name in the string to sign as X-Ca-Signature-Headers lists it.",
        {"Go": "http.Header makes X-Ca-Key of x-ca-key: build list and lines from the same names"},
        heads=_name_case,
    ),
    Mistake(
        "headers_unsorted",
        "The header lines were signed in the order of the list.",
        "Sort the header lines by name, by code point.",
        {"Go": "sort.Strings(names); a map has no order", "Java": "use a TreeMap"},
        heads=_listed_order,
    ),
    Mistake(
        "headers_sorted_ignoring_case",
        "The header lines were sorted without regard to letter case.",
        "Sort the header lines by code point: upper case comes before lower case.",
        {"Java": "new TreeMap<>(), not String.CASE_INSENSITIVE_ORDER", "PHP": "ksort($h, SORT_STRING), no FLAG_CASE"},
        heads=_case_order,
    ),
    Mistake(
        "line_feed_before_path",
        "The line feed before the path is missing.",
        "Every header line ends with a line feed, the last one too.",
        heads=_end(b""),
    ),
    Mistake(
        "extra_line_before_path",
        "There is an empty line, or a stray colon, before the path.",
        "The path follows the last header line at once; without signed headers it follows Date.",
        heads=_end(b"\n\n", b"\n:\n"),
    ),
)
