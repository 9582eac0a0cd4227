"""The JWT plug-in's settings (vendor docs 103228 and 177489, and what production adds)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from extauthz.domain.tokens.key_source import KeySource

SEVEN_DAYS_S: Final = 7 * 24 * 3600
CLOCK_SKEW_S: Final = 60
"""What an issuer's clock may differ from ours, unless the plug-in says otherwise."""
MAX_CLOCK_SKEW_S: Final = 600
"""The widest that ``clock_skew`` may be. Used jtis are kept for it, so that widening it revives none."""
MAX_TOKEN_BYTES: Final = 16_384
REMEMBERED_TOKENS: Final = 10_000
TOKEN_TYPES: Final = frozenset({"jwt", "at+jwt"})
"""Accepted ``typ``, as ``token_type`` writes it; a token without one counts as ``jwt`` (RFC 7519, RFC 9068)."""


def token_type(stated: str) -> str:
    """A ``typ`` as it is compared: in lower case, and without ``application/`` where that may be left out.

    It may where no other slash stands (RFC 7515, section 4.1.9).
    """
    lower = stated.lower()
    short = lower.removeprefix("application/")
    return lower if "/" in short else short


class TokenPlace(StrEnum):
    """Where a plug-in looks for its token."""

    HEADER = "header"
    QUERY = "query"
    COOKIE = "cookie"


ClaimPath = tuple[str, ...]
"""Where a claim stands: names of members, from the token's claims inwards. Most have one name."""


@dataclass(frozen=True, slots=True, eq=False)
class ClaimHeader:
    """A claim that goes upstream as a header."""

    claim: ClaimPath
    header: str


ClaimValue = str | int | bool


@dataclass(frozen=True, slots=True, eq=False)
class JwtPlugin:
    """The settings of one JWT plug-in, and its keys."""

    id: str
    key_source: KeySource
    algorithms: frozenset[str]
    """Never shared-secret (HS*) and public-key algorithms together."""
    place: TokenPlace = TokenPlace.HEADER
    parameter: str = "authorization"
    """Header (lower-case), query parameter or cookie that carries the token."""
    envoy_payload: str | None = None
    """Trust the claims that Envoy's own jwt_authn filter verified and stored under this key of its metadata
    (``payload_in_metadata``), and read no token at all."""
    issuers: frozenset[str] = frozenset()
    """One of them must be the token's ``iss``; empty: any issuer, or none."""
    audiences: frozenset[str] = frozenset()
    token_types: frozenset[str] = TOKEN_TYPES
    required_claims: Mapping[ClaimPath, tuple[ClaimValue, ...] | None] = field(default_factory=dict)
    """By claim, the values of which one must be there; None: any value will do, but there must be one."""
    scopes: frozenset[str] = frozenset()
    """All of them must be in the token's ``scope`` or ``scp``."""
    claim_headers: tuple[ClaimHeader, ...] = ()
    prevent_jti_replay: bool = False
    bypass_empty_token: bool = False
    ignore_expiration: bool = False
    clock_skew_s: int = CLOCK_SKEW_S
    max_lifetime_s: int = SEVEN_DAYS_S
    max_token_bytes: int = MAX_TOKEN_BYTES
    remembered: int = REMEMBERED_TOKENS
    """How many verified tokens are kept, see ``token_memory``; 0: every token is verified each time."""
