"""``plugins`` of type ``ip_control``: from which addresses everybody, or one app, may call."""

from typing import Annotated, Literal

from pydantic import Field

from extauthz.config.names import Id, IpNetwork, Section
from extauthz.config.problems import Report
from extauthz.domain.ip import IpControl

Networks = Annotated[list[IpNetwork], Field(min_length=1)]


class AppNetworks(Section):
    """Networks that bind one app alone.

    ```yaml
    app: web-shop
    networks: [198.51.100.0/24]
    ```
    """

    app: Id = Field(description="the app that is bound")
    networks: Networks = Field(description="addresses or networks from which it may call")


class IpControlEntry(Section):
    """An IP control plug-in: an allow list (allow, apps, or both), or a refuse list.

    ```yaml
    id: offices
    type: ip_control
    allow: [192.0.2.0/24, "2001:db8::/32"]
    apps: [{app: web-shop, networks: [198.51.100.0/24]}]
    ```

    ```yaml
    id: not-these
    type: ip_control
    refuse: [203.0.113.7]
    ```
    """

    id: Id = Field(description="the name by which APIs and groups list it")
    type: Literal["ip_control"] = Field(description="what kind of plug-in this is")
    allow: Networks | None = Field(None, description="addresses or networks from which everybody may call")
    apps: Annotated[list[AppNetworks], Field(min_length=1)] | None = Field(
        None, description="networks from which one app may call; other apps are not bound by them"
    )
    refuse: Networks | None = Field(None, description="addresses or networks from which nobody may call")


def build_ip_control(entry: IpControlEntry, report: Report) -> IpControl | None:
    """An IP control plug-in, or None after reporting what is wrong."""
    allows = entry.allow is not None or entry.apps is not None
    if allows == (entry.refuse is not None):
        report((), "needs either an allow list (`allow`, `apps` or both) or a `refuse` list; `refuse` binds every app")
        return None
    apps = entry.apps or []
    by_app = {item.app: tuple(item.networks) for item in apps}
    if len(by_app) != len(apps):
        report(("apps",), "names an app twice; keep one entry with all of its networks")
        return None
    return IpControl(entry.id, allows, tuple(entry.allow or entry.refuse or ()), by_app)
