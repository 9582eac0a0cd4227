"""Mistakes in the five fixed lines: method, Accept, Content-MD5, Content-Type, Date."""

import base64
import hashlib
from collections.abc import Callable
from email.utils import formatdate
from itertools import permutations
from typing import Final

from extauthz.domain.header_names import ACCEPT, CONTENT_MD5, CONTENT_TYPE, DATE, X_CA_TIMESTAMP, as_written
from extauthz.explain.diagnosis.mistakes.draft import ACCEPTED, DATED, MD5, METHOD, TYPE, Case, Head
from extauthz.explain.diagnosis.mistakes.mistake import Heads, Mistake

_METHODS: Final = (b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"HEAD")
_ACCEPTS: Final = (
    b"*/*",
    b"application/json",
    b"application/json; charset=utf-8",
    b"application/json;charset=utf-8",
    b"application/json, text/plain, */*",
    b"application/json, */*;q=0.5",
    b"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
    b"text/html",
    b"text/plain",
    b"application/xml",
)
_TYPES: Final = (
    b"application/json",
    b"application/x-www-form-urlencoded",
    b"application/octet-stream",
    b"text/plain",
    b"application/xml",
    b"multipart/form-data",
)
_CHARSETS: Final = (b"; charset=utf-8", b"; charset=UTF-8", b";charset=utf-8", b";charset=UTF-8")
_PLACES: Final = {ACCEPTED: ACCEPT, MD5: CONTENT_MD5, TYPE: CONTENT_TYPE, DATED: DATE}


def left_out(place: int) -> Callable[[Head, Case], Heads]:
    """The value of a fixed line is not signed, though the header was sent."""

    def change(head: Head, _: Case) -> Heads:
        if head.lines[place]:
            sent = (head.lines[place] or b"").decode("utf-8", "replace")
            yield head.with_line(place, b""), f"sent {as_written(_PLACES[place])}: {sent}, signed an empty line"

    return change


def _other(place: int, values: tuple[bytes, ...]) -> Callable[[Head, Case], Heads]:
    def change(head: Head, _: Case) -> Heads:
        for value in values:
            yield head.with_line(place, value), f"signed {value.decode()!r}"

    return change


def _type_parameters(head: Head, _: Case) -> Heads:
    sent = head.lines[TYPE] or b""
    media_type, parameters, _rest = sent.partition(b";")
    if parameters:
        yield head.with_line(TYPE, media_type.strip()), "signed without what follows the semicolon"
    if sent:
        for charset in _CHARSETS:
            signed = media_type.strip() + charset
            yield head.with_line(TYPE, signed), f"signed {signed.decode('utf-8', 'replace')!r}"


def digests_of(body: bytes) -> list[tuple[bytes, str]]:
    """What clients take for the Content-MD5 of a body, and what each is."""
    md5 = hashlib.md5(body, usedforsecurity=False)
    return [
        (md5.hexdigest().encode(), "the MD5 in hex"),
        (md5.hexdigest().upper().encode(), "the MD5 in upper-case hex"),
        (base64.b64encode(md5.hexdigest().encode()), "base64 of the MD5 in hex"),
        (base64.urlsafe_b64encode(md5.digest()), "the MD5 in the URL alphabet of base64"),
        (base64.b64encode(md5.digest()).rstrip(b"="), "the MD5 in base64 without its padding"),
    ]


def _md5_spelling(head: Head, case: Case) -> Heads:
    for spelled, what in digests_of(case.request.body):
        yield head.with_line(MD5, spelled), f"signed {what}"


def md5_of(body: bytes) -> bytes:
    """Content-MD5 as it should be."""
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest())


def _md5_not_sent(head: Head, case: Case) -> Heads:
    if not head.lines[MD5]:
        yield head.with_line(MD5, md5_of(case.request.body)), ""


def _date_not_sent(head: Head, case: Case) -> Heads:
    stamp = case.request.headers.get(X_CA_TIMESTAMP, b"").strip()
    if stamp.isdigit() and len(stamp) < 15 and not head.lines[DATED]:
        for around in (0, -1, 1):
            date = formatdate(int(stamp) // 1000 + around, usegmt=True)
            yield head.with_line(DATED, date.encode()), f"signed {date!r}"


def _method(head: Head, _: Case) -> Heads:
    sent = head.lines[METHOD] or b""
    yield head.with_line(METHOD, sent.lower()), "signed in lower case"
    for method in _METHODS:
        yield head.with_line(METHOD, method), f"signed {method.decode()}"


def _empty_lines(head: Head, _: Case) -> Heads:
    yield head._replace(lines=tuple(line or None for line in head.lines)), ""


def _one_line_less(head: Head, _: Case) -> Heads:
    for place, name in _PLACES.items():
        yield head.with_line(place, None), f"no line for {as_written(name)}"


def _line_order(head: Head, _: Case) -> Heads:
    for lines in permutations(head.lines[1:]):
        yield head._replace(lines=(head.lines[0], *lines)), ""


FIXED_LINE_MISTAKES: Final = (
    Mistake(
        "accept_added",
        "The HTTP library added Accept after the request was signed.",
        "Set Accept yourself before you sign, and sign that value.",
        {
            "Python": "requests and httpx add `Accept: */*`: pass headers={'Accept': 'application/json'}",
            "PHP": "curl adds `Accept: */*`: put `Accept: application/json` into CURLOPT_HTTPHEADER",
            "Java": 'HttpURLConnection adds its own: call setRequestProperty("Accept", ...)',
            "JS": "fetch and axios add their own: set headers.Accept",
        },
        heads=left_out(ACCEPTED),
    ),
    Mistake(
        "accept_differs",
        "Accept was signed with another value than was sent.",
        "Sign the value of Accept that goes on the wire; see what the HTTP library or a proxy makes of it.",
        heads=_other(ACCEPTED, _ACCEPTS),
    ),
    Mistake(
        "content_type_added",
        "Content-Type was sent, but an empty line was signed for it.",
        "Set Content-Type yourself before you sign, and sign that value.",
        {
            "Python": "requests sets it for json= and data=: read it from the prepared request, then sign",
            "PHP": "curl sets application/x-www-form-urlencoded for CURLOPT_POSTFIELDS: set it yourself",
            "Go": "http.Post and PostForm set it: build the request with http.NewRequest",
        },
        heads=left_out(TYPE),
    ),
    Mistake(
        "content_type_parameters",
        "Content-Type was signed with other parameters, such as charset or boundary, than were sent.",
        "Sign Content-Type exactly as it is sent, with everything behind the semicolon.",
        {
            "Java": "OkHttp appends `; charset=utf-8` to a RequestBody made of a String: make it of bytes",
            "JS": "axios appends `; charset=utf-8`; for multipart the boundary is known only once the body is built",
        },
        heads=_type_parameters,
    ),
    Mistake(
        "content_type_differs",
        "Content-Type was signed with another value than was sent.",
        "Sign the value of Content-Type that goes on the wire.",
        heads=_other(TYPE, _TYPES),
    ),
    Mistake(
        "content_md5_left_out",
        "Content-MD5 was sent, but an empty line was signed for it.",
        "Sign Content-MD5 as it is sent, in the third line.",
        heads=left_out(MD5),
    ),
    Mistake(
        "content_md5_not_sent",
        "The MD5 of the body was signed, but the header Content-MD5 was not sent.",
        "Send Content-MD5 with the value that was signed, or sign an empty line.",
        heads=_md5_not_sent,
    ),
    Mistake(
        "content_md5_spelled",
        "The MD5 of the body was signed in another encoding than base64 of its 16 bytes.",
        "Encode the 16 bytes of the MD5 in base64, once, for the header and for the string to sign.",
        {
            "Python": "base64.b64encode(hashlib.md5(body).digest()), not hexdigest()",
            "PHP": "base64_encode(md5($body, true)): the second argument asks for the bytes",
            "JS": "createHash('md5').update(body).digest('base64')",
            "Go": "sum := md5.Sum(body); base64.StdEncoding.EncodeToString(sum[:])",
        },
        heads=_md5_spelling,
    ),
    Mistake(
        "date_added",
        "Date was sent, but an empty line was signed for it.",
        "Sign Date as it is sent, or keep the HTTP library from adding it.",
        heads=left_out(DATED),
    ),
    Mistake(
        "date_not_sent",
        "A date was signed, but the header Date was not sent.",
        "Send Date with the value that was signed, or sign an empty line.",
        {"JS": "browsers do not let a script set Date: sign an empty line"},
        heads=_date_not_sent,
    ),
    Mistake(
        "method_differs",
        "The method was signed in lower case, or another method was signed than was sent.",
        "Sign the method that is sent, in upper case.",
        heads=_method,
    ),
    Mistake(
        "empty_lines_left_out",
        "Empty lines were left out of the string to sign.",
        "Keep the line feed of each of the five first lines, also where a header is missing.",
        heads=_empty_lines,
    ),
    Mistake(
        "fixed_line_missing",
        "One of the five first lines is missing in the string to sign.",
        "Method, Accept, Content-MD5, Content-Type, Date: each ends with a line feed. (OSS has no line for Accept.)",
        heads=_one_line_less,
    ),
    Mistake(
        "fixed_lines_order",
        "The five first lines were signed in another order.",
        "The order is method, Accept, Content-MD5, Content-Type, Date.",
        heads=_line_order,
    ),
)
