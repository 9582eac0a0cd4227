from collections.abc import Iterator

import pytest

from tests.gateway import Gateway, bootstrap_without_header_mutation, config_for_tests, running_gateway
from tests.transports import ALL


@pytest.fixture(scope="session", params=ALL)
def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Everything in this folder holds on both transports, and without Envoy's own stripping of identity headers."""
    folder = tmp_path_factory.mktemp("gateway")
    config = config_for_tests(request.param)
    with running_gateway(folder, bootstrap_without_header_mutation(), config) as running:
        yield running
