"""Rules over the registry: apps and grants that stand there, as far as ``registry_facts`` reads them."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from extauthz.access.question import utc
from extauthz.config.problems import KeyPath
from extauthz.lint.finding import Level, Rule, Spot, Subject, rule
from extauthz.lint.registry_facts import RegistryFacts, Told

_PLACE: Final[KeyPath] = ("registry",)


def _spots(subject: Subject, kind: Callable[[RegistryFacts], Told], say: Callable[[Any], str]) -> Iterator[Spot]:
    if subject.registry is None:
        return
    told = kind(subject.registry)
    for row in told.first:
        yield Spot(_PLACE, say(row))
    if told.count > len(told.first):
        yield Spot(_PLACE, f"and {told.count - len(told.first)} more")


@rule(
    "registry-app-without-grant",
    Level.WARNING,
    why="It has an entry and may call nothing that asks for an app: forgotten, or a grant is missing.",
    cure="`extauthz grants create --app APP --api API`, or `extauthz apps delete`",
)
def registry_app_without_grant(subject: Subject) -> Iterator[Spot]:
    return _spots(subject, lambda facts: facts.without_grant, lambda row: f"app `{row[0]}` of `{row[1]}` has no grant")


@rule(
    "registry-app-without-credential",
    Level.WARNING,
    why="Without an AppKey or an AppCode it cannot prove itself, whatever it is granted.",
    cure="`extauthz keys create` or `extauthz codes create`, or `extauthz apps delete`",
)
def registry_app_without_credential(subject: Subject) -> Iterator[Spot]:
    return _spots(
        subject, lambda facts: facts.without_credential, lambda row: f"app `{row[0]}` of `{row[1]}` has no credential"
    )


def _grant(row: Any, ends: str) -> str:
    return f"the grant of app `{row[0]}` for API `{row[1]}` in {row[2]} {ends} {utc(row[3])}"


@rule(
    "registry-grant-ends-soon",
    Level.WARNING,
    why="From that moment on every call of the app is denied, without another warning.",
    cure="`extauthz grants create` again with a later `--until`, or tell the app's owner",
)
def registry_grant_ends_soon(subject: Subject) -> Iterator[Spot]:
    return _spots(subject, lambda facts: facts.ending, lambda row: _grant(row, "ends at"))


@rule(
    "registry-grant-ended",
    Level.NOTE,
    why="The app is denied as if it had never been granted the API.",
    cure="`extauthz grants revoke`, or grant it again",
)
def registry_grant_ended(subject: Subject) -> Iterator[Spot]:
    return _spots(subject, lambda facts: facts.ended, lambda row: _grant(row, "ended at"))


@rule(
    "registry-grant-of-unknown-api",
    Level.WARNING,
    why="The configuration has no API of this id, so the grant opens nothing: renamed here, or forgotten there.",
    cure="give the API its registered id again, or `extauthz apis delete` what is gone",
)
def registry_grant_of_unknown_api(subject: Subject) -> Iterator[Spot]:
    return _spots(
        subject, lambda facts: facts.unserved, lambda row: f"app `{row[0]}` is granted API `{row[1]}` in {row[2]}"
    )


RULES: Final[tuple[Rule, ...]] = (
    registry_app_without_grant,
    registry_app_without_credential,
    registry_grant_ends_soon,
    registry_grant_ended,
    registry_grant_of_unknown_api,
)
