"""The operations port: strangers may hold on to it, and it answers the others."""

import os
import resource
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily

from extauthz.serve import operations
from extauthz.serve.operations import MAX_HEAD_BYTES, MOST_WAITING, OperationsServer
from tests.process.running import base_config, eventually, free_ports, status_of

HALF = b"GET /metrics HTTP/1.1\r\nHost: x\r\n"


class Slow:
    """A collector that takes its time, and counts how often it is asked."""

    def __init__(self):
        self.asked = 0
        self.seconds = 0.0

    def collect(self):
        self.asked += 1
        time.sleep(self.seconds)
        yield GaugeMetricFamily("asked", "How often.", value=self.asked)


@pytest.fixture
def slow():
    return Slow()


@pytest.fixture
def port(slow):
    registry = CollectorRegistry()
    registry.register(slow)
    server = OperationsServer(f"127.0.0.1:{free_ports(1)[0]}", registry, lambda: {"ready": False, "why": "a test"})
    server.start()
    yield server.port
    server.stop()


def exchange(port: int, sent: bytes) -> bytes:
    """Everything that is answered to these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent)
        received = b""
        while piece := connection.recv(65_536):
            received += piece
        return received


def get(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    head, _, body = exchange(port, f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()).partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.fixture
def half_requests():
    """Open so many connections that never finish their request."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    held: list[socket.socket] = []

    def open_many(port: int, count: int) -> None:
        for number in range(count):
            held.append(socket.create_connection(("127.0.0.1", port), timeout=10))
            held[-1].sendall(HALF if number % 2 else b"")

    yield open_many
    for one in held:
        one.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_thousand_half_requests_leave_health_metrics_checks_and_reload_working(serve, call, half_requests, workers):
    first, _, port = free_ports(3)
    config = base_config([{"address": f"127.0.0.1:{first}"}], port) | {
        "replay": {"scope": "per_worker"},
        "watch": False,
    }
    running = serve(config, "--workers", str(workers))
    threads = len(running_threads(running))
    half_requests(port, 1000)

    assert running.get("/healthz")[0] == 200
    assert running.get("/readyz")[0] == 200
    assert "extauthz_build_info" in running.get("/metrics")[1]
    assert status_of(call(f"127.0.0.1:{first}").check("/open")) == 200
    revision = running.ready()["revision"]
    running.write(config | {"grants": []})
    running.signal(signal.SIGHUP)
    eventually(lambda: running.ready()["revision"] != revision, 40)
    assert len(running_threads(running)) <= threads + 2
    assert "Traceback" not in running.log


def running_threads(running) -> list[str]:
    return os.listdir(f"/proc/{running.process.pid}/task")


def test_who_does_not_finish_a_request_is_hung_up_on(port, monkeypatch):
    monkeypatch.setattr(operations, "HEAD_TIMEOUT_S", 0.2)
    began = time.monotonic()
    assert exchange(port, HALF) == b""
    assert time.monotonic() - began < 5


def test_a_slow_drip_is_no_way_around_the_time_that_a_request_may_take(port, monkeypatch):
    monkeypatch.setattr(operations, "HEAD_TIMEOUT_S", 0.4)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        began = time.monotonic()
        with suppress(ConnectionError):
            for _ in range(1000):
                connection.sendall(b"G")
                time.sleep(0.02)
    assert time.monotonic() - began < 5


def test_of_too_many_that_wait_the_oldest_makes_room(port):
    oldest = socket.create_connection(("127.0.0.1", port), timeout=10)
    oldest.sendall(HALF)
    time.sleep(0.1)
    others = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(MOST_WAITING)]
    oldest.settimeout(3)
    with suppress(ConnectionResetError):
        assert oldest.recv(1) == b""
    assert get(port, "/healthz")[0] == 200
    for one in (oldest, *others):
        one.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"x" * MAX_HEAD_BYTES, 431),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (b"what is this\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", 503),
        (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
        (b"GET /metrics?name[]=asked HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    ],
)
def test_what_is_asked_wrongly_is_refused_and_the_port_goes_on(port, sent, status):
    assert int(exchange(port, sent).split()[1]) == status
    assert get(port, "/healthz") == (200, b'{"alive": true}\n')
    assert get(port, "/healthz", "HEAD") == (200, b"")


def test_fifty_scrapes_at_once_cost_two_pages_and_keep_nobody_from_asking_how_we_are(port, slow):
    slow.seconds = 0.3
    slow.asked = 0
    with ThreadPoolExecutor(50) as pool:
        scrapes = [pool.submit(get, port, "/metrics") for _ in range(50)]
        time.sleep(0.05)
        began = time.monotonic()
        assert get(port, "/healthz")[0] == 200
        assert time.monotonic() - began < 0.25
        assert {scrape.result()[0] for scrape in scrapes} == {200}
    assert slow.asked <= 3


def test_a_page_tells_what_was_so_after_it_was_asked_for(port, slow):
    slow.asked = 0
    slow.seconds = 0.3
    first = threading.Thread(target=get, args=(port, "/metrics"))
    first.start()
    time.sleep(0.1)
    assert b"asked 2.0" in get(port, "/metrics")[1]
    first.join()


def test_who_takes_no_answer_is_hung_up_on_and_others_get_theirs(port, slow, monkeypatch):
    monkeypatch.setattr(operations, "ANSWER_TIMEOUT_S", 0.5)
    monkeypatch.setattr(slow, "collect", lambda: iter([GaugeMetricFamily("big", "x" * 20_000_000, value=1)]))
    with socket.create_connection(("127.0.0.1", port), timeout=10) as reader:
        reader.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(1.5)
        assert get(port, "/healthz")[0] == 200
        received = 0
        with suppress(ConnectionResetError):
            while piece := reader.recv(1 << 20):
                received += len(piece)
        assert received < 20_000_000


def test_who_leaves_the_end_of_a_page_lying_keeps_no_more_connections_than_there_are_places(port, slow, monkeypatch):
    monkeypatch.setattr(slow, "collect", lambda: iter([GaugeMetricFamily("big", "x" * 5_000_000, value=1)]))
    lazy = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(operations.MOST_SCRAPES + 20)]
    for one in lazy:
        one.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert get(port, "/healthz")[0] == 200
    assert get(port, "/metrics")[0] == 200
    received = 0
    with suppress(ConnectionResetError):
        while piece := lazy[0].recv(1 << 20):
            received += len(piece)
    assert received < 5_000_000, "the first of them has made room"
    for one in lazy:
        one.close()


def test_a_collector_that_fails_fails_its_scrape_alone(port, slow, monkeypatch):
    def failing():
        raise ValueError("secret")
        yield

    monkeypatch.setattr(slow, "collect", failing)
    assert exchange(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 500 ")
    monkeypatch.undo()
    assert get(port, "/metrics")[0] == 200


def test_a_server_that_never_started_can_be_stopped():
    server = OperationsServer(f"127.0.0.1:{free_ports(1)[0]}", CollectorRegistry(), lambda: {"ready": True})
    server.stop()
    socket.create_server(("127.0.0.1", server.port)).close()
