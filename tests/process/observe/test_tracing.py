"""Tracing: Envoy's sampled checks, and only those, reach an OTLP collector as children of Envoy's span."""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import grpc.aio
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from extauthz.config.sections.tracing import Tracing as Section
from extauthz.domain import reason
from extauthz.later import Later
from extauthz.observe.tracing import Tracing, is_sampled
from extauthz.transport.choice import choose_transport
from extauthz.transport.contract import Health
from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.servicer import CHECK_PATH
from tests.process.observe.otlp_collector import Collector, attributes_of
from tests.process.running import base_config, check_request, free_ports
from tests.transports import EVERY_TRANSPORT
from tests.unit.building import CODE
from tests.unit.wire import checking

LARGEST = 1 << 20
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, NOT_SAMPLED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"


@pytest.fixture
def collector():
    server = Collector()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def config():
    port, operations = free_ports(2)
    return base_config([{"address": f"127.0.0.1:{port}"}], operations)


def ask(caller, path, *metadata):
    answer = caller.channel.unary_unary(CHECK_PATH)(check_request(path), timeout=5, metadata=metadata)
    return pb.CheckResponse.FromString(answer)


@EVERY_TRANSPORT
def test_a_check_that_envoy_sampled_becomes_a_child_of_envoys_span(config, serve, call, collector, transport):
    config["tracing"] = {
        "endpoint": collector.endpoint, "service_name": "edge", "headers": {"X-Key": {"env": "COLLECTOR_KEY"}},
    }  # fmt: skip
    running = serve(config | {"transport": transport}, env={"COLLECTOR_KEY": "collector-secret-1"})
    caller = call(config["listen"][0]["address"])
    before_ns = time.time_ns()
    ask(caller, "/open", ("traceparent", NOT_SAMPLED))
    ask(caller, "/open")
    ask(caller, "/open", ("traceparent", "nonsense"))
    allowed = ask(caller, "/open", ("traceparent", SAMPLED), ("tracestate", "vendor=1"))
    ask(caller, "/coded", ("traceparent", SAMPLED))
    assert running.stop() == 0

    allow, deny = sorted(collector.spans, key=lambda span: span.start_time_unix_nano)
    for span in allow, deny:
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, SPAN)
        assert before_ns < span.start_time_unix_nano <= span.end_time_unix_nano < time.time_ns()
        assert (span.name, span.kind, span.status.code) == ("ext_authz check", span.SPAN_KIND_SERVER, 0)
    assert allow.trace_state == "vendor=1"
    told = attributes_of(allow)
    assert (told["extauthz.decision"], told["extauthz.reason"], told["extauthz.api"]) == ("allow", "anonymous", "open")
    assert told["extauthz.decision_id"] == allowed.dynamic_metadata.fields["decision_id"].string_value
    told, missing = attributes_of(deny), reason.CATALOGUE[attributes_of(deny)["extauthz.reason"]]
    assert (told["extauthz.decision"], told["extauthz.failure"]) == ("deny", False)
    assert (told["http.response.status_code"], told["extauthz.error_code"]) == (missing.vpc.status, missing.vpc.code)
    assert told["extauthz.advice"] == missing.advice
    assert {header["x-key"] for header in collector.headers} == {"collector-secret-1"}
    assert "collector-secret-1" not in running.log
    (name,) = {
        entry.value.string_value for entry in collector.requests[0].resource_spans[0].resource.attributes
        if entry.key == "service.name"
    }  # fmt: skip
    assert name == "edge"


def test_checks_without_a_parent_are_traced_where_asked_for(config, serve, call, collector):
    config["tracing"] = {"endpoint": collector.endpoint, "sample_without_parent": 1.0}
    running = serve(config)
    caller = call(config["listen"][0]["address"])
    ask(caller, "/open")
    ask(caller, "/open", ("traceparent", NOT_SAMPLED))
    assert running.stop() == 0
    (span,) = collector.spans
    assert (span.parent_span_id, len(span.trace_id)) == (b"", 16)


def test_no_collector_and_a_slow_one_cost_no_check_and_no_stop(config, serve, call, collector):
    collector.delay_s = 30
    endpoints = [collector.endpoint, f"http://127.0.0.1:{free_ports(1)[0]}/v1/traces"]
    for endpoint in endpoints:
        running = serve(config | {"tracing": {"endpoint": endpoint}})
        caller = call(config["listen"][0]["address"])
        started = time.monotonic()
        answers = [ask(caller, "/open", ("traceparent", SAMPLED)) for _ in range(50)]
        assert all(answer.HasField("ok_response") for answer in answers)
        assert time.monotonic() - started < 4
        caller.close()
        started = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - started < 5


def test_an_answer_that_comes_later_is_traced_when_it_comes(collector):
    servicer = checking.servicer()
    payload = checking.check_request().SerializeToString()
    answer, answers = Later(), []

    class Slow:
        def check(self, payload, binding, told):
            answer.then(lambda _: answers.append(servicer.check(payload, binding, told=told)))
            return answer

    tracing = Tracing(Section(endpoint=collector.endpoint), Slow(), Path())
    assert tracing.check(payload, None, [("traceparent", SAMPLED)]) is answer
    time.sleep(0.05)
    answer.come(b"")
    tracing.close()
    assert pb.CheckResponse.FromString(answers[0]).HasField("dynamic_metadata")
    (span,) = collector.spans
    assert span.end_time_unix_nano - span.start_time_unix_nano > 40_000_000


@EVERY_TRANSPORT
def test_what_is_refused_before_the_decision_is_traced_too(transport, collector):
    servicer = checking.servicer()

    class Slow:
        refuse = staticmethod(servicer.refuse)

        def check(self, payload, binding, told):
            answer = Later()
            answered = servicer.check(payload, binding, told=told)
            asyncio.get_running_loop().call_later(0.3, answer.come, answered)
            return answer

    slow = Slow()
    tracing = Tracing(Section(endpoint=collector.endpoint), slow, Path())

    async def ask_all():
        at = choose_transport(transport)("127.0.0.1:0", None, tracing, Health(), 2, LARGEST)
        await at.start()
        async with grpc.aio.insecure_channel(at.address) as channel:
            check = channel.unary_unary(CHECK_PATH)
            sampled, unsampled = (("traceparent", SAMPLED),), (("traceparent", NOT_SAMPLED),)
            await check(b"x" * (LARGEST + 1), metadata=sampled)
            await check(b"x" * (LARGEST + 1), metadata=unsampled)
            await check(b"\xff\xff", metadata=sampled)
            await asyncio.gather(*(check(b"", metadata=sampled) for _ in range(5)))
        await at.stop(1)

    asyncio.run(ask_all())
    tracing.close()
    assert {(span.trace_id.hex(), span.parent_span_id.hex()) for span in collector.spans} == {(TRACE, SPAN)}
    told = Counter((attributes_of(span)["extauthz.reason"], span.status.code) for span in collector.spans)
    assert told == {("request_invalid", 0): 4, ("overloaded", span_error()): 3}


def span_error():
    return Span().status.STATUS_CODE_ERROR


def test_a_failure_is_an_error_of_the_span_and_a_denial_is_none(collector):
    class Failing:
        def check(self, payload, binding, told):
            return checking.servicer().refuse(reason.INTERNAL_ERROR, binding, told=told)

    tracing = Tracing(Section(endpoint=collector.endpoint), Failing(), Path())
    tracing.check(b"", None, [("traceparent", SAMPLED)])
    tracing.close()
    (span,) = collector.spans
    assert (span.status.code, attributes_of(span)["extauthz.failure"]) == (span.status.STATUS_CODE_ERROR, True)


def test_what_cannot_be_traced_is_answered_all_the_same(collector, caplog):
    class Odd:
        def check(self, payload, binding, told):
            told(None)
            return b"answer"

    tracing = Tracing(Section(endpoint=collector.endpoint), Odd(), Path())
    assert {tracing.check(b"", None, [("traceparent", SAMPLED)]) for _ in range(3)} == {b"answer"}
    tracing.close()
    assert caplog.text.count("could not be traced") == 1


def test_no_credential_is_in_a_span(collector):
    tracing = Tracing(Section(endpoint=collector.endpoint), checking.servicer(), Path())
    for code in CODE, "some-other-app-code-77":
        for path in "/internal/report", f"/internal/report?AppCode={code}":
            sent = checking.check_request(path=path, headers={"authorization": f"APPCODE {code}"}, network="vpc")
            tracing.check(sent.SerializeToString(), None, [("traceparent", SAMPLED)])
    tracing.close()
    assert len(collector.spans) == 4
    assert [code for code in (CODE, "some-other-app-code-77") if code in str(collector.requests)] == []


@pytest.mark.parametrize(
    ("traceparent", "sampled"),
    [(SAMPLED, True), (NOT_SAMPLED, False), (SAMPLED + "-later-version", True), (f"00-{TRACE}-{SPAN}-03", True),
     ("", False), ("00", False), (f"00-{TRACE}-{SPAN}-zz", False), (b"\xff" * 60, False), ("x" * 60, False)],
)  # fmt: skip
def test_only_the_flag_says_sampled(traceparent, sampled):
    assert is_sampled(traceparent) is sampled


def without_the_extra(program, *arguments):
    program = f"import sys; sys.modules['opentelemetry'] = None; {program}"
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60)


def test_without_a_tracing_section_nothing_of_it_is_needed():
    modules = "extauthz.serve.process, extauthz.transport.grpcio"
    ended = without_the_extra(f"import {modules}; print('extauthz.observe.tracing' in sys.modules)")
    assert (ended.stdout, ended.stderr) == ("False\n", "")


def test_a_tracing_section_without_the_extra_ends_the_start_and_says_what_to_install(config, tmp_path):
    file = tmp_path / "extauthz.yaml"
    file.write_text(json.dumps(config | {"tracing": {"endpoint": "http://localhost:4318/v1/traces"}}))
    ended = without_the_extra("from extauthz.cli.main import app; app()", "serve", "--config", str(file))
    assert ended.returncode == 1
    assert "`tracing` needs `pip install extauthz[tracing]`" in ended.stderr


def test_the_collector_is_reached_by_http_and_its_address_holds_no_password():
    for endpoint in "localhost:4318", "http://user:password@host:4318/v1/traces", "grpc://host:4317":
        with pytest.raises(ValueError, match="endpoint"):
            Section(endpoint=endpoint)
    assert Section(endpoint="https://host/v1/traces").sample_without_parent == 0
