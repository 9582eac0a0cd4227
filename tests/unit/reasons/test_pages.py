"""Every reason has a page, and the pages of the repository are those that the catalogue makes."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from extauthz.cli.main import PLACES, app
from extauthz.domain.reason import CATALOGUE
from extauthz.reasons.page import STORIES, pages

DOCS = Path(__file__).parents[3] / "docs"


def test_every_reason_has_a_story_and_every_story_a_reason():
    assert set(STORIES) == set(CATALOGUE)


def test_the_pages_in_the_repository_are_current(tmp_path):
    assert CliRunner().invoke(app, ["reasons", "--pages", str(tmp_path)]).exit_code == 0
    made = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert made == pages(CATALOGUE)
    kept = {file.name: file.read_text() for file in (DOCS / "reasons").iterdir()}
    assert kept == made, "run `extauthz reasons --pages docs/reasons`"


@pytest.mark.parametrize("label", CATALOGUE)
def test_a_page_tells_causes_how_to_see_it_cure_and_example(label):
    page = pages(CATALOGUE)[f"{label}.md"]
    for title in ("## Causes", "## How to see it", "## Cure", "## Example"):
        assert page.count(title) == 1
    assert CATALOGUE[label].vpc.code in page
    for linked in re.findall(r"\]\(([\w./-]+)\)", page):
        assert (DOCS / "reasons" / linked).resolve().exists(), linked


@pytest.mark.parametrize("label", CATALOGUE)
def test_the_commands_that_a_page_names_exist(label):
    page = pages(CATALOGUE)[f"{label}.md"]
    assert set(re.findall(r"`extauthz ([a-z-]+)", page)) <= set(PLACES)


def test_one_reason_is_shown_with_its_page():
    shown = CliRunner().invoke(app, ["reasons", "nonce_used"])
    assert shown.exit_code == 0
    assert "retries with the same signature" in " ".join(shown.stdout.split())
