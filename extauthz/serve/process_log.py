"""The process's own log, on standard error: the same for the service, its supervisor and its workers."""

import logging
from typing import Final

OURS: Final = "extauthz"


def log_to_stderr(prefix: str = "") -> None:
    """What we say from INFO on, what libraries say from WARNING on.

    Libraries tell at INFO what they do, such as every URL that is fetched, with whatever secret its query holds.
    """
    logging.basicConfig(level=logging.WARNING, format=f"%(asctime)s %(levelname)s {prefix}%(message)s")
    logging.getLogger(OURS).setLevel(logging.INFO)
