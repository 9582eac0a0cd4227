"""``grants``: which app may call which APIs, in which stages, until when."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AwareDatetime, Field

from extauthz.config.findings import Findings
from extauthz.config.names import Id, Section
from extauthz.config.problems import KeyPath, Warned
from extauthz.domain.api import Api
from extauthz.domain.app import Grant
from extauthz.domain.request import Stage
from extauthz.domain.snapshot.directory import DirectoryBuilder, Taken


class GrantEntry(Section):
    """The right of one app to call APIs in stages.

    ```yaml
    app: web-shop
    apis: [orders]
    stages: [RELEASE, TEST]
    until: 2027-12-31T00:00:00Z
    granted_by: shop-team
    ```
    """

    app: Id = Field(description="who may call")
    apis: Annotated[list[Id], Field(min_length=1)] = Field(description="what it may call")
    stages: Annotated[list[Stage], Field(min_length=1)] = Field(default=[Stage.RELEASE], description="in which stages")
    until: AwareDatetime | None = Field(None, description="when it ends, with time zone; without it, never")
    granted_by: str = Field("", description="who says so, for people")


def add_grants(
    index: int, entry: GrantEntry, apis: Mapping[str, Api], directory: DirectoryBuilder, now_ms: int, findings: Findings
) -> None:
    """Add the grants of one entry, whose place in the file is ``index``; what is wrong with it is reported."""
    place: KeyPath = ("grants", index)
    if entry.app not in directory.apps:
        findings.missing("apps", entry.app, directory.apps, (*place, "app"), "app")
    until_ms = None if entry.until is None else int(entry.until.timestamp() * 1000)
    if until_ms is not None and until_ms <= now_ms:
        cure = "has passed, so the grant opens nothing; set a later end or take it out"
        findings.note(Warned.GRANT_ENDED, (*place, "until"), cure)
    for position, api_id in enumerate(entry.apis):
        path: KeyPath = (*place, "apis", position)
        api = apis.get(api_id)
        if api is None:
            findings.missing("apis", api_id, apis, path, "API")
            continue
        for stage in entry.stages:
            if stage not in api.stages:
                findings.report(path, f"API `{api_id}` is not published in stage {stage}; add it to its `stages`")
            try:
                directory.add_grant(Grant(entry.app, api_id, stage, until_ms, entry.granted_by), findings.line(path))
            except Taken as taken:
                what = f"duplicate grant of `{api_id}` in {stage} to app `{entry.app}`"
                findings.report(path, f"{what} ({taken.first}); keep one")
