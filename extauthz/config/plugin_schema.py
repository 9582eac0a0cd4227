"""The plug-in sections of the configuration file: JWT and IP control."""

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Discriminator, Field, StrictBool, StrictInt, StrictStr, StringConstraints, Tag

from extauthz.config.names import HeaderName, Id, IpNetwork, Section, written
from extauthz.config.problems import KeyPath
from extauthz.config.secrets import FromFile
from extauthz.domain.jwt import (
    MAX_CLOCK_SKEW_S,
    MAX_TOKEN_BYTES,
    REMEMBERED_TOKENS,
    SEVEN_DAYS_S,
    TOKEN_TYPES,
    ClaimPath,
    ClaimValue,
    TokenPlace,
)
from extauthz.domain.key_source import MAX_KEYS, MAX_RESPONSE_BYTES, MOST_KEYS

Seconds = Annotated[float, Field(gt=0, le=30 * 24 * 3600)]
Url = Annotated[
    str,
    StringConstraints(max_length=2048),
    *written(r"https?://[^\s/?#@]+(/[^\s#@]*)?", "an https:// or http:// URL without user and fragment"),
]


class RemoteKeysEntry(Section):
    """Keys that a provider publishes, fetched in the background. Times are in seconds."""

    jwks_uri: Url | None = Field(None, description="where the key set is; or:")
    oidc_issuer: Url | None = Field(None, description="an OpenID Connect issuer, whose discovery document names it")
    min_lifetime: Seconds = Field(60, description="bounds of what Cache-Control and Expires may ask for")
    max_lifetime: Seconds = 3600
    refresh_interval: Seconds = Field(30, description="unknown key ids cause at most one fetch in this time")
    max_stale: Seconds = Field(86_400, description="how long the last good set serves while the provider is down")
    timeout: Annotated[float, Field(gt=0, le=60)] = Field(5, description="of one whole fetch")
    max_bytes: Annotated[int, Field(ge=256, le=4_194_304)] = MAX_RESPONSE_BYTES
    max_keys: Annotated[int, Field(ge=1, le=MOST_KEYS)] = MAX_KEYS
    ca_file: Path | None = Field(None, description="PEM file of the authorities to trust instead of the public ones")
    allow_http: bool = Field(False, description="take keys without TLS: only for tests and trusted links")
    allow_private_addresses: bool = Field(False, description="the provider may be on this machine or network")
    allow_redirects: bool = False


ClaimName = Annotated[str, StringConstraints(min_length=1, max_length=256)]
ClaimPlace = ClaimName | Annotated[list[ClaimName], Field(min_length=1, max_length=16)]
AcceptedValues = Literal["present"] | Annotated[list[StrictBool | StrictInt | StrictStr], Field(min_length=1)]


class ClaimHeaderEntry(Section):
    """A claim that goes upstream in a header."""

    claim: ClaimPlace = Field(description="its name, or for a member of an object the names that lead to it")
    header: HeaderName


class RequiredClaimEntry(Section):
    """A claim that tokens must have."""

    claim: ClaimPlace = Field(description="its name, or for a member of an object the names that lead to it")
    values: AcceptedValues = Field(description="accepted values, or the word present")


def _form(value: Any) -> str:
    return "listed" if isinstance(value, list) else "by name"


ClaimHeaders = Annotated[
    Annotated[dict[ClaimName, HeaderName], Tag("by name")] | Annotated[list[ClaimHeaderEntry], Tag("listed")],
    Discriminator(_form),
]
RequiredClaims = Annotated[
    Annotated[dict[ClaimName, AcceptedValues], Tag("by name")] | Annotated[list[RequiredClaimEntry], Tag("listed")],
    Discriminator(_form),
]


class ToldClaim(NamedTuple):
    """A claim of ``claim_headers``, in whichever form it was written."""

    place: KeyPath
    claim: ClaimPath
    header: str


class JwtEntry(Section):
    """A JWT plug-in. Its keys come from exactly one of jwk, jwks, remote_keys and trust_envoy_jwt_authn."""

    id: Id
    type: Literal["jwt"]
    parameter: Annotated[
        str, *written(r"[A-Za-z0-9_.-]{1,128}", "a header, query parameter or cookie: letters, digits, `_`, `.`, `-`")
    ] = "Authorization"
    parameter_location: TokenPlace = TokenPlace.HEADER
    jwk: dict[str, Any] | None = Field(None, repr=False, description="one public key, or a shared secret (kty oct)")
    jwks: FromFile | dict[str, Any] | list[dict[str, Any]] | None = Field(
        None, union_mode="left_to_right", repr=False, description="a key set: inline, or {file: PATH}"
    )
    remote_keys: RemoteKeysEntry | None = None
    trust_envoy_jwt_authn: Annotated[str, StringConstraints(min_length=1)] | None = Field(
        None, description="read no token: trust the claims that Envoy's jwt_authn verified, by its payload_in_metadata"
    )
    algorithms: list[str] | None = Field(None, description="those that are accepted; default: what the keys can do")
    issuer: str | None = None
    issuers: Annotated[list[str], Field(min_length=1)] | None = Field(None, description="in place of issuer: several")
    audiences: list[str] = Field(default_factory=list)
    token_types: Annotated[list[str], Field(min_length=1)] = Field(
        default=sorted(TOKEN_TYPES),
        description="accepted `typ`, in any letter case, `application/` or not; a token without one counts as jwt",
    )
    required_claims: RequiredClaims = Field(
        default_factory=dict, description="claim: accepted values, or the word present; or a list of {claim, values}"
    )
    scopes: list[Annotated[str, *written(r"[!#-\[\]-~]+", "one scope, without spaces and quotes")]] = Field(
        default_factory=list, description="all of them must be in the claim scope or scp"
    )
    claim_headers: ClaimHeaders = Field(
        default_factory=dict, description="claim: header sent upstream; or a list of {claim, header}"
    )
    prevent_jti_replay: bool = False
    bypass_empty_token: bool = False
    ignore_expiration_check: bool = False
    clock_skew: Annotated[int, Field(ge=0, le=MAX_CLOCK_SKEW_S)] = Field(60, description="seconds")
    max_lifetime: Annotated[int, Field(gt=0)] = Field(SEVEN_DAYS_S, description="seconds; vendor: 7 days")
    max_token_bytes: Annotated[int, Field(ge=64, le=65_536)] = MAX_TOKEN_BYTES
    remember: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        REMEMBERED_TOKENS, description="verified tokens kept, about 2 KB each; 0: verify each time"
    )

    def told_claims(self) -> list[ToldClaim]:
        """``claim_headers`` with every claim as a path."""
        if isinstance(self.claim_headers, dict):
            return [
                ToldClaim(("claim_headers", claim), (claim,), header) for claim, header in self.claim_headers.items()
            ]
        return [
            ToldClaim(("claim_headers", index, "header"), _path(entry.claim), entry.header)
            for index, entry in enumerate(self.claim_headers)
        ]

    def demanded_claims(self) -> list[tuple[ClaimPath, tuple[ClaimValue, ...] | None]]:
        """``required_claims`` with every claim as a path; None where any value will do."""
        if isinstance(self.required_claims, dict):
            return [((claim,), _accepted(values)) for claim, values in self.required_claims.items()]
        return [(_path(entry.claim), _accepted(entry.values)) for entry in self.required_claims]


def _accepted(values: Literal["present"] | list[ClaimValue]) -> tuple[ClaimValue, ...] | None:
    return None if values == "present" else tuple(values)


def _path(claim: str | list[str]) -> ClaimPath:
    return (claim,) if isinstance(claim, str) else tuple(claim)


Networks = Annotated[list[IpNetwork], Field(min_length=1)]


class AppNetworks(Section):
    """Networks that bind one app alone."""

    app: Id
    networks: Networks


class IpControlEntry(Section):
    """An IP control plug-in: an allow list (allow, apps, or both), or a refuse list."""

    id: Id
    type: Literal["ip_control"]
    allow: Networks | None = Field(None, description="addresses or networks from which everybody may call")
    apps: Annotated[list[AppNetworks], Field(min_length=1)] | None = Field(
        None, description="networks from which one app may call; other apps are not bound by them"
    )
    refuse: Networks | None = Field(None, description="addresses or networks from which nobody may call")


Plugin = Annotated[JwtEntry | IpControlEntry, Field(discriminator="type")]
