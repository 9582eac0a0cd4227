"""One record of a check: what log, metrics, spans and Envoy's metadata tell comes from one place."""

import io
import json

import pytest

from extauthz.client import Credentials, OutgoingRequest, SigningOptions, sign
from extauthz.decide.replay import Outcome
from extauthz.domain import reason
from extauthz.domain.request import Network
from extauthz.domain.snapshot.directory import Changes
from extauthz.later import Later
from extauthz.observe.check_metrics import CheckMetrics
from extauthz.observe.decision_log import DecisionLog
from extauthz.replay.memory import MemoryReplayStore
from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.servicer import Servicer
from tests.unit.building import NOW_MS
from tests.unit.wire.checking import Notes, answer, check_request, demo, error_header, servicer


class Told:
    """The log and the metrics of the real service, side by side, and the record itself."""

    def __init__(self):
        self._output = io.BytesIO()
        self._output.close = lambda: None
        self.log = DecisionLog(self._output, 100)
        self.metrics = CheckMetrics(demo()[0].gateway.apis)
        self.records = []

    def record(self, checked):
        self.records.append(checked)
        return self.log.record(checked) and self.metrics.record(checked)

    def line(self):
        self.log.close()
        (line,) = [json.loads(text) for text in self._output.getvalue().splitlines()]
        return line

    def networks(self):
        (family,) = [family for family in self.metrics.collect() if family.name == "extauthz_checks"]
        return [sample.labels["network"] for sample in family.samples]


class Waiting:
    """A shared store that answers when it is told to."""

    def __init__(self):
        self.outcome = Later()

    def record(self, use, now_ms):
        return self.outcome


def metadata(response):
    return {name: value.string_value for name, value in response.dynamic_metadata.fields.items()}


def signed_call():
    options = SigningOptions(timestamp_ms=NOW_MS, nonce="one-nonce")
    sent = OutgoingRequest("GET", "/v1/orders", {"host": "api.example.com"}, b"")
    headers = sign(sent, Credentials("demo-app-key-0001", "demo-app-secret-0001"), options)
    return check_request("GET", "/v1/orders", {name.lower(): value for name, value in headers.items()})


def test_a_check_that_waits_across_a_reload_tells_one_revision_in_metadata_log_and_span():
    store, told, spans, answers = Waiting(), Told(), [], []
    serving = Servicer(demo()[0], store, told, lambda: NOW_MS)
    before = serving.current.revision
    serving.check(signed_call().SerializeToString(), told=spans.append).then(answers.append)
    snapshot = serving.current.snapshot
    serving.adopt(snapshot._replace(directory=snapshot.directory.apply(Changes(), "another")))
    assert serving.current.revision != before
    assert answers == []
    store.outcome.come(Outcome.FIRST)
    response = pb.CheckResponse.FromString(answers[0])
    assert response.status.code == 0
    assert {metadata(response)["revision"], told.line()["revision"], spans[0].revision} == {before}


def test_a_check_that_cannot_be_finished_when_its_answer_comes_is_a_denial():
    store, told, answers = Waiting(), Told(), []
    serving = Servicer(demo()[0], store, told, lambda: NOW_MS)

    def fail(_):
        raise RuntimeError

    serving.check(signed_call().SerializeToString(), told=fail).then(answers.append)
    store.outcome.come(Outcome.FIRST)
    assert pb.CheckResponse.FromString(answers[0]).status.code != 0


@pytest.mark.parametrize("payload", [b"\xff\xff", b""], ids=["no message", "no request"])
def test_an_early_refusal_on_a_vpc_listener_counts_as_vpc_everywhere(payload):
    told = Told()
    response = answer(payload, servicer(told), Network.VPC)
    assert metadata(response)["network"] == told.line()["network"] == "vpc"
    assert told.networks() == ["vpc"]


def test_what_a_transport_refuses_on_a_vpc_listener_counts_as_vpc():
    told = Told()
    response = pb.CheckResponse.FromString(servicer(told).refuse(reason.OVERLOADED, Network.VPC))
    assert metadata(response)["network"] == told.line()["network"] == "vpc"
    assert told.networks() == ["vpc"]


def test_an_internal_error_tells_a_grpc_caller_its_status():
    def broken_clock():
        raise RuntimeError("no clock")

    failing = Servicer(demo()[0], MemoryReplayStore(1), Notes(), broken_clock)
    grpc = check_request(headers={"content-type": "application/grpc"})
    assert error_header(answer(grpc, failing), "grpc-status") == "14"
    assert error_header(answer(check_request(), failing), "grpc-status") == ""


def test_the_facts_of_a_record_are_those_of_the_answer():
    notes = Notes()
    response = answer(signed_call(), servicer(notes))
    (record,) = notes.records
    told = metadata(response)
    assert (record.id, record.outcome, record.label) == (told["decision_id"], told["decision"], told["reason"])
    assert (record.api, record.stage, record.method) == (told["api"], told["stage"], told["method"])
    assert (record.app, record.network, record.revision) == (told["app_id"], told["network"], told["revision"])


def test_a_decision_that_cannot_be_recorded_does_not_stand():
    class Full(Notes):
        def record(self, checked):
            return super().record(checked) and checked.label == "audit_unavailable"

    full = Full()
    response = answer(check_request(), servicer(full))
    assert response.denied_response.status.code == 503
    assert [record.label for record in full.records] == ["anonymous", "audit_unavailable"]


def test_cached_answers_and_remembered_tokens_survive_a_change_of_the_directory():
    serving = servicer()
    first = serving.current
    snapshot = first.snapshot
    serving.adopt(snapshot._replace(directory=snapshot.directory.apply(Changes(), "another")))
    assert serving.current.responder is first.responder
    assert serving.current.snapshot.gateway.tokens is snapshot.gateway.tokens
    assert metadata(answer(check_request(), serving))["revision"].endswith("another")
