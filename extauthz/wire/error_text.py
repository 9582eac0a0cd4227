"""What a caller is told of a denial: which answer of the catalogue, and its message as a header can hold it."""

import re
from typing import Final

from extauthz.domain import reason
from extauthz.domain.reason import Answer, Reason
from extauthz.domain.settings import ErrorSettings, Reveal

MAX_MESSAGE_BYTES: Final = 4096
"""Longest X-Ca-Error-Message: many clients cap all response headers together at 8 or 16 KiB."""
_CUT: Final = "...(cut)"
_ILLEGAL: Final = re.compile(r"[\x00-\x1f\x7f]")
_MINIMAL_SIGNATURE_MESSAGE: Final = "Invalid Signature"


def help_link(cause: Reason, errors: ErrorSettings) -> str:
    """The address of the page on a denial; empty where callers are not told. It reveals no more than the answer."""
    if not errors.help_url:
        return ""
    alike = errors.reveal is Reveal.MINIMAL and cause is reason.APP_KEY_UNKNOWN
    return errors.help_url + (reason.SIGNATURE_MISMATCH if alike else cause).label


def answer_of(cause: Reason, fact: str, errors: ErrorSettings) -> Answer:
    """What the caller is told. Under ``reveal: minimal`` unknown key and wrong signature are one and the same."""
    if errors.reveal is Reveal.MINIMAL and cause in (reason.APP_KEY_UNKNOWN, reason.SIGNATURE_MISMATCH):
        return errors.answer(reason.SIGNATURE_MISMATCH)._replace(message=_MINIMAL_SIGNATURE_MESSAGE)
    answer = errors.answer(cause)
    return Answer(answer.code, answer.status, answer.message.replace("{fact}", fact))


def header_text(text: str, room: int = MAX_MESSAGE_BYTES) -> str:
    """An error message as a header can hold it: control characters replaced, cut to ``room`` bytes in UTF-8.

    Nothing that tells an identity is repaired like this; see ``domain.header_value``.
    """
    if not (text.isascii() and text.isprintable()):
        text = _ILLEGAL.sub("?", text.encode("utf-8", "replace").decode())
    if len(text) > room // 4 and len(text.encode()) > room:
        kept = text.encode()[: room - len(_CUT)]
        text = kept.decode("utf-8", "ignore") + _CUT
    return text
