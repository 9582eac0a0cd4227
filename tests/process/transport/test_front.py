"""The front, frame by frame: whatever is no check is denied, and only what is no call of ours gets an error."""

import asyncio
import contextlib
import gzip
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from extauthz.domain import reason
from extauthz.transport.choice import choose_transport
from extauthz.transport.contract import Health
from extauthz.wire.servicer import SERVICE
from tests.process.transport.peer import Outcome, Peer, framed
from tests.process.transport.test_transports import LARGEST, Scripted
from tests.transports import BUILT

pytestmark = pytest.mark.skipif(not BUILT, reason="extauthz-front is not built: make front")
OPENING_S = 10
UNIMPLEMENTED = "12"


class Dial:
    """Makes connections to a front."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._made: list[Peer | socket.socket] = []

    def __call__(self) -> Peer:
        self._made.append(peer := Peer(self._port))
        return peer

    def silent(self) -> socket.socket:
        self._made.append(one := socket.create_connection(("127.0.0.1", self._port), timeout=OPENING_S + 5))
        return one

    def hang_up(self) -> None:
        for one in self._made:
            one.close()


def with_front(use: Callable[[Dial], Any], servicer: Scripted | None = None, limit: int = 500) -> Scripted:
    """Run ``use`` in a thread beside a front that answers with what it was asked."""
    asked = servicer or Scripted(lambda payload: payload)

    async def run() -> None:
        at = choose_transport("front")("127.0.0.1:0", None, asked, Health(), limit, LARGEST)
        await at.start()
        dial = Dial(int(at.address.rpartition(":")[2]))
        try:
            await asyncio.to_thread(use, dial)
        finally:
            dial.hang_up()
            await at.stop(1)

    asyncio.run(run())
    return asked


def check(what: bool) -> None:
    assert what


NO_MESSAGE = {
    "nothing": b"",
    "a short prefix": b"\0\0\0",
    "less than announced": framed(b"hello")[:-1],
    "more than announced": framed(b"hello") + b"x",
    "two messages": framed(b"one") + framed(b"two"),
    "a compressed message": framed(gzip.compress(b"x" * 1_000_000), flag=1),
    "an unknown flag": framed(b"hello", flag=2),
    "more than the limit": b"\0" + (LARGEST + 1).to_bytes(4, "big"),
}


@pytest.mark.parametrize("body", NO_MESSAGE.values(), ids=NO_MESSAGE)
def test_what_is_no_message_is_denied_by_the_servicer_and_never_begun(body):
    asked = with_front(lambda dial: check(dial().ask(body).message == "request_invalid"))
    assert (asked.started, asked.refused) == ([], [reason.REQUEST_INVALID])


@pytest.mark.parametrize(
    "headers",
    [[("grpc-encoding", "gzip")], [("grpc-encoding", "identity"), ("grpc-encoding", "deflate")]],
)
def test_a_call_that_announces_compression_is_denied(headers):
    def use(dial: Dial) -> None:
        assert dial().ask(framed(b"x"), headers).message == "request_invalid"
        assert dial().ask(framed(b"x"), [("grpc-encoding", "identity")]).message == "x"

    assert with_front(use).started == [b"x"]


@pytest.mark.parametrize(
    "authority",
    ["outbound|9191||authz.default.svc.cluster.local", "extension/gateway/authz", "tmp%2Fauthz.sock", "a b", "é", ""],
)
def test_the_name_of_envoys_cluster_as_authority_is_no_hindrance(authority):
    with_front(lambda dial: check(dial().ask(framed(b"x"), authority=authority).message == "x"))


def test_a_message_in_single_bytes_is_read_and_one_that_stops_coming_is_denied():
    def use(dial: Dial) -> None:
        peer = dial()
        slow, stopped, empty = peer.begin(), peer.begin(), peer.begin()
        for number in range(len(framed(b"slow"))):
            peer.send(slow, framed(b"slow")[number : number + 1])
        peer.send(slow, b"", end=True)
        peer.send(stopped, framed(b"stopped")[:-1])
        assert peer.wait(slow).message == "slow"
        assert peer.wait(stopped).message == "request_invalid"
        assert peer.wait(empty).message == "request_invalid"

    assert with_front(use).started == [b"slow"]


def test_metadata_as_large_as_envoy_takes_from_its_clients_is_no_error():
    with_front(lambda dial: check(dial().ask(framed(b"x"), [("x-copied", "y" * 15_000)] * 6).message == "x"))


def test_a_call_given_up_before_python_looked_is_never_begun():
    def use(dial: Dial) -> None:
        peer = dial()
        slow = peer.begin()
        peer.send(slow, framed(b"slow"), end=True)
        time.sleep(0.2)
        for number in range(20):
            stream = peer.begin()
            peer.send(stream, framed(b"given up"), end=True)
            if number % 2:
                time.sleep(0.01)
            peer.reset(stream)
        kept = peer.ask(framed(b"kept"))
        assert (peer.wait(slow).message, kept.message) == ("slow", "kept")

    def answer(payload: bytes) -> bytes:
        time.sleep(0.8 if payload == b"slow" else 0)
        return payload

    assert with_front(use, Scripted(answer)).started == [b"slow", b"kept"]


def test_a_call_given_up_while_it_waits_in_python_is_never_begun():
    def use(dial: Dial) -> None:
        peer = dial()
        streams = []
        for _ in range(200):
            streams.append(peer.begin())
            peer.send(streams[-1], framed(b"x"), end=True)
        time.sleep(0.2)
        for stream in streams[100:]:
            peer.reset(stream)
        assert {peer.wait(stream).message for stream in streams[:100]} == {"x"}

    def answer(payload: bytes) -> bytes:
        time.sleep(0.005)
        return payload

    assert len(with_front(use, Scripted(answer)).started) <= 100 + 64


@pytest.mark.parametrize("timeout", ["0n", "1n", "1m"])
def test_a_call_whose_deadline_has_passed_is_refused_and_never_begun(timeout):
    def use(dial: Dial) -> None:
        assert dial().ask(framed(b"x"), [("grpc-timeout", timeout)]).message == "overloaded"

    asked = with_front(use)
    assert (asked.started, asked.refused) == ([], [reason.OVERLOADED])


def test_what_is_no_call_of_ours_gets_an_error_and_costs_python_nothing():
    def use(dial: Dial) -> None:
        peer = dial()
        for path in f"/{SERVICE}/Other", f"/{SERVICE}/Check/", "/", "/grpc.health.v1.Health/Watch":
            assert peer.ask(framed(b"x"), path=path).headers["grpc-status"] == UNIMPLEMENTED
        assert peer.ask(framed(b"x"), [("content-type", "text/plain")]).message == "request_invalid"

    assert with_front(use).started == []


def test_a_tunnel_is_not_opened():
    def use(dial: Dial) -> None:
        peer = dial()
        stream = peer._h2.get_next_available_stream_id()
        peer._h2.send_headers(stream, [(":method", "CONNECT"), (":authority", "test")])
        peer.outcomes[stream] = outcome = Outcome()
        peer.flush()
        peer.wait(stream)
        assert outcome.headers[":status"] == "405"

    with_front(use)


def test_a_connection_that_says_nothing_or_half_a_preface_is_closed():
    def use(dial: Dial) -> None:
        silent, half = dial.silent(), dial.silent()
        half.sendall(b"PRI * HTTP/2.0")
        begun_s = time.monotonic()
        for one in silent, half:
            while one.recv(1000):  # the front's settings
                pass
        assert time.monotonic() - begun_s > OPENING_S - 1

    with_front(use)


def test_where_there_are_too_many_connections_those_that_asked_stay(monkeypatch):
    monkeypatch.setattr("extauthz.transport.front.CONNECTIONS", 10)

    def use(dial: Dial) -> None:
        asking = [dial() for _ in range(5)]
        assert [peer.ask(framed(b"x")).message for peer in asking] == ["x"] * 5
        silent = [dial.silent() for _ in range(40)]
        newest = dial()
        assert newest.ask(framed(b"new")).message == "new"
        assert [peer.ask(framed(b"x")).message for peer in asking] == ["x"] * 5
        closed = sum(is_closed(one) for one in silent)
        assert closed >= 30

    with_front(use)


def is_closed(connection: socket.socket) -> bool:
    connection.settimeout(0.1)
    try:
        while connection.recv(1000):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


def test_a_stop_says_goaway_closes_what_is_idle_and_accepts_no_more():
    async def run() -> None:
        servicer = Scripted(lambda payload: payload)
        at = choose_transport("front")("127.0.0.1:0", None, servicer, Health(), 10, LARGEST)
        await at.start()
        dial = Dial(port := int(at.address.rpartition(":")[2]))
        idle, silent = await asyncio.to_thread(lambda: (dial(), dial.silent()))
        assert (await asyncio.to_thread(idle.ask, framed(b"x"))).message == "x"
        closed = asyncio.create_task(asyncio.to_thread(idle.wait_closed, 10))
        begun_s = time.monotonic()
        await at.stop(5)
        assert time.monotonic() - begun_s < 4
        assert await closed
        assert idle.goaway == 0
        assert silent.recv(1000)
        assert silent.recv(1000) == b""
        dial.hang_up()
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1)

    asyncio.run(run())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such a policy")
def test_the_thread_of_the_connections_interrupts_no_check_and_the_others_are_as_before():
    policies: dict[str, int] = {}

    def use(_: Dial) -> None:
        deadline = time.monotonic() + 10
        while "front" not in policies and time.monotonic() < deadline:  # a thread gives itself its name
            policies.clear()
            for thread in Path("/proc/self/task").iterdir():
                with contextlib.suppress(OSError):  # that one ended meanwhile
                    policies[(thread / "comm").read_text().strip()] = os.sched_getscheduler(int(thread.name))

    with_front(use)
    assert policies.pop("front") == os.SCHED_BATCH
    assert set(policies.values()) == {os.SCHED_OTHER}
