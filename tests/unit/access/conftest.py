"""Configuration files, as the tests of the configuration write them."""

from tests.unit.config.conftest import write

__all__ = ["write"]
