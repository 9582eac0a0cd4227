"""One stack for the tests that only use it, fresh ones for those that break something."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.oidc.mesh import Mesh, running, service_config


@pytest.fixture(scope="session")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A stack whose provider no test stops, slows down or takes a key from."""
    with running(tmp_path_factory.mktemp("mesh")) as started:
        yield started


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A stack that asks its provider about every second, whatever the provider answers."""
    folder = tmp_path_factory.mktemp("broken")
    with running(folder, config=lambda issuer: service_config(issuer, min_lifetime=1, max_lifetime=1)) as started:
        yield started


@pytest.fixture
def own(tmp_path: Path) -> Callable[..., Any]:
    """Starts a stack for one test that breaks things."""
    return lambda **options: running(tmp_path / "stack", **options)
