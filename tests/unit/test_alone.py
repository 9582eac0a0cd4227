"""The promise of tests/unit: no process, no port, no network, and no test that could have one."""

import asyncio
import os
import re
import socket
import subprocess
from pathlib import Path

import pytest

from tests.unit.watching import watch

HERE = Path(__file__).parent
STARTS_SOMETHING = re.compile(
    r"^\s*(from|import) (grpc|grpc_health|extauthz_front|subprocess|multiprocessing|http\.server"
    r"|tests\.(process|stores|deploy|envoy|clients|oidc|faults|gateway))\b", re.M
)  # fmt: skip


def bind():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))


@pytest.mark.parametrize(
    "attempt",
    [
        bind,
        lambda: socket.create_connection(("127.0.0.1", 1)),
        lambda: socket.getaddrinfo("localhost", 80),
        lambda: subprocess.Popen(["true"]),
        lambda: os.system("true"),
        lambda: asyncio.run(asyncio.start_server(lambda *_: None, "127.0.0.1", 0)),
    ],
    ids=["bind", "connect", "look up", "run", "shell", "serve"],
)
def test_no_test_of_this_folder_opens_a_port_or_starts_a_process(attempt):
    with pytest.raises(RuntimeError, match="tests/unit"):
        attempt()
    assert watch.seen, "whoever swallows the error fails at the end of the test"
    watch.seen.clear()


def test_what_no_audit_hook_sees_is_not_even_imported():
    """Native servers and clients open their sockets unseen by the interpreter."""
    found = [
        file for file in HERE.rglob("*.py") if file != Path(__file__) and STARTS_SOMETHING.search(file.read_text())
    ]
    assert found == []
