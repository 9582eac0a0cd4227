"""CONTRIBUTING.md is true: the folders are those that exist, and every file that it names is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()


def test_the_house_has_the_folders_that_the_page_lists():
    listed = re.findall(r"^\| `(extauthz/[\w/]+)` \|", PAGE, re.M)
    package = ROOT / "extauthz"
    real = {str(file.parent.relative_to(ROOT)) for file in package.rglob("*.py") if file.parent != package}
    assert sorted(listed) == sorted(real)


def test_every_file_and_folder_that_the_page_names_exists():
    named = re.findall(r"`((?:extauthz|tests|docs)/[\w./]*)`", PAGE)
    assert len(named) > 40
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_command_of_the_page_is_a_target():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    assert set(re.findall(r"`make ([a-z-]+)", PAGE)) <= set(targets)


def test_the_makefile_names_folders_and_no_test_file():
    assert re.findall(r"\btest_\w+", (ROOT / "Makefile").read_text()) == []
