"""A few seconds of `make fuzz-front`: frames of every kind end in denials, and harm nobody else."""

import time

import pytest

from fuzz.front import fuzz
from tests.process.running import base_config, free_ports
from tests.transports import FRONT

SECONDS = 4


@pytest.mark.parametrize("transport", [FRONT])
def test_whatever_frames_come_the_front_denies_and_goes_on(serve, transport):
    port, operations = free_ports(2)
    running = serve(base_config([{"address": f"127.0.0.1:{port}"}], operations) | {"transport": transport})
    found = fuzz(port, SECONDS, time.time_ns() // 1000, lambda: running.process.poll() is None)
    assert found.checks > 0
