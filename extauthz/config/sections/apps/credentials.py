"""AppSecrets and AppCodes that cannot do their work: with something around them, a place holder, or easily guessed."""

import re
from itertools import pairwise
from typing import Final

from extauthz.config.text import stray

MIN_LENGTH: Final = 8
MAX_LENGTH: Final = 128
"""Of an AppCode or AppSecret, in characters (vendor: custom AppKeys and AppCodes)."""
SHORT: Final = 16
"""Below this many characters a credential is only as good as chance made it; worth a warning."""
_QUOTES: Final = "'\"`\u2018\u2019\u201c\u201d\u00ab\u00bb"
_SCHEME: Final = re.compile(r"(?:authorization\s*[:=]\s*)?(?:appcode|bearer|basic)(?:\s*[:=]\s*|\s+|$)", re.IGNORECASE)
_REFERENCE: Final = re.compile(
    r"\$\{.*\}|\$\(.*\)|\$[A-Za-z_]\w*|\{\{.*\}\}|%\w+%|<.*>|\{(?:env|file):.*\}|(?:env|file):.*"
)
_PLACE_HOLDERS: Final = frozenset({
    "secret", "mysecret", "thesecret", "topsecret", "supersecret", "verysecret", "secretkey", "password", "passw",
    "passwd", "pass", "passphrase", "changeit", "default", "example", "sample", "test", "testing", "todo",
    "fixme", "none", "null", "undefined", "empty", "dummy", "foobar", "admin", "root", "letmein", "qwerty",
    "qwertyuiop", "asdfghjkl", "abcabc",
})  # fmt: skip
_PLACE_HOLDER_PARTS: Final = ("changeme", "replaceme", "placeholder", "fillmein", "yoursecret", "yourapp", "yourcode",
                              "yourkey", "yourpassword", "insertyour", "tobereplaced")  # fmt: skip
_FEWEST_CHARACTERS: Final = 4
_MANY_DIGITS: Final = 12
"""So many digits beside a word may well be random ones."""
_DIGITS: Final = "1234567890" * 13 + "0987654321" * 13


def credential_fault(value: str) -> str:
    """Why an AppSecret or AppCode cannot be meant as it stands, with the cure; empty when it can. Never quotes it."""
    fault = stray(value)
    if fault:
        return fault
    if value[0] in _QUOTES or value[-1] in _QUOTES:
        return "has a quotation mark at its end that would be part of it; write it without quotes around it"
    if _SCHEME.match(value):
        return "begins with the word that stands before it in a header; write the credential alone"
    if _REFERENCE.fullmatch(value):
        return "looks like a reference that nothing replaces; write {env: NAME} or {file: PATH}"
    if not MIN_LENGTH <= len(value) <= MAX_LENGTH:
        return f"has {len(value)} characters; it must have {MIN_LENGTH} to {MAX_LENGTH}"
    if _is_guessed(value):
        return "is too easily guessed; write one that was made at random, such as by `openssl rand -hex 32`"
    return ""


def code_fault(code: str) -> str:
    """As ``credential_fault``, for an AppCode, which must also fit into a header."""
    fault = credential_fault(code)
    if not fault and not (code.isascii() and " " not in code):
        return "stands in a header: an AppCode has ASCII characters only, and no space"
    return fault


def _is_guessed(value: str) -> bool:
    lower = value.lower()
    if len(set(lower)) < _FEWEST_CHARACTERS:
        return True
    steps = {ord(after) - ord(before) for before, after in pairwise(lower)}
    if steps <= {0, 1} or steps <= {0, -1} or (lower.isdigit() and lower in _DIGITS):
        return True
    if sum(character.isdigit() for character in value) >= _MANY_DIGITS:
        return False
    for spelled in (lower, re.sub(r"[\W_\d]+$", "", lower).translate(_LEET)):
        letters = re.sub(r"[^a-z]", "", spelled)
        word = letters[: len(letters) // 2] if letters[: len(letters) // 2] * 2 == letters else letters
        if word in _PLACE_HOLDERS or any(part in letters for part in _PLACE_HOLDER_PARTS):
            return True
    return False


_LEET: Final = str.maketrans("013457@$!", "oieastasi")
