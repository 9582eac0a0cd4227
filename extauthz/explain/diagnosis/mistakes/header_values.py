"""Mistakes in the values of the signed headers: what HTTP, a library or a proxy makes of them on the way."""

from typing import Final

from extauthz.auth.string_to_sign import ONCE
from extauthz.domain.header_names import ACCEPT, CONTENT_TYPE, PREFIX, X_CA_TIMESTAMP, as_written
from extauthz.explain.diagnosis.mistakes.draft import ACCEPTED, TYPE, Case, Head
from extauthz.explain.diagnosis.mistakes.mistake import Heads, Mistake
from extauthz.explain.diagnosis.mistakes.signed_headers import each, lower, written

_EDGES: Final = ((b"", b" "), (b" ", b""), (b" ", b" "), (b"", b"\n"), (b"", b"\r\n"), (b"", b"\t"))
_PORTS: Final = (b":80", b":443", b":8080", b":8443")
_GROWN_BY_PROXIES: Final = ("x-forwarded-for", "forwarded", "via", "x-forwarded-proto", "x-forwarded-host")


def _blank_after_colon(head: Head, _: Case) -> Heads:
    yield head._replace(colon=b": "), ""


def _edges(head: Head, _: Case) -> Heads:
    for before, after in _EDGES:
        what = f"{(before + after).decode()!r} at an edge"
        for place in each(head):
            signed = before + head.headers[place][1] + after
            yield head.with_value(place, signed), f"{written(head, place)} was signed with {what}"
        for place, name in ((ACCEPTED, ACCEPT), (TYPE, CONTENT_TYPE)):
            if line := head.lines[place]:
                yield head.with_line(place, before + line + after), f"{as_written(name)} was signed with {what}"


def _recoded(value: bytes) -> list[tuple[bytes, str]]:
    if value.isascii():
        return []
    found = []
    for sent, signed, what in (
        ("utf-8", "latin-1", "the text was encoded in UTF-8 twice on its way"),
        ("latin-1", "utf-8", "it was signed as UTF-8, and sent as Latin-1"),
        ("gb18030", "utf-8", "it was signed as UTF-8, and sent in GBK"),
        ("utf-8", "gb18030", "it was signed in GBK, and sent as UTF-8"),
    ):
        try:
            found.append((value.decode(sent).encode(signed), what))
        except UnicodeError:
            continue
    return found


def _charset(head: Head, _: Case) -> Heads:
    for place in each(head):
        for value, what in _recoded(head.headers[place][1]):
            yield head.with_value(place, value), f"{written(head, place)}: {what}"
    everywhere = [(name, (_recoded(value) or [(value, "")])[0][0]) for name, value in head.headers]
    yield head._replace(headers=tuple(everywhere)), "all values: encoded in UTF-8 twice on their way"


def _time_unit(head: Head, _: Case) -> Heads:
    for place in each(head):
        value = head.headers[place][1]
        if lower(head, place) == X_CA_TIMESTAMP and value.isdigit() and len(value) < 20:
            yield head.with_value(place, str(int(value) // 1000).encode()), "signed in seconds, sent in milliseconds"
            yield head.with_value(place, value + b"000"), "signed in milliseconds, sent in seconds"


def _rewritten(head: Head, case: Case) -> Heads:
    for place in each(head):
        name, value = lower(head, place), head.headers[place][1]
        if name in _GROWN_BY_PROXIES:
            parts = value.split(b",")
            for count in range(len(parts) - 1, -1, -1):
                for signed in {b",".join(parts[:count]), b",".join(parts[:count]).strip()}:
                    yield head.with_value(place, signed), f"{name} was {signed.decode('utf-8', 'replace')!r} at first"
            for scheme in (b"http", b"https"):
                if name == "x-forwarded-proto":
                    yield head.with_value(place, scheme), f"{name} was {scheme.decode()!r} at first"
        elif name not in ONCE and not name.startswith(PREFIX) and b"," in value:
            yield head.with_value(place, value.partition(b",")[0]), f"{name} had one value at first"


def _host_port(head: Head, _: Case) -> Heads:
    for place in each(head):
        if lower(head, place) == "host":
            host, colon, _port = head.headers[place][1].partition(b":")
            if colon:
                yield head.with_value(place, host), "signed without the port"
            for port in _PORTS:
                yield head.with_value(place, host + port), f"signed with {port.decode()}"


HEADER_VALUE_MISTAKES: Final = (
    Mistake(
        "timestamp_unit",
        "X-Ca-Timestamp was signed in another unit than it was sent in.",
        "Take the time once, in milliseconds since 1970, for the header and for the string to sign.",
        {
            "Python": "str(int(time.time() * 1000))",
            "PHP": "(string) (int) (microtime(true) * 1000)",
            "Go": "strconv.FormatInt(time.Now().UnixMilli(), 10)",
        },
        heads=_time_unit,
    ),
    Mistake(
        "blank_after_colon",
        "The header lines were signed with a blank after the colon.",
        "A line is `name:value`, without a blank.",
        heads=_blank_after_colon,
    ),
    Mistake(
        "blank_at_edge",
        "A value was signed with a blank or line feed at its edge, which HTTP takes off.",
        "Trim values before you sign them.",
        {"Java": "Base64.encodeBase64Chunked and Android's Base64.DEFAULT append a line feed"},
        heads=_edges,
    ),
    Mistake(
        "header_charset",
        "A header value that is not ASCII was signed in another encoding than it was sent in.",
        "Send UTF-8 bytes and sign the same bytes, or keep to ASCII and percent-encode the rest.",
        {"Java": "OkHttp encodes signed UTF-8 a second time: percent-encode the value"},
        heads=_charset,
    ),
    Mistake(
        "host_port",
        "Host was signed with another port than was sent.",
        "Sign Host as it is sent, or do not sign it: proxies change it.",
        heads=_host_port,
    ),
    Mistake(
        "rewritten_by_proxy",
        "A proxy on the way changed a header that was signed.",
        "Do not sign headers that proxies write: X-Forwarded-*, Forwarded, Via, X-Request-Id.",
        heads=_rewritten,
    ),
)
