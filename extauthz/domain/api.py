"""APIs: what is protected, where it may be called from, and with which proof."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from extauthz.domain.app import HMAC_SHA256
from extauthz.domain.horizon import VENDORS_WINDOW_MS
from extauthz.domain.ip import IpControl
from extauthz.domain.request import Network, Stage
from extauthz.domain.tokens.jwt import JwtPlugin


class AuthMethod(StrEnum):
    """How a caller proves itself: the words of the configuration. What each method does stands in ``auth``."""

    NONE = "none"
    APP_CODE = "appcode"
    DIGEST = "digest"
    JWT = "jwt"


class AppCodeMode(StrEnum):
    """Where an AppCode may stand (vendor: AppCodeAuthType)."""

    OFF = "off"
    HEADER = "header"
    HEADER_QUERY = "header_query"


@dataclass(frozen=True, slots=True, eq=False)
class AuthPolicy:
    """Which proofs open an API on one network: any one of the alternatives, each a set of methods that must all hold.

    The empty set is the alternative "none": an anonymous call. Methods go by their names in ``auth.METHODS``.
    """

    alternatives: tuple[frozenset[str], ...]
    methods: frozenset[str] = field(init=False)
    """Every method that some alternative mentions."""
    only: str | None = field(init=False)
    """The one method of a policy that knows no other way; None where there is a choice or nothing to prove."""

    def __post_init__(self) -> None:
        if not self.alternatives:
            raise ValueError("a policy without alternatives would be ambiguous: say `none` to mean an open API")
        object.__setattr__(self, "methods", frozenset[str]().union(*self.alternatives))
        single = len(self.alternatives) == 1 and len(self.alternatives[0]) == 1
        object.__setattr__(self, "only", next(iter(self.alternatives[0])) if single else None)


class ReplayOutage(StrEnum):
    """What happens to a proof that may pass once only while nobody can tell whether it did."""

    DENY = "deny"
    ALLOW = "allow"


class Strictness(StrEnum):
    """What happens to a valid signature that leaves part of the request open, see ``auth.strict``."""

    OFF = "off"
    WARN = "warn"
    """Allowed and counted, so that an operator sees what switching it on would refuse."""
    ON = "on"


@dataclass(frozen=True, slots=True, eq=False)
class DigestRules:
    """How strictly an API reads the digest scheme. The defaults are the vendor's."""

    algorithms: frozenset[str] = frozenset({HMAC_SHA256})
    window_ms: int = VENDORS_WINDOW_MS
    """How far a timestamp may lie from our clock, in either direction, in milliseconds."""
    require_timestamp: bool = False
    require_nonce: bool = False
    require_signed: frozenset[str] = frozenset()
    """Lower-case names of headers that must be listed in X-Ca-Signature-Headers."""
    strict: Strictness = Strictness.OFF


@dataclass(frozen=True, slots=True)
class DomainBinding:
    """What a domain is tied to (vendor: CustomDomainType and BindStageName of SetDomain)."""

    network: Network | None = None
    """The only network from which the domain may be called; None: any."""
    stage: Stage | None = None
    """The only stage that the domain serves; None: any."""


@dataclass(frozen=True, slots=True, eq=False)
class ApiGroup:
    """APIs that share domains."""

    id: str
    domains: frozenset[str]
    """Lower-case host names; ``*.example.com`` for one level or more below; ``*`` for every host."""
    bindings: Mapping[str, DomainBinding] = field(default_factory=dict)
    """By domain; empty when no domain of the group is tied to anything, else all of its domains are here."""

    def binding_of(self, host: str) -> DomainBinding | None:
        """The binding of the most specific domain that covers a host; None where no domain of the group does."""
        found = self.bindings.get(host)
        dot = host.find(".", 1)
        while found is None and dot >= 0:
            found = self.bindings.get("*" + host[dot:])
            dot = host.find(".", dot + 1)
        return found or self.bindings.get("*")


@dataclass(frozen=True, slots=True, eq=False)
class Api:
    """One protected API."""

    id: str
    group: ApiGroup
    methods: frozenset[str]
    path: str | None
    """Path template, see ``domain.routing.path``; None: found only by the id in Envoy's route context."""
    stages: frozenset[Stage]
    auth: Mapping[Network, AuthPolicy]
    """A network that is missing here may not call the API."""
    owner: str = ""
    digest: DigestRules = DigestRules()
    app_code: AppCodeMode = AppCodeMode.HEADER
    jwt: JwtPlugin | None = None
    ip_control: IpControl | None = None
    vpc_ids: frozenset[str] = frozenset()
    """VPCs that may call, as the trusted listener context states them; empty: any VPC."""
    strip_credentials: bool = False
    """Whether the credentials are taken off the request before it goes upstream."""
    replay_outage: ReplayOutage = ReplayOutage.DENY
    lenient_path_parameters: bool = False
    """Whether ``{name}`` segments take ``;``, ``%3F`` and escaped escapes, see ``domain.lenient_path``."""
