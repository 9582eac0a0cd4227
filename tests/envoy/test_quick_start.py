"""The newcomer's hour: the commands of docs/quick-start.md, run as they stand there."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from demo.stack import ROOT, envoy_binary
from tests.process.running import free_ports

PAGE = (ROOT / "docs" / "quick-start.md").read_text()
MARK = "=== block"


def blocks() -> list[str]:
    """The commands of the page, but for those that install what the tests run on."""
    found = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return [one for one in found if "pip install" not in one]


def moved(text: str, ports: dict[str, str]) -> str:
    return re.sub(r"\b(?:8080|8081|8090|9191|9192|9901|9902)\b", lambda found: ports[found[0]], text)


def neighbours() -> tuple[int, int]:
    """Two free ports, one after the other, as two workers want them."""
    for port in (free_ports(1)[0] for _ in range(50)):
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port + 1))
            return port, port + 1
    raise AssertionError("no two free ports side by side")


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each block printed."""
    folder: Path = tmp_path_factory.mktemp("newcomer")
    tools = folder / "tools"
    tools.mkdir()
    (tools / "envoy").write_text(f'#!/bin/sh\nexec {envoy_binary()} --use-dynamic-base-id --concurrency 1 "$@"\n')
    (tools / "extauthz").write_text(f'#!/bin/sh\nexec {sys.executable} -m extauthz "$@"\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    first, second = neighbours()
    others = [str(port) for port in free_ports(5)]
    ports = dict(zip(("8080", "8081", "8090", "9901", "9902"), others, strict=True))
    ports |= {"9191": str(first), "9192": str(second)}
    (folder / "repository").mkdir()
    (folder / "repository" / "envoy").mkdir()
    static = (ROOT / "envoy" / "static.yaml").read_text().replace("0.0.0.0", "127.0.0.1")
    (folder / "repository" / "envoy" / "static.yaml").write_text(moved(static, ports))
    script = "\n".join(f"echo '{MARK}'\n{one}\necho \"exit $?\"" for one in blocks())
    script = moved(script, ports).replace("path/to/this/repository", "repository")
    path = f"{tools}:{os.environ['PATH']}"
    (folder / "script").write_text(script)
    with (folder / "output").open("wb") as output:
        running = subprocess.Popen(
            ["bash", "script"], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=folder,
            env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}, start_new_session=True,
        )  # fmt: skip
        try:
            running.wait(80)
        finally:
            os.killpg(running.pid, signal.SIGTERM)
            running.wait()
    told = (folder / "output").read_text()
    return told.split(MARK + "\n")[1:]


@pytest.mark.long
def test_every_step_of_the_quick_start_ends_as_the_page_says(output: list[str]):
    backend, configured, served, envoy, called, refused, explained, logged, wrong, rotated, added, workers = output
    assert backend == "exit 0\n"
    assert "sound" in configured
    assert served == "exit 0\n"
    assert "configuration" in envoy
    assert "OK" in envoy
    assert envoy.endswith("exit 0\n")
    assert '{"order": 42}' in called
    assert "200" in called
    assert "A400MA" in refused
    assert "look at" in explained or "advice" in explained
    line = json.loads(logged.splitlines()[0])
    assert line["request_id"] in refused
    assert line["decision"] == "deny"
    assert "A403SG" in wrong
    assert rotated.count('{"order": 42}') == 2
    assert added.count('{"order": 42}') == 1
    assert workers.count('{"order": 42}') == 4
    assert "extauthz_workers_ready 2" in workers


def test_the_configuration_of_the_readme_is_the_one_of_the_quick_start():
    def configuration(text: str) -> str:
        return text.partition("groups:\n")[2].partition("\nEND" if "\nEND" in text else "```")[0]

    readme = re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert readme
    dedented = re.sub(r"^   ", "", readme[1], flags=re.MULTILINE)
    words = re.sub(r"\s+#.*", "", dedented.partition("groups:\n")[2]).split()
    quick = PAGE.partition("groups:\n")[2].partition("\nEND")[0]
    assert words == re.sub(r"\s+#.*", "", quick).split()
