"""What can be told to the upstream in a header: text that arrives there exactly as it is. There is no repair.

A repaired identity is another one: ``al\tice`` and ``al?ice`` are two subjects. Text that a backend, a proxy or a log
on the way would change, cut or read as two is refused where it comes from.
"""

import re
from typing import Final

MAX_HEADER_BYTES: Final = 4096
"""In UTF-8. Longer values meet limits of servers on the way, and a cut identity is another one."""
# Control characters of both kinds but the tabulator, line ends of Unicode, lone surrogates (JSON can spell them, UTF-8
# cannot), and outer white space, which every reader takes off.
_ILLEGAL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|\A\s|\s\Z")


def is_header_value(text: str) -> bool:
    """Whether every reader of a header gets this very text. Characters beyond ASCII travel as UTF-8 (RFC 9110, 5.5)."""
    if len(text) > MAX_HEADER_BYTES or _ILLEGAL.search(text):
        return False
    return text.isascii() or len(text.encode()) <= MAX_HEADER_BYTES
