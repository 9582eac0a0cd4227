"""The driver of the overload lane counts what became of each check."""

import contextlib
import os
import signal

import pytest

from bench.flood import flood
from bench.load import NoResult
from bench.servers import Servers
from bench.world import World
from tests.transports import ALL

RATE = 400


@pytest.fixture(scope="module", params=ALL)
def server(request, tmp_path_factory):
    with Servers(World(), tmp_path_factory.mktemp("flood")) as servers:
        yield servers.constant(request.param, b"an answer", core=f"0-{(os.cpu_count() or 1) - 1}")


@contextlib.contextmanager
def standing_still(server):
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


def test_what_is_answered_in_time_is_counted_as_decided(server):
    measured = flood(server.address, b"x" * 1000, RATE, 1.5, lambda answer: answer == b"an answer", server.cpu_s)
    assert measured.rate + measured.apart["nothing"] + measured.apart["broken"] == pytest.approx(RATE, rel=0.05)
    assert measured.rate > RATE / 2
    assert 0 < measured.p50_us < 200_000


def test_a_refusal_is_not_counted_as_decided(server):
    measured = flood(server.address, b"x", RATE, 1.0, lambda _: False, server.cpu_s)
    assert measured.rate == 0
    assert measured.p99_us == 200_000, "nobody was served: no better than the deadline"
    assert measured.apart["refused"] > RATE / 2


def test_a_server_that_stands_still_is_no_result(server):
    with standing_still(server), pytest.raises(NoResult, match="no answer"):
        flood(server.address, b"x" * 1000, RATE, 0.6, lambda _: True, lambda: 0.0)


def test_a_wrong_answer_is_no_result(server):
    def judge(answer: bytes) -> bool:
        raise AssertionError(answer)

    with pytest.raises(AssertionError, match="an answer"):
        flood(server.address, b"x", RATE, 0.6, judge, server.cpu_s)
