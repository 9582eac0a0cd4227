"""The configuration file, as pydantic sees it. Every key is documented here; editors get it as JSON Schema."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from extauthz.config.names import Address, Algorithm, AppKey, HeaderName, Id, Node, Section, Text, switch, written
from extauthz.config.plugin_schema import Plugin
from extauthz.config.secrets import FromFile, Secret
from extauthz.domain.api import AppCodeMode, AuthMethod, ReplayOutage, Strictness
from extauthz.domain.horizon import VENDORS_WINDOW_MS
from extauthz.domain.request import Network, Stage
from extauthz.domain.settings import Generation, IdentityFact, Reveal


class Tls(Section):
    """Certificates of a listener: PEM files, relative to this file, read anew when they change."""

    cert: Path = Field(description="our certificate, then the intermediate ones")
    key: Path = Field(description="its private key, without a password")
    client_ca: Path | None = Field(None, description="who signs Envoy's certificate; with it, a client must have one")
    allowed_clients: list[Text] = Field(
        default_factory=list,
        description="who may ask, by URI (spiffe://...), DNS name or IP address; empty: all that client_ca signed",
    )


class Listen(Section):
    """An address where Envoy asks us."""

    address: Address = Field(description="host:port, or unix:/path")
    network: Network | None = Field(
        None, description="Binds this listener to a network. Without it Envoy's context says which one."
    )
    tls: Tls | None = Field(None, description="TLS to Envoy")
    insecure: bool = Field(False, description="plain text is meant, although the address can be reached from outside")


class OverrideAnswer(Section):
    """Another code, status or message for a reason whose answer the vendor's documents leave open."""

    code: Annotated[str, *written(r"[A-Z0-9]{0,16}", "at most 16 capital letters and digits")] | None = None
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    message: Annotated[str, StringConstraints(max_length=512)] | None = None


class Errors(Section):
    """How denials look."""

    generation: Generation = Field(Generation.VPC, description="vpc: six-character codes; legacy: classic instances")
    reveal: Reveal = Field(Reveal.FULL, description="minimal: unknown key and wrong signature look the same")
    overrides: dict[str, OverrideAnswer] = Field(default_factory=dict, description="by reason, provisional ones only")


class Sentinels(Section):
    """The Redis Sentinels that know which server is the master now."""

    nodes: Annotated[list[Node], Field(min_length=1)] = Field(
        description="host:port of each of them, the nearest first"
    )
    username: str = Field("", description="of the Sentinels themselves; the URL holds what the master wants")
    password: Secret | None = None


class Redis(Section):
    """A Redis or Valkey that every worker and replica shares."""

    url: Secret = Field(
        description="redis://[user:password@]host:port/db, rediss:// for TLS (?ssl_ca_certs=FILE), or unix:///path; "
        "with `sentinel` its host is the name of the master; by value, {env: NAME} or {file: PATH}"
    )
    timeout: Annotated[timedelta, Field(ge=timedelta(milliseconds=5), le=timedelta(seconds=2))] = Field(
        timedelta(milliseconds=100), description="for one round trip; twice that must fit into Envoy's timeout"
    )
    connections: Annotated[int, Field(ge=1, le=256)] = Field(8, description="per process")
    prefix: Annotated[
        str, *written(r"[A-Za-z0-9:._{}-]{0,64}", "at most 64 letters, digits, `:`, `.`, `_`, `-` and braces")
    ] = "extauthz:"
    sentinel: Sentinels | None = Field(None, description="Sentinels say where the master is")
    cluster: bool = Field(False, description="the URL names a node of a Redis Cluster")
    cluster_nodes: list[Node] = Field(
        default_factory=list, description="host:port of further nodes, asked while the URL's is away"
    )
    capacity: Annotated[int, Field(ge=1)] = Field(
        4_000_000,
        description="values that its `maxmemory` has room for, about 450 bytes each; `replay.share` is taken of it",
    )
    wait_replicas: Annotated[int, Field(ge=0, le=16)] = Field(
        0, description="replicas that must have a value before it counts as recorded (WAIT); not with `cluster`"
    )


Window = Annotated[timedelta, Field(gt=timedelta(0), le=timedelta(days=1))]
VENDORS_WINDOW: Final = timedelta(milliseconds=VENDORS_WINDOW_MS)


class Replay(Section):
    """Where nonces and jtis are remembered."""

    capacity: Annotated[int, Field(ge=1)] = Field(
        1_000_000, description="live nonces in the memory of a process; when full, checks get 503"
    )
    jti_capacity: Annotated[int, Field(ge=1)] = Field(1_000_000, description="live jtis, which have room of their own")
    share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="of that room one app (of jtis: one plug-in) gets at most; 1: all, where there is one app"
    )
    longest_window: Window = Field(
        VENDORS_WINDOW,
        description="nonces are kept as if some API had this `digest.window`; beside `redis` no window may be longer",
    )
    refuse_signed_before_start: bool = Field(
        False, description="nonces in memory end with the process: refuse timestamps from before its start"
    )
    redis: Redis | None = Field(None, description="the shared store; without it, the memory of each process")
    scope: Literal["service", "per_worker"] = Field(
        "service", description="per_worker: no shared store, and a nonce may pass once in each worker and replica"
    )


class Limits(Section):
    """How much a process takes on at once."""

    in_flight: Annotated[int, Field(ge=1, le=100_000)] = Field(
        500, description="checks waiting or in work per listener and worker; past it, 503 at once (`overloaded`)"
    )
    form_mebibytes: Annotated[int, Field(ge=1, le=32)] = Field(
        2,
        description="of a signed form; a larger one is refused with 413 (`body_too_large`); each MiB can cost a "
        "stranger's check some 10 ms, in which all others wait",
    )
    message_mebibytes: Annotated[int, Field(ge=1, le=64)] = Field(
        2,
        description="larger questions are refused unread (`request_invalid`); keep Envoy's with_request_body below it, "
        "and while one is read all others wait, so set it no higher than signed bodies are",
    )


class ClientAddress(Section):
    """What counts as the client's address."""

    source: Literal["peer", "x-envoy-external-address"] = Field(
        "peer", description="the header is sound only where Envoy's listener sets use_remote_address: true"
    )


class BoundDomain(Section):
    """A domain that is tied to a network, to a stage, or to both."""

    name: str
    network: Network | None = Field(None, description="the only network from which it may be called")
    stage: Stage | None = Field(None, description="the only stage that it serves")


class AllOf(Section):
    """Every one of these must hold."""

    all_of: Annotated[list["AuthMethod | AnyOf"], Field(min_length=2)]


class AnyOf(Section):
    """One of these must hold."""

    any_of: Annotated[list["AuthMethod | AllOf"], Field(min_length=1)]


Auth = AuthMethod | AnyOf | AllOf
AuthByNetwork = Annotated[dict[Network, Auth], Field(min_length=1)]
VpcIds = Annotated[list[Text], Field(min_length=1)]


class Group(Section):
    """APIs that share domains, and what holds for each of them that does not state its own."""

    id: Id
    domains: Annotated[list[str | BoundDomain], Field(min_length=1)] = Field(
        description='host names, "*.suffix", or "*"; or {name, network, stage} to tie one'
    )
    networks: Annotated[list[Network], Field(min_length=1)] = Field(
        default=[Network.INTERNET, Network.VPC], description="where from its APIs may be called at most"
    )
    auth: AuthByNetwork | None = Field(None, description="for APIs without `auth`")
    vpc_ids: VpcIds | None = Field(None, description="for APIs without `vpc_ids`")
    plugins: list[Id] = Field(
        default_factory=list, description="for APIs that do not list a plug-in of the same type themselves"
    )


class Digest(Section):
    """How an API reads signed requests."""

    algorithms: Annotated[list[Algorithm], Field(min_length=1)] = Field(default=["HmacSHA256"])
    window: Window = Field(
        VENDORS_WINDOW, description="allowed clock difference, both ways: seconds or ISO 8601 (PT15M)"
    )
    require_timestamp: bool = False
    require_nonce: bool = False
    require_signed: list[HeaderName] = Field(default_factory=list)
    strict: Annotated[Strictness, switch(on="on", off="off")] = Strictness.OFF


class ApiEntry(Section):
    """A protected API."""

    id: Id
    group: Id
    owner: str = ""
    methods: Annotated[list[str], Field(min_length=1)]
    path: str | None = Field(None, description="template such as /v1/orders/{orderId}; without it only Envoy's "
                                               "route context (extauthz.api) leads here")  # fmt: skip
    stages: Annotated[list[Stage], Field(min_length=1)] = Field(default=[Stage.RELEASE])
    auth: AuthByNetwork | None = Field(
        None,
        description="per network the method that opens the API; a network that is not listed may not call it; "
        "default: the group's",
    )
    digest: Digest = Digest()
    app_code: Annotated[AppCodeMode, switch(off="off")] = AppCodeMode.HEADER
    plugins: list[Id] = Field(default_factory=list)
    vpc_ids: VpcIds | None = Field(
        None, description="VPCs that may call, by extauthz.vpc_id; default: the group's, else any"
    )
    strip_credentials: bool | None = Field(
        None, description="take the proof off the request; it must stand in a header. Default: the file's"
    )
    lenient_path_parameters: bool = Field(
        False,
        description="let `;`, `%3F` and escaped escapes such as `%2541` stand in a `{name}` of the path; some "
        "upstreams cut a path at the first two, and read the third as another letter",
    )
    replay_outage: ReplayOutage = Field(
        ReplayOutage.DENY, description="allow: while the shared store is out of order, pass without replay protection"
    )


class PreviousSecret(Section):
    """The AppSecret before a rotation, while clients still sign with it."""

    secret: Secret
    until: AwareDatetime = Field(description="when it ends, with time zone")


class KeyEntry(Section):
    """An AppKey and its AppSecret."""

    app_key: AppKey
    app_secret: Secret
    previous: PreviousSecret | None = Field(None, description="accepted beside `app_secret` until it ends")


class AppEntry(Section):
    """An app: the identity that calls."""

    id: Id
    owner: str = ""
    disabled: bool = False
    keys: list[KeyEntry] = Field(default_factory=list)
    app_codes: list[Secret] = Field(default_factory=list)


class GrantEntry(Section):
    """The right of one app to call APIs in stages."""

    app: Id
    apis: Annotated[list[Id], Field(min_length=1)]
    stages: Annotated[list[Stage], Field(min_length=1)] = Field(default=[Stage.RELEASE])
    until: AwareDatetime | None = Field(None, description="when it ends, with time zone; without it, never")
    granted_by: str = ""


Share = Annotated[float, Field(ge=0, le=1)]


class Rotate(Section):
    """When a log file is set aside. Without it, do so with logrotate: a file that was moved away is noticed."""

    max_mebibytes: Annotated[int, Field(ge=1, le=1_048_576)] = Field(description="past it FILE becomes FILE.1")
    keep: Annotated[int, Field(ge=1, le=1000)] = Field(5, description="files set aside; the oldest is removed")


class DecisionLog(Section):
    """One JSON line a decision, never with a credential in it."""

    destination: Literal["stdout", "none"] | FromFile = Field("stdout", description="stdout, none, or {file: PATH}")
    rotate: Rotate | None = None
    audit: Literal["best_effort", "required"] = Field(
        "best_effort", description="required: no record, no answer; while the log cannot be written, checks get 503"
    )
    sample_allowed: Share = Field(1.0, description="share of allowed checks logged")
    sample_denied: Share = Field(1.0, description="share of denied checks logged")
    sample_reasons: dict[str, Share] = Field(default_factory=dict, description="share by reason, before the other two")
    capacity: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        10_000,
        description="decisions waiting; past it they are dropped and counted, or refused where audit is required",
    )


class Tracing(Section):
    """One OpenTelemetry span a check; needs the extra `tracing`."""

    endpoint: Annotated[
        str, *written(r"https?://[^@\s/?#]+([/?][^@\s#]*)?", "an http:// or https:// URL without user and fragment")
    ] = Field(description="where an OTLP/HTTP collector takes traces, such as http://localhost:4318/v1/traces")
    headers: dict[HeaderName, Secret] = Field(default_factory=dict, description="sent to the collector, such as a key")
    service_name: Annotated[str, StringConstraints(min_length=1, max_length=255)] = "extauthz"
    sample_without_parent: Share = Field(
        0.0, description="share of the checks traced that come without Envoy's traceparent; else its flag decides"
    )


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
    errors: Errors = Errors()
    identity_headers: dict[HeaderName, IdentityFact] = Field(
        default={
            "X-Ca-App-Id": IdentityFact.APP_ID,
            "X-Ca-Request-Id": IdentityFact.REQUEST_ID,
            "X-Ca-Network": IdentityFact.NETWORK,
        },
        description="header sent upstream: what it tells; clients' copies never pass",
    )
    digest: Digest = Field(Digest(), description="defaults for the `digest` section of every API")
    strip_credentials: bool = Field(False, description="whether APIs take credentials off the request")
    port_networks: dict[Annotated[int, Field(ge=1, le=65535)], Network] = Field(default_factory=dict)
    client_address: ClientAddress = ClientAddress()
    replay: Replay = Replay()
    groups: list[Group] = Field(default_factory=list)
    plugins: list[Plugin] = Field(default_factory=list)
    apis: list[ApiEntry] = Field(default_factory=list)
    apps: list[AppEntry] = Field(default_factory=list)
    grants: list[GrantEntry] = Field(default_factory=list)
