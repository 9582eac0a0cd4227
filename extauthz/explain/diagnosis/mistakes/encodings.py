"""Mistakes in the encoding of parameters: they are signed decoded, once, as UTF-8."""

from collections.abc import Callable
from typing import Final
from urllib.parse import quote_from_bytes

from extauthz.auth.parameters import decode_escapes
from extauthz.explain.diagnosis.mistakes.draft import Case, Tail, decoded, key_alone
from extauthz.explain.diagnosis.mistakes.mistake import Mistake, Tails
from extauthz.explain.diagnosis.mistakes.parameters import changed

_SAFE: Final = {"!'()*~-._": "encodeURIComponent", "~-._": "RFC 3986", "/~-._": "Python's quote"}
_CHARSETS: Final = ("gb18030", "latin-1", "shift_jis", "big5")


def _as_sent(text: bytes) -> bytes:
    return text


def _twice(tail: Tail, _: Case) -> Tails:
    yield tail._replace(decode=lambda text: decoded(decoded(text))), ""
    yield tail._replace(decode=lambda text: decode_escapes(decoded(text))), "the second time without its plus signs"


def _plus_kept(text: bytes) -> bytes:
    return decoded(text.replace(b"+", b"%2B"))


def _encoding(safe: str, space: bytes = b"%20") -> Callable[[bytes, bytes], bytes]:
    def encode(text: bytes) -> bytes:
        return quote_from_bytes(text, safe).encode().replace(b"%20", space)

    return lambda key, value: key_alone(encode(key), encode(value))


def _lower_escapes(key: bytes, value: bytes) -> bytes:
    def encode(text: bytes) -> bytes:
        first, *rest = quote_from_bytes(text, "~-._").encode().split(b"%")
        return b"%".join([first, *(part[:2].lower() + part[2:] for part in rest)])

    return key_alone(encode(key), encode(value))


def _encoded_again(tail: Tail, _: Case) -> Tails:
    for safe, name in _SAFE.items():
        yield tail._replace(write=_encoding(safe)), f"as {name} encodes"
    yield tail._replace(write=_encoding("*-._", b"+")), "as Java's URLEncoder encodes"
    yield tail._replace(write=_encoding("-._", b"+")), "as PHP's urlencode encodes"
    yield tail._replace(write=_lower_escapes), "with escapes in lower case"


def _recoded(charset: str) -> Callable[[bytes], bytes]:
    def decode(text: bytes) -> bytes:
        try:
            return decoded(text).decode(charset).encode()
        except UnicodeError:
            return decoded(text)

    return decode


def _charset(tail: Tail, case: Case) -> Tails:
    texts = [decoded(text) for pair in (*tail.query, *tail.form) for text in pair]
    if all(text.isascii() for text in texts):
        return
    for charset in _CHARSETS:
        yield tail._replace(decode=_recoded(charset)), f"sent in {charset}, signed in UTF-8"


ENCODING_MISTAKES: Final = (
    Mistake(
        "encoded_values",
        "Parameters were signed as they are sent, percent-encoded.",
        "Sign names and values decoded; encode them only for the URL.",
        {
            "Python": "urllib.parse.parse_qsl(query, keep_blank_values=True) gives them decoded",
            "Go": "req.URL.Query(), not req.URL.RawQuery",
            "Java": "sign before URLEncoder.encode",
            "JS": "sign the object, not querystring.stringify(object)",
        },
        tails=changed(decode=_as_sent),
    ),
    Mistake(
        "encoded_again",
        "Parameters were percent-encoded for the string to sign, and in another way than for the URL.",
        "Sign names and values decoded; encode them only for the URL.",
        {"Go": "url.Values.Encode() encodes: write key=value yourself", "PHP": "http_build_query encodes"},
        tails=_encoded_again,
    ),
    Mistake(
        "plus_kept",
        "A plus sign in a query or form was signed as a plus sign; it means a blank.",
        "Decode `+` as a blank before you sign, or send `%20`.",
        {"JS": "decodeURIComponent leaves `+` alone: replace it first", "Python": "unquote_plus, not unquote"},
        tails=changed(decode=_plus_kept),
    ),
    Mistake(
        "decoded_twice",
        "Parameters were decoded twice before they were signed.",
        "Decode once: what is still an escape then is part of the value.",
        tails=_twice,
    ),
    Mistake(
        "parameter_charset",
        "Parameters were sent in another charset than UTF-8.",
        "Send and sign UTF-8.",
        {"Java": 'URLEncoder.encode(value, "UTF-8"); new UrlEncodedFormEntity(pairs, "UTF-8")'},
        tails=_charset,
    ),
)
