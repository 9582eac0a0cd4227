"""The list of commands: each leads to the one it names."""

import pytest
from typer.testing import CliRunner

from extauthz.cli.lazy import LazyCommand
from extauthz.cli.main import PLACES, app
from extauthz.cli.why.reasons import reasons


@pytest.mark.parametrize("name", PLACES)
def test_a_listed_command_is_there_and_says_what_it_is_for(name: str):
    real = LazyCommand(name, PLACES[name]).real()
    assert real.name == name
    assert real.help
    assert PLACES[name].help.endswith(".")


@pytest.mark.parametrize("arguments", [["-h"], ["serve", "-h"], ["grants", "-h"], ["grants", "create", "--help"]])
def test_help_is_there_by_its_short_name_at_every_depth(arguments: list[str]):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete_commands(shell: str):
    result = CliRunner().invoke(app, [], env={"_EXTAUTHZ_COMPLETE": f"complete_{shell}", "COMP_WORDS": "extauthz ch",
                                              "COMP_CWORD": "1", "_TYPER_COMPLETE_ARGS": "extauthz ch",
                                              "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
                                prog_name="extauthz")  # fmt: skip
    assert "check-config" in result.stdout


def test_a_command_that_is_not_there_is_an_error():
    assert CliRunner().invoke(app, ["bogus"]).exit_code == 2


@pytest.mark.parametrize("wanted", ["A403SG", "a403sg", "signature_mismatch"])
def test_a_reason_is_found_by_its_label_and_by_the_code_that_the_caller_was_shown(wanted: str):
    result = CliRunner().invoke(app, ["reasons", wanted], env={"COLUMNS": "40"})
    assert result.exit_code == 0
    assert "signature_mismatch\n" in result.stdout
    assert "compare the caller's string with the one in X-Ca-Error-Message." in result.stdout


def test_a_code_that_nobody_has_is_said_so():
    result = CliRunner().invoke(app, ["reasons", "A999XX"])
    assert result.exit_code == 1
    assert reasons.__doc__
