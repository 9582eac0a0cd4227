"""Where a JWT plug-in's keys come from: fixed ones from the configuration, or a set that a fetcher replaces."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from extauthz.domain.tokens.jwk import KeySet

MAX_KEYS: Final = 64
MOST_KEYS: Final = 1000
"""The largest ``max_keys``, and the most keys that a configured set may hold."""
MAX_RESPONSE_BYTES: Final = 262_144


@dataclass(frozen=True, slots=True)
class RemoteKeys:
    """How a provider's key set is obtained. Every time is in seconds."""

    jwks_uri: str | None = None
    oidc_issuer: str | None = None
    """An OpenID Connect issuer; its discovery document names the key set. Exactly one of the two is given."""
    min_lifetime_s: float = 60
    max_lifetime_s: float = 3600
    """The bounds of what the provider's Cache-Control or Expires may ask for."""
    refresh_interval_s: float = 30
    """Unknown ``kid``s cause at most one fetch in this time, however many tokens bring them."""
    max_stale_s: float = 86_400
    """How long the last good set serves while the provider is down, counted from its fetch."""
    timeout_s: float = 5
    """For one whole fetch, from the DNS question to the last byte."""
    max_bytes: int = MAX_RESPONSE_BYTES
    max_keys: int = MAX_KEYS
    ca_file: Path | None = None
    """Authorities to trust instead of the public ones."""
    allow_http: bool = False
    allow_private_addresses: bool = False
    allow_redirects: bool = False


class KeySource:
    """The keys of one plug-in as a check sees them: one attribute, swapped in one assignment, read without a lock."""

    __slots__ = ("current", "refresh_wanted", "remote")

    def __init__(self, current: KeySet | None, remote: RemoteKeys | None = None) -> None:
        """A fixed set has no ``remote``; a remote one starts without keys."""
        self.current = current
        """None while no key was ever had, or the last good set is older than ``max_stale_s``."""
        self.remote = remote
        self.refresh_wanted = False

    @classmethod
    def fixed(cls, keys: KeySet) -> "KeySource":
        """Keys that never change."""
        return cls(keys)

    def ask_refresh(self) -> None:
        """Say that a token named a key that is not here. Sets a flag and nothing else: a check never waits."""
        self.refresh_wanted = True
