"""An outage of the service is a 503 and never an allow; when it is back, calls pass again."""

import os
import signal
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tests.gateway import (
    CODE,
    Answer,
    Gateway,
    Header,
    patient_bootstrap,
    running_gateway,
    signed_headers,
    wait_for,
)

ASKED = 15
BREAKER = 3


def probes(gateway: Gateway) -> list[Answer]:
    """An open call, a proven one and an unproven one."""
    return [
        gateway.call("GET", "/public/ping"),
        gateway.signed("GET", "/v1/orders"),
        gateway.call("GET", "/internal/report", [("Authorization", CODE)], network="vpc"),
        gateway.call("GET", "/internal/report", network="vpc"),
        gateway.call("GET", "/nobody-serves-this"),
    ]


def test_with_the_service_killed_every_call_gets_503_until_it_is_back(gateway: Gateway):
    gateway.stack.stop_service(kill=True)
    try:
        for _ in range(3):
            answers = probes(gateway)
            assert [answer.status for answer in answers] == [503] * len(answers)
    finally:
        gateway.stack.start_service()
    wait_for(lambda: gateway.call("GET", "/public/ping").status == 200, "an allowed call")
    assert [answer.status for answer in probes(gateway)] == [200, 200, 200, 400, 404]


def all_threads_stopped(pid: int) -> bool:
    """SIGSTOP reaches the threads of a busy process one after the other: one may still answer when kill returns."""
    states = [stat.read_text().rpartition(")")[2].split()[0] for stat in Path(f"/proc/{pid}/task").glob("*/stat")]
    return set(states) == {"T"}


def test_with_the_service_frozen_a_call_gets_503_within_the_timeout(gateway: Gateway):
    pid = gateway.stack.pid("service")
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: all_threads_stopped(pid), "a frozen service")
        assert gateway.call("GET", "/public/ping").status == 503
        assert gateway.signed("GET", "/v1/orders", "vpc").status == 503
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: gateway.call("GET", "/public/ping").status == 200, "an allowed call")


def test_after_a_stall_of_3_s_nothing_is_decided_that_envoy_gave_up_and_the_rest_is_answered(gateway: Gateway):
    # Envoy waits 2 s here. A nonce that was burnt behind its back would refuse the same request when it comes again.
    target, pid = "/v1/orders?status=open", gateway.stack.pid("service")
    requests = [signed_headers("GET", target) for _ in range(2 * ASKED)]
    with ThreadPoolExecutor(2 * ASKED) as clients:

        def ask(some: list[list[Header]]) -> list[Future[Answer]]:
            return [clients.submit(gateway.call, "GET", target, headers) for headers in some]

        os.kill(pid, signal.SIGSTOP)
        try:
            begun_s = time.monotonic()
            given_up = ask(requests[:ASKED])
            time.sleep(2.4)
            asked_late = ask(requests[ASKED:])
            time.sleep(max(0.0, begun_s + 3 - time.monotonic()))
        finally:
            os.kill(pid, signal.SIGCONT)
        assert statuses(given_up) == {503: ASKED}
        assert statuses(asked_late) == {200: ASKED}
        wait_for(lambda: gateway.call("GET", "/public/ping").status == 200, "an allowed call")
        assert statuses(ask(requests[:ASKED])) == {200: ASKED}
        assert statuses(ask(requests[ASKED:])) == {403: ASKED}, "these were decided, and cannot be used again"


def statuses(answers: list[Future[Answer]]) -> Counter[int]:
    return Counter(answer.result().status for answer in answers)


def test_a_service_that_stops_in_order_lets_no_call_through_unchecked(gateway: Gateway):
    gateway.stack.stop_service()
    try:
        assert {answer.status for answer in probes(gateway)} == {503}
    finally:
        gateway.stack.start_service()
    wait_for(lambda: gateway.call("GET", "/public/ping").status == 200, "an allowed call")


def test_past_the_circuit_breaker_a_call_gets_503_at_once_and_none_passes(tmp_path: Path):
    bootstrap = patient_bootstrap()  # in which Envoy waits for 2 s
    for cluster in bootstrap["static_resources"]["clusters"]:
        for threshold in cluster.get("circuit_breakers", {}).get("thresholds", []):
            threshold |= {"max_requests": BREAKER, "max_pending_requests": BREAKER}
    with running_gateway(tmp_path, bootstrap) as gateway, ThreadPoolExecutor(ASKED) as clients:
        pid = gateway.stack.pid("service")
        os.kill(pid, signal.SIGSTOP)
        try:
            wait_for(lambda: all_threads_stopped(pid), "a frozen service")
            answers = list(clients.map(lambda _: seconds_of(gateway), range(ASKED)))
        finally:
            os.kill(pid, signal.SIGCONT)
        assert {status for status, _ in answers} == {503}
        at_once = [taken_s for _, taken_s in answers if taken_s < 1.0]
        assert len(at_once) >= ASKED - 2 * BREAKER, answers
        wait_for(lambda: gateway.call("GET", "/public/ping").status == 200, "an allowed call")


def seconds_of(gateway: Gateway) -> tuple[int, float]:
    begun_s = time.monotonic()
    status = gateway.call("GET", "/public/ping").status
    return status, time.monotonic() - begun_s
