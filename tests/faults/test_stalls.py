"""A process that stood still while it had much to do starts nothing that was given up meanwhile."""

import functools
import os
import signal
import time
from pathlib import Path

import grpc

from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.servicer import CHECK_PATH
from tests.process.running import base_config, check_request, eventually, free_ports, signed_headers, status_of
from tests.transports import EVERY_TRANSPORT

DEADLINE_S = 1.0
STALL_S = 3.0
DEAR, ASKED, LYING = 40, 15, 200
AT_WORK = 1
"""A check that is being decided when the process is stopped was started in time, and is decided when it goes on."""


def dear_request() -> bytes:
    """A form that costs some 10 ms to look at, refused in the end: the others queue behind it."""
    message = pb.CheckRequest()
    http = message.attributes.request.http
    http.id, http.method, http.path, http.host = "1", "GET", "/signed", "api.test"
    form = "application/x-www-form-urlencoded"
    http.headers.update(signed_headers("/signed", "dear") | {"content-type": form})
    http.raw_body = b"%41" * (1024 * 1024 // 3)
    return message.SerializeToString()


def any_done(asked: list[grpc.Future]) -> bool:
    return any(one.done() for one in asked)


@EVERY_TRANSPORT
def test_a_check_whose_deadline_passed_during_a_stall_burns_no_nonce(serve, call, transport):
    port, operations = free_ports(2)
    running = serve(base_config([{"address": f"127.0.0.1:{port}"}], operations) | {"transport": transport})
    blocking, asking = call(f"127.0.0.1:{port}"), call(f"127.0.0.1:{port}")
    check = asking.channel.unary_unary(CHECK_PATH)
    assert status_of(asking.check("/open")) == status_of(blocking.check("/open")) == 200

    dear = dear_request()
    # On a busy machine the process may have answered before it is stopped, while this one was too late to hear of it;
    # who burned nonces during a stall would do so in each of three.
    for stall in range(3):
        headers = [signed_headers("/signed", f"n{stall}-{number}") for number in range(ASKED)]
        before = [blocking.channel.unary_unary(CHECK_PATH).future(dear, timeout=DEADLINE_S) for _ in range(DEAR)]
        eventually(functools.partial(any_done, before))
        asked = [check.future(check_request("/signed", one), timeout=DEADLINE_S) for one in headers]
        time.sleep(0.05)
        os.kill(running.process.pid, signal.SIGSTOP)
        try:
            time.sleep(STALL_S)
        finally:
            os.kill(running.process.pid, signal.SIGCONT)
        given_up = [one for one, future in zip(headers, asked, strict=True) if failure_of(future)]

        time.sleep(1.0)  # whatever it starts now, it has started by then
        answers = [status_of(asking.check("/signed", one, stream_id="2")) for one in given_up]
        if len(given_up) > ASKED // 2 and answers.count(200) >= len(given_up) - AT_WORK:
            return
    raise AssertionError(f"of {len(given_up)} checks that were given up, these were decided: {answers}")


@EVERY_TRANSPORT
def test_a_check_that_lay_on_the_connection_during_a_stall_burns_no_nonce(serve, call, transport):
    port, operations = free_ports(2)
    running = serve(base_config([{"address": f"127.0.0.1:{port}"}], operations) | {"transport": transport})
    before, after = call(f"127.0.0.1:{port}"), call(f"127.0.0.1:{port}")
    headers = [signed_headers("/signed", f"n{number}") for number in range(LYING)]
    assert status_of(before.check("/open")) == 200
    check = before.channel.unary_unary(CHECK_PATH)
    os.kill(running.process.pid, signal.SIGSTOP)
    eventually(lambda: stands_still(running.process.pid))  # the signal does not stop a running thread at once
    try:
        asked = [check.future(with_body(check_request("/signed", one)), timeout=DEADLINE_S) for one in headers]
        time.sleep(STALL_S)
    finally:
        os.kill(running.process.pid, signal.SIGCONT)
    assert all(failure_of(future) for future in asked)
    time.sleep(1.0)
    answers = [status_of(after.check("/signed", one, stream_id="2")) for one in headers]
    assert answers == [200] * LYING


def stands_still(pid: int) -> bool:
    threads = [task / "stat" for task in Path(f"/proc/{pid}/task").iterdir()]
    return all(thread.read_text().rpartition(")")[2].split()[0] == "T" for thread in threads)


def with_body(check: bytes) -> bytes:
    """With a body of such a size that a call and its cancellation are not read in one go."""
    message = pb.CheckRequest.FromString(check)
    message.attributes.request.http.raw_body = b"x" * 30_000
    return message.SerializeToString()


def failure_of(future: grpc.Future) -> bool:
    error = future.exception()
    assert error is None or error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    return error is not None
