"""One trace from the caller through a real Envoy into the service: Envoy's own tracer, and a collector for both."""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.gateway import (
    CODE,
    Gateway,
    config_for_tests,
    connection_manager,
    patient_bootstrap,
    running_gateway,
    signed_headers,
)
from tests.process.observe.otlp_collector import Collector, attributes_of
from tests.process.running import eventually
from tests.transports import ALL

CALLER_TRACE, CALLER_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
OURS = "ext_authz check"


class Traced(NamedTuple):
    gateway: Gateway
    collector: Collector

    def spans(self, trace: str, count: int = 1) -> dict[str, Any]:
        """All spans of a trace by their ids, once as many of ours are among them as there should be."""

        def found() -> dict[str, Any]:
            spans = {span.span_id.hex(): span for span in self.collector.spans if span.trace_id.hex() == trace}
            return spans if self._complete(spans, count) else {}

        return eventually(found, 20)

    @staticmethod
    def _complete(spans: dict[str, Any], count: int) -> bool:
        ours = [span for span in spans.values() if span.name == OURS]
        return len(ours) == count and all(span.parent_span_id.hex() in spans for span in ours)


@pytest.fixture(scope="module", params=ALL)
def traced(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    collector = Collector()
    config = config_for_tests(request.param) | {"tracing": {"endpoint": collector.endpoint}}
    folder = tmp_path_factory.mktemp("traced")
    with running_gateway(folder, tracing_bootstrap(collector), config) as gateway:
        yield Traced(gateway, collector)
    collector.shutdown()
    collector.server_close()


def tracing_bootstrap(collector: Collector) -> dict[str, Any]:
    """The demo's Envoy with its OpenTelemetry tracer on, and room for bodies that the service does not take."""
    bootstrap = patient_bootstrap()
    for listener in bootstrap["static_resources"]["listeners"]:
        listener["per_connection_buffer_limit_bytes"] = 32 << 20
        manager = connection_manager(listener)
        manager["tracing"] = {
            "provider": {
                "name": "envoy.tracers.opentelemetry",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
                    "service_name": "envoy",
                    "http_service": {
                        "http_uri": {"uri": collector.endpoint, "cluster": "collector", "timeout": "1s"},
                    },
                },
            }
        }
        manager["http_filters"][0]["typed_config"]["with_request_body"]["max_request_bytes"] = 16 << 20
    address = {"socket_address": {"address": "127.0.0.1", "port_value": collector.server_port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    assignment = {"cluster_name": "collector", "endpoints": endpoints}
    bootstrap["static_resources"]["clusters"].append({"name": "collector", "load_assignment": assignment})
    return bootstrap


def traceparent(trace: str, flags: str = "01") -> tuple[str, str]:
    return "traceparent", f"00-{trace}-{CALLER_SPAN}-{flags}"


def test_our_span_is_the_child_of_envoys_call_in_the_callers_trace(traced: Traced):
    answer = traced.gateway.call("GET", "/v1/orders", [*signed_headers("GET", "/v1/orders"), traceparent(CALLER_TRACE)])
    assert answer.status == 200
    spans = traced.spans(CALLER_TRACE)
    (ours,) = [span for span in spans.values() if span.name == OURS]
    call = spans[ours.parent_span_id.hex()]
    ingress = spans[call.parent_span_id.hex()]
    assert ingress.parent_span_id.hex() == CALLER_SPAN
    assert call.kind == call.SPAN_KIND_CLIENT
    assert call.name == "async envoy.service.auth.v3.Authorization.Check egress"
    assert call.start_time_unix_nano <= ours.start_time_unix_nano <= ours.end_time_unix_nano <= call.end_time_unix_nano
    told = attributes_of(ours)
    assert (told["extauthz.decision"], told["extauthz.reason"], told["extauthz.api"]) == ("allow", "allowed", "orders")
    assert told["extauthz.decision_id"] == answer.request_id


def test_a_denial_carries_its_reason_and_what_to_look_at_but_no_credential(traced: Traced):
    trace = CALLER_TRACE.replace("0af7", "1af7")
    wrong = [("Authorization", CODE + "-wrong"), traceparent(trace)]
    assert traced.gateway.call("GET", "/internal/report", wrong, network="vpc").status == 400
    (ours,) = [span for span in traced.spans(trace).values() if span.name == OURS]
    told = attributes_of(ours)
    assert (told["extauthz.decision"], told["http.response.status_code"]) == ("deny", 400)
    assert told["extauthz.reason"]
    assert told["extauthz.advice"]
    assert "demo-app-code" not in str(ours)


def test_a_check_that_the_service_does_not_even_read_is_in_the_trace_with_its_reason(traced: Traced):
    trace = CALLER_TRACE.replace("0af7", "2af7")
    answer = traced.gateway.call("POST", "/v1/orders", [traceparent(trace)], b"x" * (9 << 20))
    assert answer.status == 400
    (ours,) = [span for span in traced.spans(trace).values() if span.name == OURS]
    assert attributes_of(ours)["extauthz.reason"] == "request_invalid"


def test_what_the_caller_does_not_want_traced_is_not(traced: Traced):
    unwanted, wanted = CALLER_TRACE.replace("0af7", "3af7"), CALLER_TRACE.replace("0af7", "4af7")
    for trace, flags in ((unwanted, "00"), (wanted, "01")):
        assert traced.gateway.call("GET", "/public/ping", [traceparent(trace, flags)]).status == 200
    traced.spans(wanted)
    time.sleep(0.5)
    assert [span.name for span in traced.collector.spans if span.trace_id.hex() == unwanted] == []
