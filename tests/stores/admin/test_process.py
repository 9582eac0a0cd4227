"""A live admin process: started as operators do, over TLS, met with every kind of request, and killed in the middle."""

import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
import trustme

from extauthz.registry import apps, audit, grants, tokens
from tests.stores.admin.live import AdminProcess
from tests.stores.registry.desk import ADMIN, SHOP

ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def process(database, tmp_path):
    made = AdminProcess(tmp_path, database)
    yield made
    made.stop()


def admin_token(desk) -> dict[str, str]:
    value = desk.do(lambda tx: tokens.create_token(tx, desk.vault, ADMIN, "ops team", ADMIN.role, None)).value
    return {"Authorization": f"Bearer {value}"}


@ON_SQLITE
@pytest.mark.timeout(180)
def test_no_request_makes_a_live_process_fail_or_break_its_own_description(desk, process, tmp_path):
    process.start()
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{process.url}/v1/openapi.json",
        "--phases", "examples,coverage,fuzzing", "--max-examples", "2", "--seed", "13", "--workers", "1",
        "--exclude-checks", "positive_data_acceptance",  # what is well-formed may still not exist, or lie in the past
        "--header", f"Authorization: {admin_token(desk)['Authorization']}", "--no-color", "--warnings", "off",
        "--generation-database", "none",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "failed" not in process.log.read_text()


@pytest.mark.timeout(240)
def test_a_kill_in_the_middle_of_a_batch_leaves_all_of_it_or_nothing(desk, process):
    ids = [f"app-{number:03}" for number in range(100)]
    with desk.store.changing() as tx:
        for app_id in ids:
            apps.create_app(tx, SHOP, app_id, "shop", "One of many")
    token = admin_token(desk)
    cut = 0
    for trial in range(3):
        process.start()
        answers: list[int] = []
        stage = ("RELEASE", "TEST")[trial % 2]

        def ask(stage: str = stage, answers: list[int] = answers) -> None:
            form = {"apps": ids, "apis": ["geocode"], "stage": stage, "description": f"trial {time.time_ns()}"}
            try:
                answers.append(httpx.post(f"{process.url}/v1/grants", json=form, headers=token, timeout=30).status_code)
            except httpx.HTTPError:
                answers.append(0)

        caller = threading.Thread(target=ask)
        caller.start()
        time.sleep(0.03 + 0.09 * trial)
        process.kill()
        caller.join()
        found = [one for one in desk.see(grants.list_grants, ADMIN, api_id="geocode", limit=500) if one.stage == stage]
        assert len(found) in (0, 100), f"half a batch after trial {trial}"
        assert len({one.description for one in found}) <= 1, "one batch upon another is whole too"
        told = [e for e in desk.see(audit.list_audit, ADMIN, limit=1000) if e.action == "grant_as_provider"]
        assert len(told) % 100 == 0, "and so is its audit trail"
        assert found or answers == [0], "what was answered is there"
        cut += answers == [0]
    assert cut, "no kill came before the answer"


@ON_SQLITE
def test_the_first_token_comes_from_the_command_line_and_tls_is_served(desk, database, tmp_path):
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    files = {"cert": "both.pem", "key": "both.pem"}
    process = AdminProcess(tmp_path, database, tls=files)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    try:
        process.start(verify=context)
        made = json.loads(process.run("tokens", "create", "--name", "first one", "--role", "admin", "--json"))
        answer = httpx.get(
            f"{process.url}/v1/apps", headers={"Authorization": f"Bearer {made['token']}"}, verify=context
        )
        assert answer.status_code == 200
        assert answer.headers["strict-transport-security"]
        assert "first one" in process.run("tokens", "list")
        process.run("tokens", "delete", made["id"], "--yes")
        assert httpx.get(answer.url, headers=answer.request.headers, verify=context).status_code == 401
        assert made["token"] not in process.log.read_text()
    finally:
        code = process.stop()
    assert code == 0, process.log.read_text()


@ON_SQLITE
def test_a_caller_who_says_nothing_or_only_half_is_let_go(desk, process):
    process.start()
    head = b"POST /v1/owners HTTP/1.1\r\nHost: x\r\n"
    body = head + b"Content-Type: application/json\r\nContent-Length: 100\r\nAuthorization: "
    body += admin_token(desk)["Authorization"].encode() + b'\r\n\r\n{"id"'
    begun_s = time.monotonic()
    callers = []
    for beginning in (b"", head, body):
        caller = socket.create_connection(("127.0.0.1", process.port), timeout=30)
        caller.sendall(beginning)
        callers.append(caller)
    with socket.create_connection(("127.0.0.1", process.port), timeout=30) as stranger:
        stranger.sendall(b"\x16\x03\x01 no HTTP at all\r\n\r\n")
        head, _, told = stranger.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert (json.loads(told)["status"], b"application/problem+json" in head) == (400, True)
    answers = [caller.recv(65536) for caller in callers]
    for caller in callers:
        caller.close()
    assert answers[:2] == [b"", b""]
    assert answers[2].startswith(b"HTTP/1.1 408 ")
    assert 5 < time.monotonic() - begun_s < 25
