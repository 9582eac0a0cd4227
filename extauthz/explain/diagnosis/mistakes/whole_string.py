"""Mistakes in the string to sign as a whole: its line ends, its encoding, what stands behind it."""

from typing import Final

from extauthz.explain.diagnosis.mistakes.draft import Case
from extauthz.explain.diagnosis.mistakes.mistake import Mistake, Strings


def _line_feed(string: bytes, _: Case) -> Strings:
    yield string + b"\n", "one line feed at the end"
    yield string + b"\n\n", "two line feeds at the end"
    yield b"\n" + string, "one line feed at the start"


def _other_line_ends(string: bytes, _: Case) -> Strings:
    for end, what in ((b"\r\n", "CR LF"), (b"\\n", "a backslash and an n"), (b"#", "the # of the error message")):
        yield string.replace(b"\n", end), f"lines end with {what}"


def _no_line_ends(string: bytes, _: Case) -> Strings:
    yield string.replace(b"\n", b""), ""


def _body_appended(string: bytes, case: Case) -> Strings:
    body = case.request.body
    if body:
        yield string + body, "right behind the parameters"
        yield string + b"\n" + body, "on a line of its own"


def _letter_case(string: bytes, _: Case) -> Strings:
    yield string.lower(), "in lower case"
    yield string.upper(), "in upper case"


def _string_charset(string: bytes, _: Case) -> Strings:
    text = string.decode("utf-8", "replace")
    for charset, errors in (("utf-16-le", "replace"), ("utf-16-be", "replace")):
        yield text.encode(charset, errors), f"the string was encoded in {charset}"
    if not string.isascii():
        for charset in ("latin-1", "ascii", "gb18030"):
            yield text.encode(charset, "replace"), f"the string was encoded in {charset}"


STRING_MISTAKES: Final = (
    Mistake(
        "line_feed_at_end",
        "The string to sign has a line feed at its end, or at its start.",
        "Nothing follows the last parameter, and nothing precedes the method.",
        strings=_line_feed,
    ),
    Mistake(
        "other_line_ends",
        "The lines of the string to sign do not end with a line feed.",
        "End lines with the one byte 0x0A. The `#` of the error message only stands for it.",
        {"PHP": 'write "\\n" in double quotes', "Java": "append('\\n'), not System.lineSeparator()"},
        strings=_other_line_ends,
    ),
    Mistake(
        "no_line_feeds",
        "The string to sign was signed without its line feeds.",
        "Copy the layout from the documentation, not from an error message that left line feeds out.",
        strings=_no_line_ends,
    ),
    Mistake(
        "body_appended",
        "The body was appended to the string to sign.",
        "A body is bound by Content-MD5 alone; only the fields of a form are signed themselves.",
        strings=_body_appended,
    ),
    Mistake(
        "string_letter_case",
        "The whole string to sign was put into one letter case.",
        "Only the method is in upper case; all else stays as it is.",
        strings=_letter_case,
    ),
    Mistake(
        "string_charset",
        "The string to sign was turned into bytes in another encoding than UTF-8.",
        "Encode the string to sign in UTF-8.",
        {"Java": "getBytes(StandardCharsets.UTF_8)", "C#": "Encoding.UTF8, not Encoding.Unicode or Encoding.Default"},
        strings=_string_charset,
    ),
)
