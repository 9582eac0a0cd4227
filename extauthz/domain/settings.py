"""Settings that hold for every API: how answers look, and what goes upstream."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from extauthz.domain.header_names import X_CA_APP_ID, X_CA_NETWORK, X_CA_REQUEST_ID, as_written
from extauthz.domain.horizon import VENDORS_WINDOW_MS
from extauthz.domain.reason import Answer, Reason
from extauthz.domain.request import Network


class Generation(StrEnum):
    """Which generation of the vendor's gateway our errors imitate."""

    VPC = "vpc"
    LEGACY = "legacy"


class Reveal(StrEnum):
    """How much a refused caller is told."""

    FULL = "full"
    MINIMAL = "minimal"
    """Unknown key and wrong signature look the same, and no string to sign is echoed."""


class IdentityFact(StrEnum):
    """What can be told to the upstream in a header. The first seven are the vendor's system parameters."""

    APP_ID = "app_id"  # CaAppId
    CLIENT_IP = "client_ip"  # CaClientIp
    DOMAIN = "domain"  # CaDomain
    REQUEST_ID = "request_id"  # CaRequestId
    REQUEST_TIME = "request_time"  # CaRequestHandleTime, GMT
    SCHEME = "scheme"  # CaHttpSchema
    PROXY = "proxy"  # CaProxy
    NETWORK = "network"
    STAGE = "stage"
    API_ID = "api_id"
    OWNER = "owner"
    AUTH_METHOD = "auth_method"
    SUBJECT = "subject"


IDENTITY_HEADERS: Final = {
    as_written(X_CA_APP_ID): IdentityFact.APP_ID,
    as_written(X_CA_REQUEST_ID): IdentityFact.REQUEST_ID,
    as_written(X_CA_NETWORK): IdentityFact.NETWORK,
}
"""What goes upstream in which header, unless the configuration says otherwise."""
FORM_MEBIBYTES: Final = 2
"""The largest signed form, unless the configuration says otherwise."""


@dataclass(frozen=True, slots=True)
class ErrorSettings:
    """How denials look."""

    generation: Generation = Generation.VPC
    reveal: Reveal = Reveal.FULL
    overrides: dict[str, Answer] = field(default_factory=dict)
    """By reason label; only for reasons that the catalogue marks provisional."""
    help_url: str = ""
    """Begins the address of a page for each reason, which callers are told; empty: they are not."""

    def answer(self, reason: Reason) -> Answer:
        """The answer of the chosen generation."""
        override = self.overrides.get(reason.label)
        if override is not None:
            return override
        return reason.legacy if self.generation is Generation.LEGACY else reason.vpc


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one snapshot."""

    errors: ErrorSettings = ErrorSettings()
    identity_headers: tuple[tuple[str, IdentityFact], ...] = tuple(
        (name.lower(), fact) for name, fact in IDENTITY_HEADERS.items()
    )
    """Lower-case header names. All of them are overwritten or removed on every allowed request."""
    identity_facts: frozenset[IdentityFact] = field(init=False)
    """Every fact that some header tells."""
    tells_scheme: bool = field(init=False)
    """Whether some header tells the scheme; if none does, nobody pays for reading it."""
    claim_headers: frozenset[str] = frozenset()
    """Lower-case names of the headers in which some JWT plug-in passes claims on. A backend that believes them for one
    API would believe them for every other, so clients' copies are removed everywhere."""
    token_headers: frozenset[str] = frozenset()
    """Lower-case names of the headers from which some JWT plug-in takes its token."""
    port_networks: dict[int, Network] = field(default_factory=dict)
    """Network by destination port, for listeners that state none."""
    trust_external_address: bool = False
    """Whether ``x-envoy-external-address`` is the client address. Sound only where Envoy's listener sets
    ``use_remote_address: true``; otherwise clients can forge it."""
    longest_window_ms: int = VENDORS_WINDOW_MS
    """Nonces are kept as if some API had a window of this length, in milliseconds."""
    max_form_bytes: int = FORM_MEBIBYTES << 20
    """Of a signed form, which is decoded before anyone has proved anything."""
    reads_envoy_claims: bool = False
    """Whether some API trusts the result of Envoy's jwt_authn filter; if none does, nobody pays for reading it."""

    marks_shadow: bool = False
    """Whether something is in shadow: then clients' copies of the mark are taken off."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "identity_facts", frozenset(fact for _, fact in self.identity_headers))
        object.__setattr__(self, "tells_scheme", IdentityFact.SCHEME in self.identity_facts)
