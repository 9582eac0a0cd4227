"""The decision log of a real service: workers sharing a file, a log that cannot be written, an audit that must be."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.process.running import base_config, eventually, free_ports, status_of
from tests.transports import EVERY_TRANSPORT

AUDIT = "extauthz_checks_total" + '{api="",decision="deny",method="",network="internet",reason="audit_unavailable"}'


@pytest.fixture
def config():
    first, operations = free_ports(4)[::3]
    return base_config([{"address": f"127.0.0.1:{first}"}], operations)


@EVERY_TRANSPORT
def test_while_a_required_record_cannot_be_written_every_check_gets_503(config, serve, call, transport):
    log = {"destination": {"file": "/dev/full"}, "audit": "required"}
    running = serve(config | {"decision_log": log, "transport": transport})
    caller = call(config["listen"][0]["address"])
    eventually(lambda: status_of(caller.check("/open")) == 503)
    assert [status_of(caller.check(path)) for path in ("/open", "/coded", "/nowhere")] == [503, 503, 503]
    assert running.metric(AUDIT) >= 4
    assert running.metric("extauthz_decision_log_failing") == 1
    assert running.metric("extauthz_decision_log_write_failures_total") >= 1
    assert "the decision log cannot be written, and will be tried again: No space left on device" in running.log


def test_without_a_required_audit_a_log_that_cannot_be_written_costs_no_check(config, serve, call):
    running = serve(config | {"decision_log": {"destination": {"file": "/dev/full"}, "capacity": 5}})
    caller = call(config["listen"][0]["address"])
    eventually(lambda: status_of(caller.check("/open")) == 200 and running.metric("extauthz_decision_log_failing"))
    assert {status_of(caller.check("/open")) for _ in range(20)} == {200}
    assert running.metric("extauthz_decision_log_dropped_total") > 10


def test_workers_share_one_file_and_every_line_of_both_is_whole(config, serve, call):
    config |= {"decision_log": {"destination": {"file": "decisions.jsonl"}}, "replay": {"scope": "per_worker"}}
    running = serve(config, "--workers", "2")
    host, _, port = config["listen"][0]["address"].rpartition(":")
    callers = [call(f"{host}:{int(port) + index}") for index in range(2)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda number: callers[number % 2].check(f"/open?{number}"), range(400)))
    assert running.stop() == 0
    lines = [json.loads(line) for line in (running.file.parent / "decisions.jsonl").read_text().splitlines()]
    told = {answer.dynamic_metadata.fields["decision_id"].string_value for answer in answers}
    assert sorted(line["request_id"] for line in lines) == sorted(told)
    assert len(told) == 400


def test_a_file_that_logrotate_moved_is_made_anew(config, serve, call):
    running = serve(config | {"decision_log": {"destination": {"file": "decisions.jsonl"}}})
    file = running.file.parent / "decisions.jsonl"
    caller = call(config["listen"][0]["address"])
    caller.check("/open")
    eventually(lambda: file.read_text())
    file.rename(file.with_name("decisions.old"))
    caller.check("/open")
    eventually(lambda: file.exists() and file.read_text())
    assert len(file.read_text().splitlines()) == 1
