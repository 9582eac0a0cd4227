from collections.abc import Iterator

import pytest

from tests.gateway import Gateway, config_for_tests, running_gateway


@pytest.fixture(scope="session", params=["grpcio", "native"])
def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Envoy as shipped, and the tests' APIs on both transports."""
    with running_gateway(tmp_path_factory.mktemp("clients"), config=config_for_tests(request.param)) as running:
        yield running
