"""The configuration file: its top-level keys. What may stand under each is in ``sections``, a module for each key."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from extauthz.config.names import HeaderName, Node, Section
from extauthz.config.sections.admin import Admin
from extauthz.config.sections.apis.api import ApiEntry
from extauthz.config.sections.apps.app import AppEntry
from extauthz.config.sections.capture import Capture
from extauthz.config.sections.client_address import ClientAddress
from extauthz.config.sections.decision_log import DecisionLog
from extauthz.config.sections.digest import Digest
from extauthz.config.sections.errors import Errors
from extauthz.config.sections.grants import GrantEntry
from extauthz.config.sections.groups.group import Group
from extauthz.config.sections.limits import Limits
from extauthz.config.sections.listen.listener import Listen
from extauthz.config.sections.plugins.built import Plugin
from extauthz.config.sections.registry import Registry
from extauthz.config.sections.replay.store import Replay
from extauthz.config.sections.tracing import Tracing
from extauthz.domain.request import Network
from extauthz.domain.settings import IDENTITY_HEADERS, IdentityFact


class ConfigFile(Section):
    """The configuration of an extauthz service."""

    listen: Annotated[list[Listen], Field(min_length=1)]
    operations: Node = Field("127.0.0.1:9901", description="host:port of /metrics, /healthz and /readyz")
    transport: Literal["auto", "grpcio", "native", "front"] = Field(
        "auto", description="front needs extauthz-front; auto takes it where it is installed, and gRPC's own otherwise"
    )
    drain: Annotated[timedelta, Field(ge=timedelta(0), le=timedelta(minutes=5))] = Field(
        timedelta(seconds=3), description="from NOT_SERVING to stop; longer than Envoy's health check takes to notice"
    )
    limits: Limits = Limits()
    watch: bool = Field(True, description="reload by itself when this file, or one that it names, changes")
    decision_log: DecisionLog = DecisionLog()
    tracing: Tracing | None = None
    capture: Capture | None = None
    errors: Errors = Errors()
    identity_headers: dict[HeaderName, IdentityFact] = Field(
        default=IDENTITY_HEADERS,
        description="header sent upstream: what it tells; clients' copies never pass",
    )
    digest: Digest = Field(Digest(), description="defaults for the `digest` section of every API")
    strip_credentials: bool = Field(False, description="whether APIs take credentials off the request")
    port_networks: dict[Annotated[int, Field(ge=1, le=65535)], Network] = Field(default_factory=dict)
    client_address: ClientAddress = ClientAddress()
    replay: Replay = Replay()
    registry: Registry | None = None
    admin: Admin = Admin()
    groups: list[Group] = Field(default_factory=list)
    plugins: list[Plugin] = Field(default_factory=list)
    apis: list[ApiEntry] = Field(default_factory=list)
    apps: list[AppEntry] = Field(default_factory=list)
    grants: list[GrantEntry] = Field(default_factory=list)
