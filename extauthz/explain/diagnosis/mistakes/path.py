"""Mistakes in the path that is signed."""

from typing import Final
from urllib.parse import quote_from_bytes

from extauthz.auth.parameters import decode_escapes
from extauthz.explain.diagnosis.mistakes.draft import Case, Tail
from extauthz.explain.diagnosis.mistakes.mistake import Mistake, Tails

_MOST_SEGMENTS: Final = 3


def _decoded_twice(tail: Tail, _: Case) -> Tails:
    once = decode_escapes(tail.path)
    yield tail._replace(path=decode_escapes(once)), ""


def _encoded(tail: Tail, _: Case) -> Tails:
    yield tail._replace(path=quote_from_bytes(tail.path, "/").encode()), "what was escaped was escaped again"
    plain = decode_escapes(tail.path)
    for safe, what in (("/", "everything"), ("/!$&'()*+,;=:@~", "what RFC 3986 asks for"), ("", "the slashes, too")):
        yield tail._replace(path=quote_from_bytes(plain, safe).encode()), f"escaped was {what}"
    first, *rest = tail.path.split(b"%")
    lower = b"%".join([first, *(part[:2].lower() + part[2:] for part in rest)])
    yield tail._replace(path=lower), "escapes in lower case"


def _slash(tail: Tail, _: Case) -> Tails:
    if tail.path.endswith(b"/"):
        yield tail._replace(path=tail.path.rstrip(b"/")), "signed without the slash at the end"
    else:
        yield tail._replace(path=tail.path + b"/"), "signed with a slash at the end"
    yield tail._replace(path=tail.path.lstrip(b"/")), "signed without the slash at the start"


def _prefix(tail: Tail, _: Case) -> Tails:
    segments = tail.path.split(b"/")
    for count in range(2, min(len(segments), _MOST_SEGMENTS + 1)):
        rest = b"/" + b"/".join(segments[count:])
        yield tail._replace(path=rest), f"signed {rest.decode('utf-8', 'replace')!r}"


def _whole_url(tail: Tail, case: Case) -> Tails:
    host = case.request.headers.get("host", b"")
    for scheme in (b"http://", b"https://", b""):
        yield tail._replace(path=scheme + host + tail.path), "signed with scheme and host"


def _letter_case(tail: Tail, _: Case) -> Tails:
    yield tail._replace(path=tail.path.lower()), ""


PATH_MISTAKES: Final = (
    Mistake(
        "whole_url_signed",
        "The whole URL was signed in place of its path.",
        "Sign from the path on, without scheme and host.",
        {"Python": "urllib.parse.urlsplit(url).path", "Go": "req.URL.EscapedPath()", "JS": "new URL(url).pathname"},
        tails=_whole_url,
    ),
    Mistake(
        "path_prefix_left_out",
        "The path was signed without its first segments: a base path, or what a proxy puts before it.",
        "Sign the path that arrives at the gateway, from its first slash.",
        tails=_prefix,
    ),
    Mistake(
        "path_slash",
        "The path was signed with another slash at its start or end than was sent.",
        "Sign the path as it is sent, to the last slash.",
        tails=_slash,
    ),
    Mistake(
        "path_decoded_twice",
        "The path was decoded twice before it was signed.",
        "Sign the path as it is sent.",
        tails=_decoded_twice,
    ),
    Mistake(
        "path_encoded_again",
        "The path was percent-encoded again, or in another way, for the string to sign.",
        "Encode the path once, and sign what is sent.",
        {"Go": "req.URL.EscapedPath()", "Python": "quote(path) makes %25 of %: sign the path that is in the URL"},
        tails=_encoded,
    ),
    Mistake(
        "path_letter_case",
        "The path was signed in lower case.",
        "Sign the path as it is sent.",
        tails=_letter_case,
    ),
)
