from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.process.running import Caller, Running


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(config: dict[str, Any], *arguments: str, wait: bool = True, env: dict[str, str] | None = None) -> Running:
        folder = tmp_path / f"service-{len(started)}"
        folder.mkdir()
        running = Running(folder, config, *arguments, env=env)
        started.append(running)
        return running.wait_ready() if wait else running

    yield start
    for running in started:
        running.stop()


@pytest.fixture
def call() -> Iterator[Callable[..., Caller]]:
    callers: list[Caller] = []

    def connect(address: str, *arguments: Any, **options: Any) -> Caller:
        callers.append(Caller(address, *arguments, **options))
        return callers[-1]

    yield connect
    for caller in callers:
        caller.close()
