from collections.abc import Iterator

import pytest

from tests.gateway import Gateway, config_for_tests, patient_bootstrap, running_gateway
from tests.transports import ALL


@pytest.fixture(scope="session", params=ALL)
def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Envoy as shipped, and the tests' APIs on both transports."""
    folder, config = tmp_path_factory.mktemp("clients"), config_for_tests(request.param)
    with running_gateway(folder, patient_bootstrap(), config) as running:
        yield running
