"""The services and callers of tests/unit/serve, here too."""

from tests.unit.serve.conftest import call, serve

__all__ = ["call", "serve"]
