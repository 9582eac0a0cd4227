"""What is published: a source distribution with everything that the README names, and metadata that says what it is."""

import re
import runpy
import shutil
import subprocess
import sys
import tarfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from demo.stack import ROOT

BUILD = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
FOLDERS = ("docs", "envoy", "deploy", "demo", "vectors", "extauthz")


def build(folder: Path) -> Path:
    """Build a source distribution of what matters here, in a copy."""
    copy = folder / "copy"
    copy.mkdir()
    for name in FOLDERS:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in [
        *ROOT.glob("*.md"),
        *(ROOT / name for name in ("LICENSE", "MANIFEST.in", "pyproject.toml", "setup.py")),
    ]:
        shutil.copy(file, copy)
    command = [sys.executable, "-c", BUILD, str(folder)]
    result = subprocess.run(command, cwd=copy, env={}, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    (made,) = folder.glob("*.tar.gz")
    return made


def metadata(sdist: Path) -> Message:
    with tarfile.open(sdist) as archive:
        (info,) = (one for one in archive.getnames() if re.fullmatch(r"[^/]+/PKG-INFO", one))
        content = archive.extractfile(info)
        assert content is not None
        return Parser().parsestr(content.read().decode())


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("sdist"))


def test_a_source_distribution_has_documents_examples_and_what_is_deployed(sdist: Path):
    with tarfile.open(sdist) as archive:
        names = {one.partition("/")[2] for one in archive.getnames()}
    wanted = {
        str(file.relative_to(ROOT)) for name in ("docs", "envoy", "deploy") for file in (ROOT / name).rglob("*.*")
    }
    assert wanted <= names
    assert {"SECURITY.md", "CHANGELOG.md", "LICENSE", "extauthz/py.typed", "deploy/Dockerfile"} <= names
    assert not [name for name in names if "__pycache__" in name]


def test_the_readme_that_is_published_has_no_link_that_leads_nowhere(sdist: Path):
    told = metadata(sdist)
    text = told.get_payload()
    assert isinstance(text, str)
    assert told["Description-Content-Type"] == "text/markdown"
    assert "`docs/quick-start.md`" in text
    assert re.findall(r"\]\((?!https?://)[^)]*\)", text) == []


def test_a_publisher_who_says_where_the_files_are_gets_links_that_lead_there():
    script = runpy.run_path(str(ROOT / "setup.py"))
    text = script["readme"]("https://code.example/extauthz/files/")
    assert "](https://code.example/extauthz/files/docs/quick-start.md)" in text
    assert re.findall(r"\]\((?!https?://)[^)]*\)", text) == []


def test_the_metadata_say_who_made_it_for_what_under_which_licence(sdist: Path):
    told = metadata(sdist)
    assert told["Author"] == "The extauthz authors"
    assert told["License-Expression"] == "Apache-2.0"
    assert told["Keywords"]
    lowest = str(told["Requires-Python"]).removeprefix(">=")
    versions = [one.rpartition(":: ")[2] for one in told.get_all("Classifier", []) if ":: Python :: 3." in one]
    assert versions[0] == lowest
    assert told.get_all("Project-URL") is None, "where it is published is for the publisher to say"
