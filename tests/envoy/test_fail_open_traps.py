"""What Envoy makes of answers that a careless service could give, and that this service never gives any of them."""

from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from demo.stack import Stack, free_ports
from extauthz.domain.decision import Deny, Subject
from extauthz.domain.reason import CATALOGUE
from extauthz.domain.request import Network
from extauthz.domain.settings import ErrorSettings, Generation, Reveal, Settings
from extauthz.domain.snapshot import Snapshot
from extauthz.domain.snapshot.directory import EMPTY
from extauthz.domain.snapshot.gateway import build_gateway
from extauthz.replay.memory import MemoryReplayStore
from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.response import Responder, tell_revision
from extauthz.wire.servicer import CHECK_PATH, SERVICE, Servicer
from tests.gateway import Gateway, connection_manager, patient_bootstrap

PERMISSION_DENIED, UNAVAILABLE = 7, 14


def error_response(code: int, http_status: int) -> bytes:
    """Envoy 1.37's third kind of answer (field 5), which our proto leaves out on purpose."""
    denied = pb.DeniedHttpResponse(status=pb.HttpStatus(code=http_status), body="error").SerializeToString()
    return pb.CheckResponse(status=pb.Status(code=code)).SerializeToString() + b"\x2a" + bytes([len(denied)]) + denied


def denied(code: int | None, http_status: int = 403) -> bytes:
    status = None if code is None else pb.Status(code=code)
    http = pb.DeniedHttpResponse(status=pb.HttpStatus(code=http_status), body="denied")
    return pb.CheckResponse(status=status, denied_response=http).SerializeToString()


def only(code: int) -> bytes:
    return pb.CheckResponse(status=pb.Status(code=code)).SerializeToString()


def code_with_ok(code: int) -> bytes:
    return pb.CheckResponse(status=pb.Status(code=code), ok_response=pb.OkHttpResponse()).SerializeToString()


ABORT = None
TABLE = {
    # answer: (with failure_mode_allow: false, with failure_mode_allow: true)
    "an empty answer is an allow": (b"", 200, 200),
    "a denial without a status is an allow": (denied(None), 200, 200),
    "a denial with status 0 is an allow": (denied(0), 200, 200),
    "an error with status 0 is an allow": (error_response(0, 503), 200, 200),
    "a code alone is a denial": (only(PERMISSION_DENIED), 403, 403),
    "a code beside an ok_response is a denial": (code_with_ok(PERMISSION_DENIED), 403, 403),
    "the code UNAVAILABLE is a denial too": (only(UNAVAILABLE), 403, 403),
    "a denial with 503 never fails open": (denied(UNAVAILABLE, 503), 503, 503),
    "a denial with HTTP 200 looks like an allow": (denied(PERMISSION_DENIED, 200), 200, 200),
    "an error fails open where the operator wants it": (error_response(UNAVAILABLE, 503), 503, 200),
    "an aborted call fails open where the operator wants it": (ABORT, 503, 200),
}


class Careless(grpc.GenericRpcHandler):
    """A service that answers what a test tells it to."""

    def __init__(self) -> None:
        self.answer: bytes | None = only(PERMISSION_DENIED)

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return grpc.unary_unary_rpc_method_handler(self.check) if details.method == CHECK_PATH else None

    def check(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        if self.answer is None:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "denied, one would think")
        return self.answer or b""


@pytest.fixture(scope="module")
def careless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Careless, Gateway]]:
    """Envoy in front of a careless service: the Internet listener as shipped, the VPC one failing open."""
    folder: Path = tmp_path_factory.mktemp("careless")
    (folder / ".demo").mkdir()
    ports, service = free_ports(), Careless()
    server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((service,))
    checks = health.HealthServicer()
    checks.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    server.add_insecure_port(f"127.0.0.1:{ports.service}")
    bootstrap = patient_bootstrap()
    inside = connection_manager(bootstrap["static_resources"]["listeners"][1])
    inside["http_filters"] = [dict(entry) for entry in inside["http_filters"]]
    inside["http_filters"][0]["typed_config"] = {
        **inside["http_filters"][0]["typed_config"],
        "failure_mode_allow": True,
    }
    stack = Stack(folder, ports, bootstrap, concurrency=1)
    server.start()
    try:
        stack.start_backend()
        stack.start_envoy()
        yield service, Gateway(stack, {})
    finally:
        stack.stop()
        server.stop(None).wait()


@pytest.mark.parametrize("name", TABLE)
def test_what_envoy_makes_of_an_answer(careless: tuple[Careless, Gateway], name: str):
    service, gateway = careless
    service.answer, closed, failing_open = TABLE[name]
    assert gateway.call("GET", "/internal/report").status == closed
    assert gateway.call("GET", "/internal/report", network="vpc").status == failing_open


def snapshot(errors: ErrorSettings) -> Snapshot:
    return Snapshot(build_gateway("r", 0, Settings(errors), []), EMPTY)


@pytest.mark.parametrize("generation", Generation)
@pytest.mark.parametrize("reveal", Reveal)
@pytest.mark.parametrize("grpc_caller", [False, True])
def test_no_reason_to_refuse_builds_an_answer_that_envoy_could_take_for_an_allow(
    generation: Generation, reveal: Reveal, grpc_caller: bool
):
    responder = Responder(snapshot(ErrorSettings(generation, reveal)).gateway, "0" * 36)
    for label, reason in CATALOGUE.items():
        for fact in ("", "x", "\r\n\0 \udcff 中" * 3000):
            built = responder.respond(
                Deny(reason, Subject(), fact), Network.INTERNET, "1" * 36, grpc_caller, tell_revision("r1")
            )
            answer = pb.CheckResponse.FromString(built)
            assert answer.status.code != 0, label
            assert answer.WhichOneof("http_response") == "denied_response", label
            assert 400 <= answer.denied_response.status.code <= 599, label
            for option in answer.denied_response.headers:
                assert not set(option.header.value) & {chr(code) for code in (*range(32), 127)}, label


def test_a_fault_inside_the_service_is_a_503_where_envoy_would_fail_open(careless: tuple[Careless, Gateway]):
    def broken_clock() -> int:
        raise RuntimeError("with demo-app-secret-0001 in its message")

    class Nobody:
        def record(self, *_: object) -> bool:
            return True

    service, gateway = careless
    servicer = Servicer(snapshot(ErrorSettings()), MemoryReplayStore(1), Nobody(), broken_clock)
    http = pb.AttributeContext.HttpRequest(method="GET", path="/", host="x")
    request = pb.AttributeContext.Request(http=http)
    answer = servicer.check(pb.CheckRequest(attributes=pb.AttributeContext(request=request)).SerializeToString())
    assert isinstance(answer, bytes)
    service.answer = answer
    for network in ("internet", "vpc"):
        got = gateway.call("GET", "/public/ping", network=network)
        assert (got.status, got.code) == (503, "X503BZ")
        assert b"secret" not in got.head + got.body
