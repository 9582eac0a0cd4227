"""``shadow``: which APIs, methods and apps are judged, counted and logged, and let pass all the same until a moment."""

from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from typing import Annotated, Final

from pydantic import AwareDatetime, Field

from extauthz.config.findings import Findings
from extauthz.config.names import Id, Section
from extauthz.config.problems import Warned
from extauthz.domain.api import Api, AuthMethod
from extauthz.domain.shadow import ApiShadow, Shadow
from extauthz.domain.tokens.jwt import TokenPlace

LONGEST: Final = timedelta(days=366)
"""From now to the end of a shadow."""


class ShadowEntry(Section):
    """One API, some of its methods, or one app, let pass until a moment whatever is found.

    ```yaml
    {api: orders, methods: [POST, PUT], until: 2027-01-31T00:00:00Z}
    ```

    ```yaml
    {app: web-shop, until: 2027-01-31T00:00:00Z}
    ```
    """

    api: Id | None = Field(None, description="an API, whoever calls; or:")
    app: Id | None = Field(None, description="an app that has proved itself, whatever it calls")
    methods: Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="HTTP methods of the API; default: all of them"
    )
    until: AwareDatetime = Field(description="when it denies again, with time zone; a year ahead at most")


def build_shadow(
    entries: Iterable[ShadowEntry],
    apis: Mapping[str, Api],
    apps: Collection[str] | None,
    now_ms: int,
    findings: Findings,
) -> Shadow | None:
    """What is in shadow, None for nothing; mistakes are reported, and that shadow is on is warned of.

    ``apps`` are those that may be named; None: any, since the registry has others. ``now_ms`` is in milliseconds.
    """
    by_api: dict[str, list[ApiShadow]] = {}
    by_app: dict[str, int] = {}
    for index, entry in enumerate(entries):
        place = ("shadow", index)
        until_ms = int(entry.until.timestamp() * 1000)
        if (entry.api is None) == (entry.app is None) or (entry.app is not None and entry.methods is not None):
            findings.report(place, "needs exactly one of `api`, with or without `methods`, and `app`")
            continue
        if until_ms > now_ms + LONGEST.total_seconds() * 1000:
            findings.report(
                (*place, "until"), f"is more than {LONGEST.days} days ahead; name a nearer end, and renew it"
            )
        if entry.app is not None:
            if apps is not None and entry.app not in apps:
                findings.missing("apps", entry.app, apps, (*place, "app"), "app")
            by_app[entry.app] = max(until_ms, by_app.get(entry.app, 0))
        elif entry.api is not None:
            _check_api(entry, apis, index, findings)
            by_api.setdefault(entry.api, []).append(ApiShadow(until_ms, frozenset(entry.methods or ())))
        _warn(entry, until_ms <= now_ms, index, findings)
    if not by_api and not by_app:
        return None
    return Shadow({api: tuple(parts) for api, parts in by_api.items()}, by_app)


def _check_api(entry: ShadowEntry, apis: Mapping[str, Api], index: int, findings: Findings) -> None:
    wanted = entry.api or ""
    api = apis.get(wanted)
    if api is None:
        findings.missing("apis", wanted, apis, ("shadow", index, "api"), "API")
        return
    for position, method in enumerate(entry.methods or ()):
        if method not in api.methods:
            message = f"API `{api.id}` has no method {method}; it has {', '.join(sorted(api.methods))}"
            findings.report(("shadow", index, "methods", position), message)
    takes_token = any(AuthMethod.JWT in policy.methods for policy in api.auth.values())
    if takes_token and api.jwt is not None and api.jwt.place is not TokenPlace.HEADER:
        findings.report(
            ("shadow", index, "api"),
            f"a token of plug-in `{api.jwt.id}` that nobody verified would reach the upstream: it stands in the "
            f"{api.jwt.place.value}, where Envoy cannot take it off; say `parameter_location: header` in the plug-in",
        )


def _warn(entry: ShadowEntry, ended: bool, index: int, findings: Findings) -> None:
    what = f"app `{entry.app}`" if entry.app else f"API `{entry.api}`"
    if entry.methods:
        what += f" by {', '.join(entry.methods)}"
    if ended:
        message = f"has passed, so {what} denies again; take the entry out"
        findings.note(Warned.SHADOW_ENDED, ("shadow", index, "until"), message)
    else:
        until = entry.until.isoformat(timespec="seconds")
        findings.note(Warned.SHADOW_ON, ("shadow", index), f"{what} is in shadow until {until}: what is wrong passes")
