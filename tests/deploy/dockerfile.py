"""Enough of a Dockerfile's language to carry out deploy/Dockerfile without an engine, in a folder."""

import json
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.unit.envoy.doctor.seeds import ROOT


@dataclass
class Stage:
    """What one FROM begins."""

    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)
    """Instructions and their arguments, in order."""

    def one(self, instruction: str) -> str:
        """The argument of the last such instruction."""
        return [argument for name, argument in self.steps if name == instruction][-1]

    def environment(self) -> dict[str, str]:
        """What ENV sets."""
        lines = [argument for name, argument in self.steps if name == "ENV"]
        return dict(pair.split("=", 1) for line in lines for pair in shlex.split(line))


KNOWN = {
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "RUN",
    "STOPSIGNAL",
    "USER",
    "WORKDIR",
}


def read_dockerfile(text: str) -> list[Stage]:
    """Its stages. Fails on what is no instruction."""
    without_comments = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    stages: list[Stage] = []
    for line in re.sub(r"\\\n", " ", without_comments).splitlines():
        name, _, argument = line.strip().partition(" ")
        if name == "FROM":
            base, _, alias = argument.partition(" AS ")
            stages.append(Stage(base, alias))
        elif name:
            assert name in KNOWN, f"{name} is no instruction"
            stages[-1].steps.append((name, argument.strip()))
    return stages


def exec_form(argument: str) -> list[str]:
    """The words of an instruction in exec form: a shell in between would swallow SIGTERM."""
    words = json.loads(argument)
    assert all(isinstance(word, str) for word in words)
    return words


class Builder:
    """Carries out a stage below ``folder``: every absolute path of the image is one in there."""

    def __init__(self, folder: Path, environment: dict[str, str], arguments: dict[str, str]) -> None:
        """``arguments`` are those that ``docker build`` would get as ``--build-arg``."""
        self._folder = folder
        self._environment = environment
        self._cwd = folder
        self._arguments = dict(arguments)

    def inside(self, text: str) -> str:
        """A text of the Dockerfile with its own absolute paths as they are here."""
        return re.sub(r"(?<![\w./:-])/(opt|src|wheels|etc)\b", lambda found: f"{self._folder}/{found[1]}", text)

    def build(self, stage: Stage) -> None:
        for name, argument in stage.steps:
            if name == "WORKDIR":
                self._cwd = Path(self.inside(argument))
                self._cwd.mkdir(parents=True, exist_ok=True)
            elif name == "COPY":
                self._copy(*shlex.split(argument))
            elif name == "RUN":
                self._run(self.inside(argument))
            elif name == "ARG" and "=" in argument:
                key, _, value = argument.partition("=")
                self._arguments.setdefault(key, value)

    def _copy(self, *words: str) -> None:
        *sources, target = words
        for source in sources:
            to = self._cwd / target
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, to, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                to = to / Path(source).name if target.endswith("/") or to.is_dir() else to
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, to)

    def _run(self, command: str) -> None:
        done = subprocess.run(
            ["/bin/sh", "-c", command], cwd=self._cwd, env=self._environment | self._arguments,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}"
