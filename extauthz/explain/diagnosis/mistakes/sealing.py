"""Mistakes once the string to sign is right: the key, the hash, and how the signature is spelled."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final
from urllib.parse import unquote_to_bytes

from extauthz.domain.header_names import X_CA_KEY
from extauthz.explain.diagnosis.mistakes.draft import Case
from extauthz.explain.diagnosis.mistakes.mistake import Mistake, Strings


def _blanks(secret: bytes, _: Case) -> Strings:
    for before, after in ((b"", b"\n"), (b"", b"\r\n"), (b"", b" "), (b" ", b""), (b"", b"\r"), (b" ", b" ")):
        yield before + secret + after, "the client's secret has white space at an edge"
    yield b"\xef\xbb\xbf" + secret, "the client's secret begins with a byte order mark"
    stripped = secret.strip()
    if stripped != secret:
        yield stripped, "the secret of the configuration has white space at an edge, the client's has none"
    for quote in (b'"', b"'"):
        yield quote + secret + quote, "the client's secret stands in quotation marks"


def _ampersand(secret: bytes, _: Case) -> Strings:
    yield secret + b"&", ""


def _secret_decoded(secret: bytes, _: Case) -> Strings:
    with suppress(binascii.Error, ValueError):
        yield base64.b64decode(secret, validate=True), "as base64"
    with suppress(ValueError):
        yield bytes.fromhex(secret.decode("ascii")), "as hex"
    yield base64.b64encode(secret), "it was encoded in base64 first"
    yield hashlib.md5(secret, usedforsecurity=False).hexdigest().encode(), "its MD5 was used"


def _app_key(_secret: bytes, case: Case) -> Strings:
    app_key = case.request.headers.get(X_CA_KEY, b"").strip()
    yield app_key, "the AppKey was used"
    yield b"", "an empty secret was used"


def _swapped(secret: bytes, string: bytes, name: str) -> bytes:
    return hmac.digest(string, secret, name)


def _plain(joined: Callable[[bytes, bytes], bytes]) -> Callable[[bytes, bytes, str], bytes]:
    return lambda secret, string, name: hashlib.new(name, joined(secret, string), usedforsecurity=False).digest()


def _hashed_first(secret: bytes, string: bytes, name: str) -> bytes:
    return hmac.digest(secret, hashlib.new(name, string, usedforsecurity=False).hexdigest().encode(), name)


def _from_hex(sent: bytes) -> Iterable[bytes]:
    try:
        yield bytes.fromhex(sent.decode("ascii"))
    except ValueError:
        return


def _from_base64_of_hex(sent: bytes) -> Iterable[bytes]:
    try:
        yield bytes.fromhex(base64.b64decode(sent, validate=True).decode("ascii"))
    except (binascii.Error, ValueError):
        return


def from_base64(sent: bytes) -> Iterable[bytes]:
    """The bytes of a signature that is spelled as the scheme spells it, and in no other way."""
    try:
        raw = base64.b64decode(sent, validate=True)
    except (binascii.Error, ValueError):
        return
    if base64.b64encode(raw) == sent:
        yield raw


def _from_other_base64(sent: bytes) -> Iterable[bytes]:
    """The URL alphabet, no padding, escaped, broken into lines: what lenient decoders take."""
    text = unquote_to_bytes(sent.replace(b" ", b"+")).translate(bytes.maketrans(b"-_", b"+/"), b"\r\n\t").strip(b"=\"'")
    try:
        yield base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return


def _from_twice(sent: bytes) -> Iterable[bytes]:
    try:
        yield base64.b64decode(base64.b64decode(sent, validate=True), validate=True)
    except (binascii.Error, ValueError):
        return


SECRET_MISTAKES: Final = (
    Mistake(
        "secret_white_space",
        "The secret was used with white space, quotation marks or a byte order mark around it.",
        "Trim the AppSecret after you read it from a file or a variable.",
        {"Python": "open(path).read().strip()", "Go": "strings.TrimSpace(string(secret))"},
        secrets=_blanks,
    ),
    Mistake(
        "secret_ampersand",
        "An ampersand was appended to the secret, as the RPC interfaces of the vendor's cloud ask for.",
        "Use the AppSecret as it is.",
        secrets=_ampersand,
    ),
    Mistake(
        "secret_encoded",
        "The secret was decoded or encoded before it was used as the key.",
        "Use the characters of the AppSecret, as UTF-8, as the key.",
        secrets=_secret_decoded,
    ),
    Mistake(
        "app_key_as_secret",
        "The AppKey, or nothing at all, was used in place of the AppSecret.",
        "Use the AppSecret as the key of the HMAC; look at the order of arguments.",
        secrets=_app_key,
    ),
)
MAC_MISTAKES: Final = (
    Mistake(
        "hmac_arguments_swapped",
        "Key and message of the HMAC were swapped.",
        "The AppSecret is the key, the string to sign the message.",
        {"PHP": "hash_hmac('sha256', $string, $secret, true)", "Python": "hmac.new(secret, string, hashlib.sha256)"},
        mac=_swapped,
    ),
    Mistake(
        "plain_hash",
        "A plain hash of secret and string was sent in place of an HMAC.",
        "Use HMAC-SHA256 with the AppSecret as the key.",
        mac=_plain(lambda secret, string: secret + string),
    ),
    Mistake(
        "plain_hash_behind",
        "A plain hash of string and secret was sent in place of an HMAC.",
        "Use HMAC-SHA256 with the AppSecret as the key.",
        mac=_plain(lambda secret, string: string + secret),
    ),
    Mistake(
        "hashed_before_hmac",
        "The string to sign was hashed before it was signed.",
        "Sign the string itself.",
        mac=_hashed_first,
    ),
)
SPELLING_MISTAKES: Final = (
    Mistake(
        "signature_in_hex",
        "The signature was sent in hex.",
        "Send base64 of the raw bytes of the HMAC.",
        {
            "Python": "base64.b64encode(mac.digest()), not hexdigest()",
            "PHP": "base64_encode(hash_hmac('sha256', $string, $secret, true)): the last argument asks for the bytes",
            "JS": "digest('base64')",
        },
        spellings=_from_hex,
    ),
    Mistake(
        "signature_base64_of_hex",
        "The signature is base64 of the HMAC in hex.",
        "Encode the raw bytes of the HMAC in base64.",
        {"PHP": "the last argument of hash_hmac must be true", "Go": "EncodeToString(mac.Sum(nil)), without hex"},
        spellings=_from_base64_of_hex,
    ),
    Mistake(
        "signature_base64_alphabet",
        "The signature is in another base64: URL alphabet, no padding, percent-encoded, or broken into lines.",
        "Use standard base64 with its padding, on one line, and do not percent-encode a header.",
        {
            "Go": "base64.StdEncoding, not URLEncoding or RawStdEncoding",
            "Python": "b64encode, not urlsafe_b64encode",
            "Java": "Base64.getEncoder(), not getUrlEncoder(); on Android Base64.NO_WRAP",
        },
        spellings=_from_other_base64,
    ),
    Mistake(
        "signature_base64_twice",
        "The signature was encoded in base64 twice.",
        "Encode the raw bytes of the HMAC in base64 once.",
        spellings=_from_twice,
    ),
)
OTHER_HASH: Final = Mistake(
    "other_hash",
    "The signature was made with another hash than X-Ca-Signature-Method states.",
    "Use HMAC-SHA256, or send `X-Ca-Signature-Method: HmacSHA1` where the API takes it, and sign that header.",
)
"""Seen by the length of the signature."""
OTHER_SECRET: Final = Mistake(
    "other_secret",
    "The signature was made with another secret than the one that belongs to this AppKey now.",
    "Use the AppSecret that belongs to the AppKey that is sent.",
)
