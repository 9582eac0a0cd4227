"""The string to sign, written a second time from the vendor's document alone, as plainly as it goes (doc 29475)."""

import string
from typing import Final

from extauthz.domain.request import Request

_NOT_LISTED: Final = ("x-ca-signature", "x-ca-signature-headers", "accept", "content-md5", "content-type", "date")


def decode(text: bytes) -> bytes:
    """Percent-decoding, byte by byte, with ``+`` for a blank; a broken escape stays as it is."""
    decoded, index = bytearray(), 0
    while index < len(text):
        digits = text[index + 1 : index + 3].decode("latin-1")
        if text[index : index + 1] == b"%" and len(digits) == 2 and all(digit in string.hexdigits for digit in digits):
            decoded.append(int(digits, 16))
            index += 3
        else:
            decoded += b" " if text[index : index + 1] == b"+" else text[index : index + 1]
            index += 1
    return bytes(decoded)


def parameters(encoded: bytes) -> list[tuple[bytes, bytes]]:
    """Decoded keys and values of ``k=v&k2=v2``."""
    found = []
    for part in encoded.split(b"&"):
        if part:
            equals = part.find(b"=")
            key, value = (part, b"") if equals < 0 else (part[:equals], part[equals + 1 :])
            found.append((decode(key), decode(value)))
    return found


def is_form(request: Request) -> bool:
    """Whether the body holds parameters."""
    media_type = request.headers.get("content-type", b"").split(b";")[0]
    return media_type.strip().lower() == b"application/x-www-form-urlencoded"


def string_to_sign(request: Request, listed: bytes) -> bytes:
    """What the vendor's gateway would sign: path as sent, a form's value before the query's."""
    header = request.headers.get
    lines = [request.method.upper().encode()]
    lines += [header(name, b"") for name in ("accept", "content-md5", "content-type", "date")]
    for name in sorted({name.strip() for name in listed.split(b",")} - {b""}):
        lower = name.decode("ascii").lower()
        if lower not in _NOT_LISTED:
            lines.append(name + b":" + header(lower, b""))
    form = parameters(request.body) if is_form(request) else []
    first: dict[bytes, bytes] = {}
    for key, value in form + parameters(request.query.encode()):
        first.setdefault(key, value)
    try:
        order = sorted(first, key=lambda key: key.decode().encode("utf-16-be"))  # code units, as Java sorts
    except UnicodeDecodeError:  # no client has text like this; only that there is one order counts
        order = sorted(first, key=lambda key: [{0xEE: 244.5, 0xEF: 244.6}.get(byte, byte) for byte in key])
    pairs = [key + b"=" + first[key] if first[key] else key for key in order]
    return b"\n".join(lines) + b"\n" + request.path.encode() + (b"?" + b"&".join(pairs) if pairs else b"")
