"""Rules for the apps and grants of the file: what they cannot do, and what ends."""

from collections.abc import Iterator
from typing import Final

from extauthz.access.question import utc
from extauthz.config.problems import Warned
from extauthz.lint.finding import Level, Rule, Spot, Subject, rule, warned
from extauthz.lint.usable import Usable


@rule(
    "app-without-grant",
    Level.WARNING,
    why="It has credentials and may call nothing that asks for an app: forgotten, or a grant is missing.",
    cure="grant it an API under `grants`, or take the app out",
)
def app_without_grant(subject: Subject) -> Iterator[Spot]:
    granted = {grant.app for grant in subject.config.file.grants}
    for index, app in enumerate(subject.config.file.apps):
        if app.id not in granted and not app.disabled:
            yield Spot(("apps", index), f"app `{app.id}` has no grant")


@rule(
    "app-without-credential",
    Level.WARNING,
    why="Without an AppKey or an AppCode it cannot prove itself, whatever it is granted.",
    cure="give it `keys` or `app_codes`, or take the app out",
)
def app_without_credential(subject: Subject) -> Iterator[Spot]:
    for index, app in enumerate(subject.config.file.apps):
        if not app.keys and not app.app_codes:
            yield Spot(("apps", index), f"app `{app.id}` has no credential")


@rule(
    "app-disabled",
    Level.NOTE,
    why="A disabled app keeps its credentials and grants, and has them again the moment somebody enables it.",
    cure="take the app out once it is certain that it stays away",
)
def app_disabled(subject: Subject) -> Iterator[Spot]:
    for index, app in enumerate(subject.config.file.apps):
        if app.disabled:
            yield Spot(("apps", index, "disabled"), f"app `{app.id}` is disabled")


@rule(
    "grant-without-credential",
    Level.WARNING,
    why="The API takes no kind of credential that the app has (digest asks for an AppKey, appcode for an AppCode), so "
    "the grant opens nothing.",
    cure="give the app a credential of that kind, or take the grant out",
)
def grant_without_credential(subject: Subject) -> Iterator[Spot]:
    usable, apis = Usable.of(subject), subject.config.snapshot.gateway.apis
    for index, grant in enumerate(subject.config.file.grants):
        for position, api in usable.idle_apis(grant, apis):
            yield Spot(("grants", index, "apis", position), f"app `{grant.app}` has no credential for API `{api.id}`")


grant_ended = warned(
    Warned.GRANT_ENDED,
    Level.WARNING,
    why="The app is denied as if it had never been granted the API.",
    cure="set a later `until`, or take the grant out",
)


@rule(
    "grant-ends-soon",
    Level.WARNING,
    why="From that moment on every call of the app is denied, without another warning.",
    cure="set a later `until`, or tell the app's owner",
)
def grant_ends_soon(subject: Subject) -> Iterator[Spot]:
    for index, grant in enumerate(subject.config.file.grants):
        until_ms = None if grant.until is None else int(grant.until.timestamp() * 1000)
        if until_ms is not None and subject.ends_soon(until_ms):
            yield Spot(("grants", index, "until"), f"the grant of app `{grant.app}` ends at {utc(until_ms)}")


previous_secret_ended = warned(
    Warned.PREVIOUS_SECRET_ENDED,
    Level.NOTE,
    why="The rotation is over: the older AppSecret opens nothing any more and need not be kept.",
    cure="take `previous` out",
)


@rule(
    "previous-secret-ends-soon",
    Level.NOTE,
    why="Clients that still sign with the older AppSecret are refused from then on.",
    cure="see in the decision log (`credential`) that nobody uses it, or set a later `until`",
)
def previous_secret_ends_soon(subject: Subject) -> Iterator[Spot]:
    for index, app in enumerate(subject.config.file.apps):
        for position, key in enumerate(app.keys):
            until_ms = 0 if key.previous is None else int(key.previous.until.timestamp() * 1000)
            if subject.ends_soon(until_ms):
                path = ("apps", index, "keys", position, "previous", "until")
                yield Spot(path, f"the previous AppSecret of `{key.app_key}` ends at {utc(until_ms)}")


RULES: Final[tuple[Rule, ...]] = (
    app_without_grant,
    app_without_credential,
    app_disabled,
    grant_without_credential,
    grant_ended,
    grant_ends_soon,
    previous_secret_ended,
    previous_secret_ends_soon,
)
