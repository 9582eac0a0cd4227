"""The decision log: it may lose lines, but never a check, and never the rest of the lines."""

import io
import json
import time

from extauthz.domain import reason
from extauthz.domain.decision import Allow, Deny, Subject
from extauthz.serve.decision_log import DecisionLog
from tests.unit.building import request

DENY = Deny(reason.NONCE_USED, Subject(), detail="a detail")


class Disk(io.StringIO):
    """A file on a disk that is full for a while."""

    full = False

    def write(self, text):
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)

    def close(self):
        """Stay readable."""


def wait_until(condition):
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert condition()


def test_a_line_says_who_what_and_why_and_leaves_the_query_out():
    disk = Disk()
    log = DecisionLog(disk, 10, 1.0)
    log.decided("ID-1", request("POST", "/v1/orders?appcode=secret"), DENY, 0.0015)
    log.close()
    line = json.loads(disk.getvalue())
    assert (line["request_id"], line["decision"], line["reason"]) == ("ID-1", "deny", "nonce_used")
    assert (line["http"], line["duration_us"], line["detail"]) == ("POST api.example.com/v1/orders", 1500, "a detail")
    assert "secret" not in disk.getvalue()


def test_a_full_disk_loses_and_counts_lines_and_the_log_goes_on_afterwards():
    disk = Disk()
    log = DecisionLog(disk, 10, 1.0)
    disk.full = True
    log.decided("lost", None, DENY, 0.0)
    wait_until(lambda: log.dropped == 1)
    disk.full = False
    log.decided("kept", None, DENY, 0.0)
    log.close()
    assert [json.loads(line)["request_id"] for line in disk.getvalue().splitlines()] == ["kept"]


def test_hostile_text_stays_one_line_of_json():
    disk = Disk()
    log = DecisionLog(disk, 10, 1.0)
    log.decided("ID", request(target='/a\n{"forged":1}\x1b[2J\u2028茶'), DENY, 0.0)
    log.close()
    (line,) = disk.getvalue().split("\n")[:-1]
    assert "forged" in json.loads(line)["http"]


def test_denials_are_always_logged_and_allows_as_often_as_asked():
    disk = Disk()
    log = DecisionLog(disk, 100, 0.0)
    for _ in range(20):
        log.decided("allow", None, Allow("allowed", Subject()), 0.0)
        log.decided("deny", None, DENY, 0.0)
    log.close()
    assert [json.loads(line)["request_id"] for line in disk.getvalue().splitlines()] == ["deny"] * 20
