"""All transports answer alike: over TCP and Unix sockets, at the edges of the protocol, and with too much to do."""

import asyncio
import os
import stat
import time
from collections import Counter
from collections.abc import Callable

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2

from extauthz.domain import reason
from extauthz.domain.reason import Reason
from extauthz.later import Later
from extauthz.transport.choice import choose_transport
from extauthz.transport.contract import Health, Transport
from extauthz.transport.grpcio import GrpcioTransport
from extauthz.wire.servicer import CHECK_PATH, SERVICE
from tests.process.running import CODE, base_config, check_request, eventually, free_ports, status_of
from tests.transports import ALL, FRONT

CODED = {"authorization": f"APPCODE {CODE}"}
LARGEST = 6 << 20
HEALTH = "/grpc.health.v1.Health/Check"


@pytest.fixture(params=ALL)
def transport(request) -> str:
    return request.param


@pytest.fixture(params=[FRONT])
def batching(request) -> str:
    """The transport that takes checks in batches, and chooses among those that wait."""
    return request.param


class Scripted:
    """Stands in for the servicer where a test needs to say how long an answer takes."""

    def __init__(self, answer: Callable[[bytes], bytes | Later[bytes]]) -> None:
        self.started: list[bytes] = []
        self.refused: list[Reason] = []
        self._answer = answer

    metadata_names = ()

    def check(self, payload: bytes, binding=None, metadata=()) -> bytes | Later[bytes]:
        self.started.append(payload)
        return self._answer(payload)

    def refuse(self, cause: Reason, binding=None, metadata=()) -> bytes:
        self.refused.append(cause)
        return cause.label.encode()


def sleepily(seconds: float, at_once: bool) -> Callable[[bytes], bytes | Later[bytes]]:
    """Answers that keep the thread for so long, or that wait on the event loop."""

    def now(payload: bytes) -> bytes | Later[bytes]:
        if not at_once:
            later = Later[bytes]()
            asyncio.get_running_loop().call_later(seconds, later.come, b"done")
            return later
        time.sleep(seconds)
        return b"done"

    return now


def with_transport(kind: str, servicer: Scripted, use, limit: int = 500, address: str = "127.0.0.1:0") -> None:
    """Run ``use(channel, transport)`` against a transport with this servicer."""

    async def run() -> None:
        transport = choose_transport(kind)(address, None, servicer, Health(), limit, LARGEST)
        await transport.start()
        try:
            async with grpc.aio.insecure_channel(transport.address) as channel:
                await use(channel, transport)
        finally:
            await transport.stop(2)

    asyncio.run(run())


async def outcome(call) -> str:
    try:
        return (await call).decode()
    except grpc.aio.AioRpcError as error:
        return error.code().name


async def until(condition: Callable[[], object]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("did not happen within 5 s")


def test_each_transport_starts_answers_and_ends_with_status_0(transport, serve, call):
    port, operations = free_ports(2)
    running = serve(base_config([{"address": f"127.0.0.1:{port}"}], operations) | {"transport": transport})
    caller = call(f"127.0.0.1:{port}")
    assert status_of(caller.check("/coded", CODED)) == 200
    assert status_of(caller.check("/coded")) >= 400
    assert running.stop() == 0


def test_a_unix_socket_serves_owner_and_group_and_a_stale_file_is_no_hindrance(transport, serve, call, tmp_path):
    path = tmp_path / "extauthz.sock"
    config = base_config([{"address": f"unix:{path}"}], free_ports(1)[0]) | {"transport": transport}
    first = serve(config)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert status_of(call(f"unix:{path}").check("/coded", CODED)) == 200
    first.process.kill()
    first.process.wait()

    serve(config)
    assert status_of(call(f"unix:{path}").check("/coded", CODED)) == 200


def test_a_unix_socket_is_never_open_to_others_not_even_for_a_moment_under_umask_0(transport, tmp_path, monkeypatch):
    path, modes = tmp_path / "x.sock", []
    change = os.chmod

    def noted(target, mode, **more):
        modes.append(stat.S_IMODE(os.stat(target).st_mode))
        change(target, mode, **more)

    async def look(*_):
        modes.append(stat.S_IMODE(path.stat().st_mode))

    monkeypatch.setattr(os, "chmod", noted)
    before = os.umask(0)
    try:
        with_transport(transport, Scripted(bytes), look, address=f"unix:{path}")
        assert os.umask(0) == 0, "the process's own umask is left as it was"
    finally:
        os.umask(before)
    assert modes == [0o660]


@pytest.mark.parametrize(("mode", "warned"), [(0o777, True), (0o1777, False), (0o775, False)])
def test_a_folder_in_which_anyone_may_replace_the_socket_is_warned_of(transport, tmp_path, caplog, mode, warned):
    async def nothing(*_):
        return

    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(mode)
    with_transport(transport, Scripted(bytes), nothing, address=f"unix:{folder}/x.sock")
    assert ("may replace the socket" in caplog.text) is warned


def test_workers_have_unix_sockets_of_their_own(transport, serve, call, tmp_path):
    config = base_config([{"address": f"unix:{tmp_path}/x.sock"}], free_ports(1)[0]) | {"transport": transport}
    serve(config | {"replay": {"scope": "per_worker"}}, "--workers", "2")
    for index in range(2):
        assert status_of(call(f"unix:{tmp_path}/x.{index}.sock").check("/coded", CODED)) == 200
    assert not os.path.exists(tmp_path / "x.sock")


def test_unknown_methods_and_a_health_watch_are_unimplemented_and_unknown_services_not_found(transport):
    async def use(channel: grpc.aio.Channel, _: Transport) -> None:
        assert await outcome(channel.unary_unary(f"/{SERVICE}/Other")(b"")) == "UNIMPLEMENTED"
        assert await outcome(channel.unary_unary("/no.Such/Thing")(b"")) == "UNIMPLEMENTED"
        with pytest.raises(grpc.aio.AioRpcError) as watch:
            await channel.unary_stream("/grpc.health.v1.Health/Watch")(b"").read()
        assert watch.value.code() is grpc.StatusCode.UNIMPLEMENTED
        other = health_pb2.HealthCheckRequest(service="other").SerializeToString()
        assert await outcome(channel.unary_unary(HEALTH)(other)) == "NOT_FOUND"
        assert await outcome(channel.unary_unary(HEALTH)(b"\xff\xff")) == "NOT_FOUND"
        own = health_pb2.HealthCheckRequest(service=SERVICE).SerializeToString()
        answer = health_pb2.HealthCheckResponse.FromString(await channel.unary_unary(HEALTH)(own))
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await outcome(channel.unary_unary(CHECK_PATH)(b"x")) == "done"

    with_transport(transport, Scripted(lambda payload: b"done"), use)


def test_a_question_over_4_mib_is_read_and_one_over_the_limit_is_denied_not_failed(transport):
    servicer = Scripted(lambda payload: b"done")

    async def use(channel: grpc.aio.Channel, _: Transport) -> None:
        check = channel.unary_unary(CHECK_PATH)
        assert await outcome(check(b"x" * (5 << 20))) == "done"
        assert await outcome(check(b"x" * (LARGEST + 1))) == "request_invalid"

    with_transport(transport, servicer, use)
    assert servicer.refused == [reason.REQUEST_INVALID]


def test_a_cancelled_call_harms_no_other(transport):
    async def use(channel: grpc.aio.Channel, at: Transport) -> None:
        check = channel.unary_unary(CHECK_PATH)
        given_up = [check(b"x") for _ in range(20)]
        await asyncio.sleep(0.05)
        for call in given_up[::2]:
            call.cancel()
        kept = [await outcome(call) for call in given_up[1::2]]
        assert kept == ["done"] * 10
        assert await outcome(check(b"x")) == "done"
        await until(lambda: not at.in_flight)

    with_transport(transport, Scripted(sleepily(0.2, at_once=False)), use)


@pytest.mark.parametrize("at_once", [True, False])
def test_stop_finishes_what_is_in_flight(transport, at_once):
    async def use(channel: grpc.aio.Channel, at: Transport) -> None:
        check = channel.unary_unary(CHECK_PATH)
        calls = [asyncio.ensure_future(outcome(check(b"x" * 1000))) for _ in range(100)]
        await until(lambda: len(servicer.started) >= (1 if at_once and transport != "grpcio" else 100))
        await at.stop(5)
        assert Counter(await asyncio.gather(*calls)) == {"done": 100}

    servicer = Scripted(sleepily(0.004 if at_once else 0.5, at_once))
    with_transport(transport, servicer, use)


def test_stop_is_bounded_when_an_answer_never_comes(transport):
    async def use(channel: grpc.aio.Channel, at: Transport) -> None:
        call = asyncio.ensure_future(outcome(channel.unary_unary(CHECK_PATH)(b"x")))
        await until(lambda: servicer.started)
        begun = time.monotonic()
        await at.stop(0.5)
        assert time.monotonic() - begun < 3
        assert await call in ("UNAVAILABLE", "CANCELLED")

    servicer = Scripted(sleepily(30, at_once=False))
    with_transport(transport, servicer, use)


def test_past_the_limit_checks_are_refused_at_once_while_others_wait(transport):
    async def use(channel: grpc.aio.Channel, at: Transport) -> None:
        check = channel.unary_unary(CHECK_PATH)
        begun = time.monotonic()
        refused_after: list[float] = []

        async def ask() -> str:
            answer = await outcome(check(b"x"))
            if answer == "overloaded":
                refused_after.append(time.monotonic() - begun)
            return answer

        answers = Counter(await asyncio.gather(*(ask() for _ in range(50))))
        assert answers == {"done": 10, "overloaded": 40}
        assert max(refused_after) < 0.9
        assert await ask() == "done", "there is room again"

    with_transport(transport, Scripted(sleepily(1.0, at_once=False)), use, limit=10)


def test_a_burst_behind_a_slow_check_is_refused_beyond_the_limit_and_health_is_still_answered(batching):
    async def use(channel: grpc.aio.Channel, _: Transport) -> None:
        check = channel.unary_unary(CHECK_PATH)
        first = asyncio.ensure_future(outcome(check(b"slow")))
        await until(lambda: servicer.started)
        burst = [asyncio.ensure_future(outcome(check(b"x"))) for _ in range(50)]
        healthy = channel.unary_unary(HEALTH)(b"")
        assert health_pb2.HealthCheckResponse.FromString(await healthy).status
        assert await first == "done"
        assert Counter(await asyncio.gather(*burst)) == {"done": 10, "overloaded": 40}

    def answer(payload: bytes) -> bytes:
        time.sleep(0.5 if payload == b"slow" else 0)
        return b"done"

    servicer = Scripted(answer)
    with_transport(batching, servicer, use, limit=10)


def test_of_a_burst_too_large_those_who_came_last_are_answered(batching):
    async def use(channel: grpc.aio.Channel, _: Transport) -> None:
        check = channel.unary_unary(CHECK_PATH)
        slow = asyncio.ensure_future(outcome(check(b"slow")))
        await until(lambda: servicer.started)
        burst = [asyncio.ensure_future(outcome(check(bytes([number])))) for number in range(50)]
        answers = [await slow, *await asyncio.gather(*burst)]
        assert Counter(answers) == {"done": 11, "overloaded": 40}
        numbers = [ord(payload) for payload in servicer.started[1:]]
        assert min(numbers) >= 30, "gRPC sends them nearly in order"
        assert numbers[0] > numbers[-1], "the newest first"

    def answer(payload: bytes) -> bytes:
        time.sleep(0.5 if payload == b"slow" else 0)
        return b"done"

    servicer = Scripted(answer)
    with_transport(batching, servicer, use, limit=10)


def test_under_overload_what_waited_for_too_long_is_refused_though_there_is_room(batching):
    async def use(channel: grpc.aio.Channel, _: Transport) -> None:
        check = channel.unary_unary(CHECK_PATH)
        answers = Counter(await asyncio.gather(*(outcome(check(b"x")) for _ in range(300))))
        assert answers["done"] + answers["overloaded"] == 300
        assert answers["done"] < 200
        assert await outcome(check(b"x")) == "done", "there is room again"

    with_transport(batching, Scripted(sleepily(0.005, at_once=True)), use, limit=200)


def test_refusals_that_together_take_long_are_no_stall_after_which_nothing_would_be_answered(batching):
    async def use(channel: grpc.aio.Channel, _: Transport) -> None:
        check, ends_s = channel.unary_unary(CHECK_PATH), time.monotonic() + 2

        async def keep_asking() -> None:
            while time.monotonic() < ends_s:
                answers[await outcome(check(b"x"))] += 1

        await asyncio.gather(*(keep_asking() for _ in range(200)))
        assert answers["overloaded"] > 200
        assert answers["done"] > 20

    class SlowToRefuse(Scripted):
        def refuse(self, cause: Reason, binding=None, metadata=()) -> bytes:
            time.sleep(0.001)
            return super().refuse(cause)

    answers: Counter[str] = Counter()
    with_transport(batching, SlowToRefuse(lambda payload: b"done"), use, limit=10)


def test_a_check_whose_deadline_has_passed_is_not_started(transport):
    async def use(channel: grpc.aio.Channel, _: Transport) -> None:
        check = channel.unary_unary(CHECK_PATH)
        calls = [asyncio.ensure_future(outcome(check(bytes([n]), timeout=0.3))) for n in range(8)]
        answers = await asyncio.gather(*calls)
        # Given up by the client, or, with little time left, denied just before that.
        assert set(answers) <= {"done", "overloaded", "DEADLINE_EXCEEDED"}
        assert answers.count("done") < len(answers)
        await asyncio.sleep(0.4)

    servicer = Scripted(sleepily(0.25, at_once=True))
    with_transport(transport, servicer, use)
    assert len(servicer.started) < 8


def test_an_overloaded_service_denies_with_503_and_counts_it(batching, serve, call):
    port, operations = free_ports(2)
    config = base_config([{"address": f"127.0.0.1:{port}"}], operations)
    running = serve(config | {"transport": batching, "limits": {"in_flight": 1}})
    caller = call(f"127.0.0.1:{port}")
    check = caller.channel.unary_unary(CHECK_PATH)

    def burst() -> Counter[int]:
        calls = [check.future(check_request("/coded", CODED), timeout=10) for _ in range(500)]
        from extauthz.wire.generated import ext_authz_pb2 as pb

        return Counter(status_of(pb.CheckResponse.FromString(one.result())) for one in calls)

    seen: Counter[int] = Counter()
    eventually(lambda: seen.update(burst()) or seen[503])
    assert set(seen) == {200, 503}
    counted = [line for line in running.get("/metrics")[1].splitlines() if 'reason="overloaded"' in line]
    assert float(counted[0].rpartition(" ")[2]) == seen[503]


def test_without_the_front_grpcio_serves_and_who_asks_for_the_front_is_told_how_to_get_it(monkeypatch):
    monkeypatch.setattr("extauthz.transport.choice.find_spec", lambda name: None)
    assert choose_transport("auto") is GrpcioTransport
    with pytest.raises(ModuleNotFoundError, match=r"pip install \./front"):
        choose_transport("front")


@pytest.mark.parametrize(("transport", "times"), [("auto", 1), ("grpcio", 0)])
def test_what_the_missing_front_costs_is_said_once_and_not_to_those_who_want_grpcio(transport, times, serve, tmp_path):
    # The folder comes first on the path, and what is in it cannot be imported.
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'extauthz_front' else find(name, *more)\n"
    )
    first, _, operations = free_ports(3)
    config = base_config([{"address": f"127.0.0.1:{first}"}], operations) | {"transport": transport}
    running = serve(
        config | {"replay": {"scope": "per_worker"}}, "--workers", "2", env={"PYTHONPATH": str(tmp_path / "hidden")}
    )
    assert running.log.count("extauthz-front is not installed") == times
    assert "(grpcio)" in running.log
