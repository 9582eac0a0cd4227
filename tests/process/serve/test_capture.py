"""Capture in real processes: two workers keep what an operator asks for, and a request id is enough to explain it."""

import base64
import json
import os
import subprocess
import sys

import pytest

from extauthz.client import Credentials, OutgoingRequest, SigningOptions, sign
from extauthz.config import load
from extauthz.observe.capture.configured import capture_folder
from tests.process.running import KEY, SECRET, Caller, Running, base_config, eventually, free_ports, status_of


@pytest.fixture
def running(tmp_path):
    port, _, operations = free_ports(3)
    config = base_config([{"address": f"127.0.0.1:{port}"}], operations)
    config["replay"] = {"scope": "per_worker"}
    config["capture"] = {"folder": "captures", "key": {"file": "capture.key"}}
    (tmp_path / "capture.key").write_text(base64.b64encode(os.urandom(32)).decode() + "\n")
    running = Running(tmp_path, config, "--workers", "2").wait_ready()
    running.callers = [Caller(f"127.0.0.1:{port + index}") for index in range(2)]
    yield running
    for caller in running.callers:
        caller.close()
    running.stop()


def extauthz(running, *arguments):
    """The command, and what it printed."""
    command = [sys.executable, "-m", "extauthz", *arguments, "--config", str(running.file)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert SECRET not in ran.stdout + ran.stderr
    return ran.returncode, ran.stdout


def mistaken(nonce):
    """A request whose Accept was changed after it was signed."""
    signed = sign(OutgoingRequest("GET", "/signed"), Credentials(KEY, SECRET), SigningOptions(nonce=nonce))
    return {name.lower(): value for name, value in signed.items()} | {"accept": "text/html"}


def capturing(running):
    return all("capture" in worker for worker in running.ready()["workers"])


def test_denied_checks_of_all_workers_are_kept_and_explained_by_their_ids(running):
    assert not capturing(running)
    assert running.metric("extauthz_capture_on") == 0
    assert extauthz(running, "capture", "on", "--app", "app", "--checks", "3", "--why", "ticket 7")[0] == 0
    eventually(lambda: capturing(running))
    assert eventually(lambda: running.metric("extauthz_capture_on")) == 1
    ids, folder = [], capture_folder(load(running.file))
    for number in range(4):
        answer = running.callers[number % 2].check("/signed", mistaken(f"n{number}"))
        assert status_of(answer) == 403
        headers = {one.header.key: one.header.value for one in answer.denied_response.headers}
        ids.append(headers["X-Ca-Request-Id"])
        wanted = min(number + 1, 3)
        eventually(lambda wanted=wanted: folder.kept() == wanted)
    assert [one["id"] for one in json.loads(extauthz(running, "capture", "list", "--json")[1])] == ids[:3]
    code, output = extauthz(running, "explain", ids[0], "--json")
    told = json.loads(output)
    assert (code, told["reason"], told["api"]) == (1, "signature_mismatch", "signed")
    assert told["diagnosis"]["explanations"][0][0]["name"] == "accept_differs"
    assert "denied it with signature_mismatch" in told["notes"][0]
    assert extauthz(running, "explain", ids[3])[0] == 2, "more were denied than were asked for"
    eventually(lambda: not capturing(running))
    assert "capture is on: up to 3 denied checks of app app" in running.log
    assert "ticket 7" in running.log
    assert "capture is off" in running.log
    assert "3 checks were removed" in extauthz(running, "capture", "off")[1]
