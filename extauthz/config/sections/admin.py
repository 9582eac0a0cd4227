"""The section `admin`: where the admin API listens, and whose tokens it takes beside its own."""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from extauthz.config.names import Node, Section
from extauthz.domain.key_source import RemoteKeys

Text = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^@\s]+$", max_length=2048)]
Claim = Text | Annotated[list[Text], Field(min_length=1, max_length=8)]
Role = Literal["admin", "provider", "consumer", "reader"]
DEFAULT_ADDRESS: Final = "127.0.0.1:9902"


class AdminTls(Section):
    """Certificates of the admin API: PEM files, relative to this file, read anew when they change."""

    cert: Path = Field(description="our certificate, then the intermediate ones")
    key: Path = Field(description="its private key, without a password")
    client_ca: Path | None = Field(None, description="who signs callers' certificates; with it, a caller must have one")


class Oidc(Section):
    """An identity provider whose access tokens the admin API takes, and what they say of roles and owners."""

    issuer: Url = Field(description="the OpenID Connect issuer, whose discovery document names its keys")
    audience: Text = Field(description="the name of this API at the provider; a token must be for it")
    role_claim: Claim = Field(
        "roles", description="the claim of the roles, or a list of names from the outside inwards"
    )
    roles: Annotated[dict[str, Role], Field(min_length=1)] = Field(
        default={role: role for role in ("admin", "provider", "consumer", "reader")},
        description="value of the claim: role. Of several that a token has, the first one here counts",
    )
    owner_claim: Claim = Field(
        "owner", description="the claim of the owner whom everybody but admins acts for; `*`: a reader of everything"
    )
    max_lifetime: Annotated[int, Field(ge=60, le=604_800)] = Field(
        86_400, description="seconds from `iat` to `exp` that a token may have at most"
    )
    ca_file: Path | None = Field(None, description="PEM file of the authorities to trust instead of the public ones")
    allow_http: bool = Field(False, description="take keys without TLS: only for tests and trusted links")
    allow_private_addresses: bool = Field(False, description="the provider may be on this machine or network")

    def remote_keys(self, base: Path) -> RemoteKeys:
        """How the provider's keys are obtained. ``base`` is the folder of the configuration file."""
        return RemoteKeys(
            oidc_issuer=self.issuer,
            ca_file=None if self.ca_file is None else (base / self.ca_file).resolve(),
            allow_http=self.allow_http,
            allow_private_addresses=self.allow_private_addresses,
        )


class Admin(Section):
    """The admin API of the registry, which `extauthz admin` serves in a process of its own."""

    address: Node = Field(DEFAULT_ADDRESS, description="host:port")
    tls: AdminTls | None = Field(None, description="required where others can reach the address")
    insecure: bool = Field(False, description="plain text is meant, although the address can be reached from outside")
    oidc: Oidc | None = Field(None, description="people of an identity provider may use the API with its tokens")
