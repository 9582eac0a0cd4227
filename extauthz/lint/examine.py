"""The examination: a configuration, and the registry behind it, against every rule."""

from collections.abc import Collection, Iterable
from typing import Final

from extauthz.config.problems import Problem
from extauthz.config.source import Source
from extauthz.lint.finding import Finding, Level, Rule, Subject
from extauthz.lint.rules import apis, apps, operation, plugins, registry, routes, secrets, shadow

RULES: Final[tuple[Rule, ...]] = (
    *routes.RULES,
    *apis.RULES,
    *apps.RULES,
    *secrets.RULES,
    *plugins.RULES,
    *operation.RULES,
    *shadow.RULES,
    *registry.RULES,
)
"""Everything that the lint looks for."""
MISTAKE: Final = Rule(
    "mistake",
    Level.ERROR,
    "A file with a mistake is not served: a start fails, and a reload keeps what was.",
    "see the message",
    lambda _: iter(()),
)
"""What `check-config` refuses, told as a finding, so that a pull request shows it at its line."""


def examine(subject: Subject, ignore: Collection[str] = ()) -> list[Finding]:
    """Examine a sound configuration: errors first, then warnings and notes, each in the order of the file."""
    source = Source(subject.config.path, subject.config.texts)
    found = [
        _finding(rule, source.problem(spot.path, spot.detail))
        for rule in RULES
        if rule.id not in ignore
        for spot in rule.examine(subject)
    ]
    return sorted(found, key=lambda one: (tuple(Level).index(one.rule.level), one.file, one.line))


def mistakes(problems: Iterable[Problem]) -> list[Finding]:
    """What makes a file unfit to be served, as findings."""
    return [_finding(MISTAKE, one) for one in problems]


def _finding(rule: Rule, at: Problem) -> Finding:
    """A finding where it stands: in an included file as it is numbered there."""
    return Finding(rule, at.file, at.line, at.path if at.own_path is None else at.own_path, at.message)
