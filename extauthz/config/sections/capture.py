"""``capture``: where denied checks may be kept for a while, sealed, once an operator asks for it."""

import base64
import binascii
from pathlib import Path
from typing import Final

from pydantic import Field

from extauthz.config.names import Section
from extauthz.config.problems import Report
from extauthz.config.secrets import Secret, SecretUnresolved, resolve

KEY_BYTES: Final = 32


class Capture(Section):
    """Nothing is kept until `extauthz capture on` asks for it, on the same host and with the same key.

    ```yaml
    folder: /var/lib/extauthz/captures
    key: {file: capture.key}
    ```
    """

    folder: Path = Field(description="of this host; made when it is first used, and nobody else may look into it")
    key: Secret = Field(description="seals what is kept: 32 bytes in base64; `extauthz registry new-key` makes one")


def capture_key(section: Capture, base: Path) -> bytes:
    """The key. ``base`` is the folder of the configuration file. Raises SecretUnresolved."""
    try:
        key = base64.b64decode(resolve(section.key, base).strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise SecretUnresolved(f"it is not {KEY_BYTES} bytes in base64; `extauthz registry new-key` makes a key")
    return key


def check_capture(section: Capture | None, base: Path, report: Report) -> None:
    """Report what is wrong with `capture`."""
    if section is None:
        return
    try:
        capture_key(section, base)
    except SecretUnresolved as error:
        report(("capture", "key"), str(error))
