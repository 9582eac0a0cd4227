"""An address that cannot be opened is named with the key that says it, the cause and the cure, on every transport."""

import socket
from pathlib import Path
from typing import Any

import pytest

from tests.process.running import base_config, free_ports
from tests.transports import EVERY_TRANSPORT


def failed_start(serve, listen: str, operations: str, *arguments: str, transport: str = "auto", **more: Any) -> str:
    """What the service says in its last line when it cannot start."""
    config = base_config([{"address": listen, "insecure": True}], 1) | {"operations": operations, **more}
    running = serve(config | {"transport": transport, "watch": False}, *arguments, wait=False)
    assert running.process.wait(30) == 1
    assert "Traceback" not in running.log
    return running.log.splitlines()[-1]


@pytest.fixture
def taken():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def free() -> str:
    return f"127.0.0.1:{free_ports(1)[0]}"


@EVERY_TRANSPORT
def test_a_taken_port_of_a_listener_is_named_with_its_key_and_cure(serve, taken, free, transport):
    said = failed_start(serve, taken, free, transport=transport)
    assert f"cannot start: cannot listen on {taken} (`listen[0].address` in the configuration): another process" in said
    assert "`ss -ltnp` names it" in said


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_taken_operations_port_is_named_with_its_key_and_cure(serve, taken, free, workers):
    said = failed_start(serve, free, taken, "--workers", workers, replay={"scope": "per_worker"})
    assert f"cannot start: cannot listen on {taken} (`operations` in the configuration): another process" in said
    assert "stop it, or write another port" in said


@EVERY_TRANSPORT
def test_an_address_that_this_machine_does_not_have_says_so(serve, free, transport):
    said = failed_start(serve, "192.0.2.1:9191", free, transport=transport)
    assert "cannot listen on 192.0.2.1:9191 (`listen[0].address`" in said
    assert "this machine has no such address" in said
    assert "has no address" in failed_start(serve, free, "no-such-host.invalid:9901", transport=transport)


@EVERY_TRANSPORT
def test_a_missing_folder_for_a_unix_socket_is_named_with_its_cure(serve, free, tmp_path: Path, transport):
    said = failed_start(serve, f"unix:{tmp_path}/missing/x.sock", free, transport=transport)
    assert f"`listen[0].address` in the configuration): there is no folder {tmp_path}/missing; create it" in said


@EVERY_TRANSPORT
def test_a_folder_in_the_place_of_a_unix_socket_is_named(serve, free, tmp_path: Path, transport):
    assert "this is a folder" in failed_start(serve, f"unix:{tmp_path}", free, transport=transport)


def test_the_operations_port_speaks_ipv6(serve):
    first, operations = free_ports(2)
    config = base_config([{"address": f"127.0.0.1:{first}"}], 1) | {"operations": f"[::ffff:7f00:1]:{operations}"}
    assert serve(config).get("/healthz")[0] == 200


def test_a_decision_log_that_cannot_be_opened_is_named_with_its_key_and_cure(serve, free, tmp_path: Path):
    log = tmp_path / "missing" / "decisions.jsonl"
    said = failed_start(serve, "127.0.0.1:9191", free, decision_log={"destination": {"file": str(log)}})
    assert f"cannot write to {log} (`decision_log.destination` in the configuration): No such file" in said
    assert "a folder that exists" in said
