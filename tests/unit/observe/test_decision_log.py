"""The decision log: it may lose lines, but never a check, and never the rest of the lines."""

import gc
import io
import json
import random
import re
import time
from pathlib import Path

import pytest

from extauthz.config import load
from extauthz.domain import reason
from extauthz.domain.api import Api
from extauthz.domain.app import App
from extauthz.domain.context_keys import API_KEY, STAGE_KEY, VPC_ID_KEY
from extauthz.domain.decision import Allow, Deny, Subject
from extauthz.domain.reason import WOULD_DENY
from extauthz.domain.request import Stage
from extauthz.domain.settings import Settings
from extauthz.observe.decision_line import LINE_BYTES
from extauthz.observe.decision_log import DecisionLog, DecisionLogMetrics
from extauthz.serve.service import open_decision_log
from extauthz.wire.generated import ext_authz_pb2 as pb
from tests.unit.building import api, record_of, request, snapshot
from tests.unit.wire.checking import check_request, servicer

DENY = Deny(reason.NONCE_USED, Subject(), detail="a detail")
ALLOW = Allow("allowed", Subject())


class Disk(io.BytesIO):
    """A file on a disk that is full for a while."""

    full = False

    def write(self, lines):
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(lines)

    def close(self):
        """Stay readable."""

    @property
    def lines(self):
        return [json.loads(line) for line in self.getvalue().decode().split("\n")[:-1]]

    @property
    def ids(self):
        return [line["request_id"] for line in self.lines]


def wait_until(condition):
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert condition()


def test_a_relative_file_counts_from_the_folder_of_the_configuration(tmp_path, monkeypatch):
    folder, elsewhere = tmp_path / "etc", tmp_path / "elsewhere"
    for one in (folder / "logs", elsewhere):
        one.mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    file = folder / "extauthz.yaml"
    log = {"destination": {"file": "logs/decisions.jsonl"}}
    file.write_text(json.dumps({"listen": [{"address": "127.0.0.1:9191"}], "decision_log": log}))
    open_decision_log(load(file)).close()
    assert (folder / "logs" / "decisions.jsonl").exists()
    assert list(elsewhere.iterdir()) == []


def test_a_line_says_who_what_and_why_and_leaves_the_query_out():
    disk = Disk()
    log = DecisionLog(disk, 10)
    log.record(record_of("ID-1", request("POST", "/v1/orders?appcode=secret"), DENY, 0.0015))
    log.close()
    (line,) = disk.lines
    assert (line["request_id"], line["decision"], line["reason"]) == ("ID-1", "deny", "nonce_used")
    assert (line["http"], line["duration_us"], line["detail"]) == ("POST api.example.com/v1/orders", 1500, "a detail")
    assert line["time"].endswith("Z")
    assert abs(time.time() - time.mktime(time.strptime(line["time"][:19], "%Y-%m-%dT%H:%M:%S")) + time.timezone) < 60
    assert b"secret" not in disk.getvalue()


def test_lines_of_two_kinds_do_not_take_facts_from_each_other():
    disk = Disk()
    log = DecisionLog(disk, 10)
    log.record(record_of("a", None, ALLOW, 0.0))
    log.record(record_of("b", None, Allow("allowed", Subject(method="jwt"), reading="primary", warning="w"), 0.0))
    log.record(record_of("c", None, DENY, 0.0))
    log.record(record_of("d", None, ALLOW, 0.0, "two"))
    log.close()
    a, b, c, d = disk.lines
    assert (a["method"], b["method"], b["reading"], b["strict_would_refuse"]) == (None, "jwt", "primary", "w")
    assert "reading" not in a
    assert (c["decision"], c["advice"], "advice" in a) == ("deny", reason.NONCE_USED.advice, False)
    assert (a["revision"], c["revision"], d["revision"]) == ("r1", "r1", "two")


def test_a_full_disk_holds_lines_back_and_the_log_goes_on_afterwards():
    disk = Disk()
    log = DecisionLog(disk, 2)
    disk.full = True
    log.record(record_of("held", None, DENY, 0.0))
    wait_until(lambda: log.write_failures >= 2)
    for name in ("waiting-1", "waiting-2", "lost"):
        log.record(record_of(name, None, DENY, 0.0))
    assert (log.dropped, log.failing) == (1, True)
    disk.full = False
    wait_until(lambda: not log.failing and not log._entries)
    log.record(record_of("later", None, DENY, 0.0))
    log.close()
    assert disk.ids == ["held", "waiting-1", "waiting-2", "later"]
    shown = {family.name: family.samples[0].value for family in DecisionLogMetrics(log).collect()}
    assert (shown["extauthz_decision_log_lines"], shown["extauthz_decision_log_dropped"]) == (4, 1)
    assert shown["extauthz_decision_log_write_failures"] >= 2


def test_a_process_that_ends_while_the_disk_is_full_counts_what_it_takes_with_it(monkeypatch):
    monkeypatch.setattr("extauthz.observe.decision_log.CLOSE_TIMEOUT_S", 0.2)
    disk = Disk()
    disk.full = True
    log = DecisionLog(disk, 10)
    for _ in range(3):
        log.record(record_of("lost", None, DENY, 0.0))
    log.close()
    assert (log.dropped, disk.ids) == (3, [])
    log.record(record_of("too late", None, DENY, 0.0))
    assert log.dropped == 4


def test_a_required_audit_refuses_rather_than_lose_a_record():
    disk = Disk()
    log = DecisionLog(disk, 3, required=True)
    serving = servicer(log)

    def checked():
        return pb.CheckResponse.FromString(serving.check(check_request().SerializeToString()))

    assert checked().dynamic_metadata.fields["reason"].string_value != "audit_unavailable"
    disk.full = True
    checked()
    wait_until(lambda: log.failing)
    refused = checked()
    assert refused.status.code != 0
    assert refused.denied_response.status.code == 503
    assert refused.dynamic_metadata.fields["reason"].string_value == "audit_unavailable"
    disk.full = False
    wait_until(lambda: not log.failing)
    last = checked()
    log.close()
    assert last.dynamic_metadata.fields["reason"].string_value != "audit_unavailable"
    assert last.dynamic_metadata.fields["decision_id"].string_value == disk.ids[-1]
    assert len(disk.ids) == 3, "the first, the one that waited for the disk, the last; the refused one was dropped"


def test_a_required_audit_refuses_while_its_queue_is_full():
    class Stuck(Disk):
        def write(self, lines):
            wait_until(lambda: not self.full)
            return super().write(lines)

    disk = Stuck()
    disk.full = True
    log = DecisionLog(disk, 2, required=True)
    log.record(record_of("in the writer", None, ALLOW, 0.0))
    wait_until(lambda: not log._entries)
    log.record(record_of("1", None, ALLOW, 0.0))
    log.record(record_of("2", None, ALLOW, 0.0))
    assert not log.record(record_of("3", None, ALLOW, 0.0))
    assert log.record(record_of("3", None, Deny(reason.AUDIT_UNAVAILABLE, Subject()), 0.0))
    disk.full = False
    log.close()
    assert disk.ids == ["in the writer", "1", "2"]


def test_hostile_text_stays_one_line_of_printable_json():
    disk = Disk()
    log = DecisionLog(disk, 10)
    log.record(record_of("ID", request(target='/a\n{"forged":1}\x1b[2J\x9b\u2028\u202e茶\ud800'), DENY, 0.0))
    log.close()
    assert disk.getvalue()[:-1].decode("ascii").isprintable()
    assert "forged" in disk.lines[0]["http"]


@pytest.mark.parametrize("character", ["a", "\x01", "茶", "😀"])
def test_no_client_makes_a_line_longer_than_a_pipe_takes_in_one_piece(character):
    disk = Disk()
    log = DecisionLog(disk, 10)
    long = character * 50_000
    log.record(record_of("ID", request(long, "/" + long)._replace(peer=long), DENY._replace(detail=long), 0.0))
    log.close()
    assert len(disk.getvalue()) <= LINE_BYTES
    assert disk.lines[0]["http"].startswith(character)


def test_denials_are_always_logged_and_allows_as_often_as_asked():
    disk = Disk()
    log = DecisionLog(disk, 100, {"allowed": 0.0})
    for _ in range(20):
        log.record(record_of("allow", None, ALLOW, 0.0))
        log.record(record_of("deny", None, DENY, 0.0))
    log.close()
    assert disk.ids == ["deny"] * 20


def test_a_reason_has_a_share_of_its_own_and_the_line_says_which():
    disk = Disk()
    log = DecisionLog(disk, 10_000, {"nonce_used": 0.5})
    for _ in range(2000):
        log.record(record_of("ID", None, DENY, 0.0))
    log.record(record_of("other", None, Deny(reason.JTI_USED, Subject()), 0.0))
    log.close()
    assert 800 < disk.ids.count("ID") < 1200
    assert {line.get("share") for line in disk.lines} == {0.5, None}


def test_what_waits_for_the_log_keeps_no_body_and_no_header_in_memory():
    disk = Disk()
    disk.full = True
    log = DecisionLog(disk, 10)
    log.record(record_of("held", None, DENY, 0.0))
    wait_until(lambda: log.failing)
    sent = request("POST", "/v1/orders", {"X": "secret"}, b"b" * 100_000)
    log.record(record_of("waiting", sent, ALLOW, 0.0))
    kept = repr(list(log._entries))
    disk.full = False
    log.close()
    assert "secret" not in kept
    assert len(kept) < 5000


def test_what_is_sampled_cannot_be_foreseen_from_python_s_own_generator():
    def logged():
        random.seed(7)
        disk = Disk()
        log = DecisionLog(disk, 1000, {"nonce_used": 0.5})
        for number in range(200):
            log.record(record_of(str(number), None, DENY, 0.0))
        log.close()
        return disk.ids

    assert logged() != logged()


def test_neither_the_log_nor_what_waits_for_it_keeps_apis_and_apps_that_a_reload_replaced():
    disk = Disk()
    log = DecisionLog(disk, 10)

    def told(name):
        about = Subject(api(id=name), Stage.RELEASE, "digest", App(name))
        log.record(record_of(name, None, Allow("allowed", about), 0.0))
        log.record(record_of(name, None, Deny(reason.NONCE_USED, about), 0.0))

    told("written-and-replaced")
    wait_until(lambda: len(disk.ids) == 2)
    disk.full = True
    told("in-the-writer")
    wait_until(lambda: log.failing)
    told("waiting-and-replaced")
    gc.collect()
    kept = {one.id for one in gc.get_objects() if isinstance(one, Api | App)}
    disk.full = False
    log.close()
    assert not kept & {"written-and-replaced", "in-the-writer", "waiting-and-replaced"}
    assert {line["api"] for line in disk.lines} == {line["app_id"] for line in disk.lines}
    assert len(disk.lines) == 6


def test_every_field_of_a_line_is_documented_and_every_documented_field_exists():
    disk = Disk()
    log = DecisionLog(disk, 10, {"allowed": 0.999999})
    log.record(record_of("a", request(), Allow("allowed", Subject(), reading="primary", warning="w"), 0.0))
    log.record(record_of("b", request(), DENY, 0.0))
    passed = Allow(WOULD_DENY, Subject(), credential="key/k", would_deny=Deny(DENY.reason, Subject(), detail="why"))
    stated = {API_KEY: "orders", STAGE_KEY: "TEST", VPC_ID_KEY: "vpc-1"}
    sent = request(headers={"X-Ca-Stage": "TEST", "X-Envoy-External-Address": "192.0.2.9"}, context=stated)
    behind_edge = snapshot(api(), settings=Settings(trust_external_address=True))
    log.record(record_of("c", sent, passed, 0.0)._replace(snapshot=behind_edge))
    log.close()
    table = (Path(__file__).parents[3] / "docs" / "decision-log.md").read_text().split("## Settings")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert set().union(*disk.lines) == set(re.findall(r"`(\w+)`", " ".join(rows)))
