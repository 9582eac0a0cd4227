"""Both transports answer alike."""

import pytest

from tests.unit.serve.running import CODE, base_config, free_ports, status_of

CODED = {"authorization": f"APPCODE {CODE}"}


@pytest.fixture(params=["grpcio", "native"])
def transport(request):
    return request.param


def test_each_transport_starts_answers_and_ends_with_status_0(transport, serve, call):
    port, operations = free_ports(2)
    running = serve(base_config([{"address": f"127.0.0.1:{port}"}], operations) | {"transport": transport})
    caller = call(f"127.0.0.1:{port}")
    assert status_of(caller.check("/coded", CODED)) == 200
    assert status_of(caller.check("/coded")) >= 400
    assert running.stop() == 0
