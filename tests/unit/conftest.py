"""How hypothesis runs here, and the promise of this folder: no process, no port, no network.

Hypothesis tries the same examples every time, so that a red build is a red build for everyone.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.unit.watching import watch

HERE = Path(__file__).parent

# The machine that runs the suite is shared and slow at times; a deadline would only measure its neighbours.
settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("ci"), max_examples=20)
settings.register_profile("explore", deadline=None, max_examples=5_000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    # This hook, unlike the one below, is called for the tests of all folders.
    watch.on = item.path.is_relative_to(HERE)
    try:
        return (yield)
    finally:
        watch.on = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """Whoever swallowed the error fails all the same."""
    result = yield
    seen, watch.seen = watch.seen, []
    assert not seen, f"this test needs another folder: {seen}"
    return result
