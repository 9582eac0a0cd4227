"""The transports that tests run on. Without extauthz-front what needs it is skipped, and says so."""

import os

import pytest

from extauthz.transport.choice import has_front

BUILT = has_front()
FRONT = pytest.param(
    "front",
    marks=pytest.mark.skipif(
        not BUILT and "EXTAUTHZ_NEEDS_FRONT" not in os.environ, reason="extauthz-front is not built: make front"
    ),
)
"""Skipped where it is not built, and failing there where CI says that it has to be."""
ALL = ["grpcio", FRONT]
EVERY_TRANSPORT = pytest.mark.parametrize("transport", ALL)
