"""Parameters as the signature scheme reads them: decoded, in order of arrival, from a query string or a form body."""

from urllib.parse import unquote_to_bytes

Pair = tuple[bytes, bytes]


def parse_pairs(encoded: bytes) -> list[Pair]:
    """Split ``k=v&k2=v2`` into decoded pairs. A missing value is empty. Only ``&`` separates; the first ``=`` splits.

    Bytes, not text, so that no two different parameters can decode to the same thing; a broken escape stays as it is.
    Pairs without a key and a value are dropped. (Alibaba console API documents: "decoded keys and values".)
    """
    if b"%" in encoded or b"+" in encoded:
        pairs = []
        for part in encoded.split(b"&"):
            if part:
                key, _, value = part.partition(b"=")
                pairs.append((_decode(key), _decode(value)))
        return pairs
    return [(key, value) for key, _, value in [part.partition(b"=") for part in encoded.split(b"&") if part]]


def _decode(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))


def is_form(content_type: bytes) -> bool:
    """Whether the media type, without its parameters, is a URL-encoded form."""
    return content_type.partition(b";")[0].strip().lower() == b"application/x-www-form-urlencoded"
