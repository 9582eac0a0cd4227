"""The shape of the package: a file has one job, and a folder can be taken in at a glance."""

from collections import Counter
from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).parents[2] / "extauthz"
MOST_LINES: Final = 250
MOST_MODULES: Final = 15
LONG_BY_NATURE: Final = {"domain/reason.py"}
"""The catalogue of reasons is one table."""


def modules() -> list[Path]:
    """Every module that somebody wrote, from the package's folder."""
    found = [file.relative_to(PACKAGE) for file in PACKAGE.rglob("*.py")]
    return [file for file in found if "generated" not in file.parts and file.name != "__init__.py"]


def test_no_file_is_longer_than_one_can_keep_in_mind_but_the_catalogue_of_reasons():
    lines = {str(file): len((PACKAGE / file).read_text().splitlines()) for file in modules()}
    assert len(lines) > 100
    assert {file: count for file, count in lines.items() if count > MOST_LINES and file not in LONG_BY_NATURE} == {}


def test_no_folder_has_more_modules_than_one_can_take_in():
    folders = Counter(file.parent for file in modules())
    assert {str(folder): count for folder, count in folders.items() if count > MOST_MODULES} == {}
