"""The configuration file: its top-level keys. What may stand under each is in ``sections``, a module for each key."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from extauthz.config.names import HeaderName, Node, Section, Text
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
from extauthz.config.sections.shadow import ShadowEntry
from extauthz.config.sections.tracing import Tracing
from extauthz.domain.request import Network
from extauthz.domain.settings import IDENTITY_HEADERS, IdentityFact


class ConfigFile(Section):
    """The configuration of an extauthz service.

    ```yaml
    include: [apis-of-the-shop.yaml, apps.yaml]
    listen: [{address: "127.0.0.1:9191", network: internet}]
    operations: 127.0.0.1:9901
    transport: auto
    drain: 3
    limits: {in_flight: 500}
    watch: true
    decision_log: {destination: stdout}
    tracing: {endpoint: "http://localhost:4318/v1/traces"}
    capture: {folder: captures, key: {file: capture.key}}
    errors: {generation: vpc}
    identity_headers: {X-Ca-App-Id: app_id, X-Ca-Network: network, X-Client-Ip: client_ip}
    digest: {window: 900}
    strip_credentials: false
    port_networks: {8443: internet, 8444: vpc}
    client_address: {source: x-envoy-external-address}
    replay: {redis: {url: {file: redis-url}}}
    registry: {database: {file: database-url}, master_keys: {file: master-keys}}
    admin: {address: "127.0.0.1:9902"}
    groups: [{id: shop, domains: [api.example.com]}]
    plugins: [{id: login, type: jwt, audiences: [orders], remote_keys: {oidc_issuer: "https://login.example.com"}}]
    apis: [{id: orders, group: shop, methods: [GET], path: /v1/orders, auth: {internet: digest}, plugins: [login]}]
    apps: [{id: web-shop, keys: [{app_key: web-shop-1, app_secret: {file: web-shop.secret}}]}]
    grants: [{app: web-shop, apis: [orders]}]
    shadow: [{api: orders, until: 2027-01-31T00:00:00Z}]
    ```
    """

    include: list[Text] = Field(
        default_factory=list, description="further files with groups, plugins, apis, apps and grants, added to these"
    )
    listen: Annotated[list[Listen], Field(min_length=1)] = Field(description="where Envoy asks")
    operations: Node = Field("127.0.0.1:9901", description="host:port of /metrics, /healthz and /readyz")
    transport: Literal["auto", "grpcio", "front"] = Field(
        "auto", description="front needs extauthz-front; auto takes it where it is installed, and gRPC's own otherwise"
    )
    drain: Annotated[timedelta, Field(ge=timedelta(0), le=timedelta(minutes=5))] = Field(
        timedelta(seconds=3), description="from NOT_SERVING to stop; longer than Envoy's health check takes to notice"
    )
    limits: Limits = Field(Limits(), description="how much a process takes on at once")
    watch: bool = Field(True, description="reload by itself when this file, or one that it names, changes")
    decision_log: DecisionLog = Field(DecisionLog(), description="where a line for each decision goes")
    tracing: Tracing | None = Field(None, description="spans for an OpenTelemetry collector; without it, none")
    capture: Capture | None = Field(None, description="what `extauthz capture` may keep of denied checks, sealed")
    errors: Errors = Field(Errors(), description="how denials look")
    identity_headers: dict[HeaderName, IdentityFact] = Field(
        default=IDENTITY_HEADERS,
        description="header sent upstream: what it tells; clients' copies never pass",
    )
    digest: Digest = Field(Digest(), description="defaults for the `digest` section of every API")
    strip_credentials: bool = Field(False, description="whether APIs take credentials off the request")
    port_networks: dict[Annotated[int, Field(ge=1, le=65535)], Network] = Field(
        default_factory=dict,
        description="port at which Envoy took the call: network; for calls of which nothing else says it",
    )
    client_address: ClientAddress = Field(ClientAddress(), description="what counts as the client's address")
    replay: Replay = Field(Replay(), description="where nonces and jtis are remembered")
    registry: Registry | None = Field(
        None, description="apps, keys and grants in a database, beside those of this file"
    )
    admin: Admin = Field(Admin(), description="where `extauthz admin` serves the registry's API")
    groups: list[Group] = Field(default_factory=list, description="APIs that share domains")
    plugins: list[Plugin] = Field(default_factory=list, description="JWT and IP control, bound to APIs by their id")
    apis: list[ApiEntry] = Field(default_factory=list, description="what is protected; anything else is refused")
    apps: list[AppEntry] = Field(default_factory=list, description="who may call: identities and their credentials")
    grants: list[GrantEntry] = Field(default_factory=list, description="which app may call which API, in which stage")
    shadow: list[ShadowEntry] = Field(
        default_factory=list, description="APIs and apps that are judged and let pass all the same, until an end"
    )
