"""A denial as its caller can explain it: by the answer alone, and by what the caller itself signed and sent."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

from extauthz.domain.header_names import X_CA_ERROR_CODE, X_CA_ERROR_MESSAGE, X_CA_REQUEST_ID, X_CA_TIMESTAMP
from extauthz.domain.reason import CATALOGUE, TIMESTAMP_EXPIRED, Reason
from extauthz.explain.diagnosis.strings import Line, SideBySide, side_by_side
from extauthz.explain.fact import span

_ECHO: Final = re.compile(r"Server StringToSign:`(.*)`\Z", re.DOTALL)
_MASKED: Final = "***"
_CLOSE_MS: Final = 60_000


class ExplainedAnswer(NamedTuple):
    """What an answer says, and what its caller can see besides."""

    reasons: tuple[Reason, ...]
    """Those that give this code and message; none where the answer is not one of this service's."""
    strings: SideBySide | None
    """The server's string to sign and the caller's, where the answer holds the server's."""
    notes: tuple[str, ...]


def explain_answer(
    status: int, answer: Mapping[str, str], signed: str, sent: Mapping[str, str], now_ms: int
) -> ExplainedAnswer:
    """Explain an answer with a status of 400 or more.

    ``answer`` has the answer's headers by their lower-case names, ``sent`` the request's, and ``signed`` is the string
    that the caller signed. ``now_ms`` is the caller's time in milliseconds since 1970.
    """
    code, message = answer.get(X_CA_ERROR_CODE, ""), answer.get(X_CA_ERROR_MESSAGE, "")
    if not answer.get(X_CA_REQUEST_ID):
        return ExplainedAnswer((), None, (f"HTTP {status} is no answer of the gateway's: it has no X-Ca-Request-Id.",))
    reasons = tuple(reason for reason in CATALOGUE.values() if _gives(reason, code, message))
    echo = _ECHO.search(message)
    strings = None if echo is None else _compared(echo[1], signed)
    notes = []
    if strings is not None and all(line.same for line in strings.lines):
        notes.append(
            "Both sides build the same string, so it is the AppSecret that differs, or the value of a header that the "
            "answer does not show."
        )
    if TIMESTAMP_EXPIRED in reasons:
        notes += _clocks(answer.get("date", ""), sent.get(X_CA_TIMESTAMP, ""), now_ms)
    if not reasons and not message:
        notes.append("The answer has no X-Ca-Error-Message: it came from behind the gateway.")
    return ExplainedAnswer(reasons, strings, tuple(notes))


def _gives(reason: Reason, code: str, message: str) -> bool:
    """Whether a reason may have given this code and message, in either generation."""
    return any(
        answer.code == code and re.fullmatch(re.escape(answer.message).replace(r"\{fact\}", ".*"), message, re.DOTALL)
        for answer in (reason.vpc, reason.legacy)
    )


def _compared(echo: str, signed: str) -> SideBySide:
    """Both strings line by line. The echo writes ``#`` for a line feed, and ``***`` for what it does not show."""
    strings = side_by_side(echo.replace("#", "\n").encode(), signed.replace("#", "\n").encode())
    lines = tuple(line._replace(same=True) if _hides(line) else line for line in strings.lines)
    first = next((number for number, line in enumerate(lines, 1) if not line.same), 0)
    compared = strings._replace(lines=lines)
    return compared if first == strings.line else compared._replace(at=None, line=first)


def _hides(line: Line) -> bool:
    name, colon, value = line.server.partition(":")
    return bool(colon) and value == _MASKED and line.client.startswith(f"{name}:")


def _clocks(date: str, stamp: str, now_ms: int) -> list[str]:
    """What the answer's Date says about the caller's clock."""
    try:
        theirs_ms = int(parsedate_to_datetime(date).timestamp() * 1000)
    except (TypeError, ValueError):
        return []
    notes = []
    if abs(now_ms - theirs_ms) > _CLOSE_MS:
        side = "ahead of" if now_ms > theirs_ms else "behind"
        notes.append(f"This machine's clock is {span(now_ms - theirs_ms)} {side} the gateway's: set it by NTP.")
    if stamp.isdigit() and abs(int(stamp) - theirs_ms) > _CLOSE_MS:
        notes.append(f"X-Ca-Timestamp is {span(int(stamp) - theirs_ms)} away from the gateway's time.")
    return notes
