"""The services and callers of tests/process, here too."""

from tests.process.conftest import call, serve

__all__ = ["call", "serve"]
