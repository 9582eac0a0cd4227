"""The table in docs/errors.md is the one that `extauthz reasons --markdown` prints."""

from pathlib import Path

from extauthz.cli.why.reasons import markdown
from extauthz.domain.reason import CATALOGUE


def test_the_documented_reasons_are_those_of_the_catalogue():
    page = (Path(__file__).parents[3] / "docs" / "errors.md").read_text()
    assert markdown(list(CATALOGUE.values())) in page
