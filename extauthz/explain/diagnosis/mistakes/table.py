"""Every mistake that is known, in the order in which they are named where a request cannot tell two of them apart."""

from typing import Final

from extauthz.explain.diagnosis.mistakes.encodings import ENCODING_MISTAKES
from extauthz.explain.diagnosis.mistakes.fixed_lines import FIXED_LINE_MISTAKES
from extauthz.explain.diagnosis.mistakes.header_values import HEADER_VALUE_MISTAKES
from extauthz.explain.diagnosis.mistakes.mistake import Mistake
from extauthz.explain.diagnosis.mistakes.parameters import PARAMETER_MISTAKES
from extauthz.explain.diagnosis.mistakes.path import PATH_MISTAKES
from extauthz.explain.diagnosis.mistakes.sealing import (
    MAC_MISTAKES,
    OTHER_HASH,
    OTHER_SECRET,
    SECRET_MISTAKES,
    SPELLING_MISTAKES,
)
from extauthz.explain.diagnosis.mistakes.signed_headers import SIGNED_HEADER_MISTAKES
from extauthz.explain.diagnosis.mistakes.whole_string import STRING_MISTAKES

MISTAKES: Final[tuple[Mistake, ...]] = (
    *FIXED_LINE_MISTAKES,
    *SIGNED_HEADER_MISTAKES,
    *HEADER_VALUE_MISTAKES,
    *PARAMETER_MISTAKES,
    *ENCODING_MISTAKES,
    *PATH_MISTAKES,
    *STRING_MISTAKES,
    *SECRET_MISTAKES,
    *MAC_MISTAKES,
    *SPELLING_MISTAKES,
    OTHER_HASH,
    OTHER_SECRET,
)


def markdown_of_mistakes() -> str:
    """The table of docs/explain.md."""
    rows = ["| mistake | what the client does | what to change |", "|---|---|---|"]
    for mistake in MISTAKES:
        words = "".join(f" {language}: {cure}." for language, cure in mistake.languages.items())
        rows.append(f"| `{mistake.name}` | {mistake.wrong} | {mistake.cure}{words} |")
    return "\n".join(rows)
