"""Which registry the commands about apps and grants work at."""

from contextvars import ContextVar
from typing import Final

API_URL: Final[ContextVar[str | None]] = ContextVar("API_URL", default=None)
"""The admin API given by ``--api``; None: the database of the configuration file."""
