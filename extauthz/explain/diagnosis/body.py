"""Which mistake makes a Content-MD5 that is not the body's: another spelling, or the MD5 of another body."""

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Final

from extauthz.domain.header_names import CONTENT_MD5
from extauthz.domain.request import Request
from extauthz.explain.diagnosis.finding import Diagnosis, Finding
from extauthz.explain.diagnosis.mistakes.fixed_lines import digests_of, md5_of

_SPELLING: Final = (
    "content_md5_spelling",
    "Content-MD5 is in another encoding than base64 of the 16 bytes of the MD5.",
    "Send base64 of the raw bytes of the MD5.",
)
_OTHER_HASH: Final = (
    "content_md5_other_hash",
    "Content-MD5 holds another hash than MD5.",
    "Send base64 of the raw bytes of the MD5.",
)
_OTHER_BODY: Final = (
    "content_md5_of_another_body",
    "Content-MD5 is that of another body than was sent.",
    "Serialize the body once; hash and send the same bytes.",
)
_LANGUAGES: Final = {
    "Python": "body = json.dumps(value).encode(), then content=body or data=body: json=value serializes again",
    "JS": "const body = JSON.stringify(value): axios serializes an object again",
    "Java": "hash the bytes that go into the entity",
}
_MOST_BYTES: Final = 1 << 20
"""Of a body that is serialized anew to be compared."""


def diagnose_content_md5(request: Request) -> Diagnosis:
    """Why Content-MD5 does not match. Proved where the hash that was sent is found."""
    stated = request.headers.get(CONTENT_MD5, b"").strip()
    explanations = tuple((finding,) for finding in _findings(stated, request.body))
    if explanations:
        return Diagnosis(explanations[:1], proved=True, certain=True)
    return Diagnosis(suspicions=("The body was changed after it was hashed, by the client or by a proxy on the way.",))


def _findings(stated: bytes, body: bytes) -> Iterator[Finding]:
    for spelled, what in digests_of(body):
        if spelled == stated:
            yield Finding(*_SPELLING, f"sent was {what}")
    for name in ("sha1", "sha256"):
        if base64.b64encode(hashlib.new(name, body, usedforsecurity=False).digest()) == stated:
            yield Finding(*_OTHER_HASH, f"sent was {name.upper()}")
    for other, what in _other_bodies(body):
        if other != body and md5_of(other) == stated:
            yield Finding(*_OTHER_BODY, f"it is that of {what}", _LANGUAGES)


def _other_bodies(body: bytes) -> Iterator[tuple[bytes, str]]:
    yield b"", "an empty body"
    yield body + b"\n", "the body with a line feed at its end"
    yield body.rstrip(b"\r\n"), "the body without the line feed at its end"
    yield body.strip(), "the body without white space around it"
    yield body.replace(b"\n", b"\r\n"), "the body with CR LF for LF"
    yield body.replace(b"\r\n", b"\n"), "the body with LF for CR LF"
    yield body.removeprefix(b"\xef\xbb\xbf"), "the body without its byte order mark"
    if len(body) <= _MOST_BYTES:
        yield from _serialized(body)


def _serialized(body: bytes) -> Iterator[tuple[bytes, str]]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return
    for compact in (True, False):
        for plain in (True, False):
            for in_order in (True, False):
                separators = (",", ":") if compact else None
                text = json.dumps(value, separators=separators, ensure_ascii=not plain, sort_keys=not in_order)
                kinds = [
                    "without blanks" if compact else "with blanks",
                    "in UTF-8" if plain else "with \\u escapes",
                    "in its order" if in_order else "sorted",
                ]
                yield text.encode("utf-8", "surrogatepass"), f"the same JSON {', '.join(kinds)}"
    yield json.dumps(value, indent=2).encode(), "the same JSON indented"
