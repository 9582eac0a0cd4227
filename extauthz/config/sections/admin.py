"""The section `admin`: where the admin API listens, and whose tokens it takes beside its own."""

import ssl
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from extauthz.config.names import Node, Section, Url
from extauthz.config.problems import Report
from extauthz.config.sections.listen.certificates import CertificateFault, CertificateFiles, CertificatePaths
from extauthz.domain.address import Address
from extauthz.domain.tokens.key_source import RemoteKeys

Text = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Claim = Text | Annotated[list[Text], Field(min_length=1, max_length=8)]
Role = Literal["admin", "provider", "consumer", "reader"]
DEFAULT_ADDRESS: Final = "127.0.0.1:9902"


_PLAIN_TEXT: Final = (
    "plain text outside this machine: whoever is on the way can read AppSecrets and take admin tokens. Add `tls:`, "
    "listen on loopback, or say `insecure: true` where a mesh or a proxy protects the way"
)


class Oidc(Section):
    """An identity provider whose access tokens the admin API takes, and what they say of roles and owners.

    ```yaml
    issuer: https://login.example.com
    audience: urn:extauthz:admin
    role_claim: [realm_access, roles]
    roles: {gateway-admins: admin, api-teams: provider}
    owner_claim: team
    max_lifetime: 3600
    ca_file: provider-ca.pem
    allow_http: false
    allow_private_addresses: true
    ```
    """

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
    """The admin API of the registry, which `extauthz admin` serves in a process of its own.

    ```yaml
    address: 0.0.0.0:9902
    tls: {cert: admin.crt, key: admin.key}
    insecure: false
    oidc: {issuer: "https://login.example.com", audience: "urn:extauthz:admin"}
    ```
    """

    address: Node = Field(DEFAULT_ADDRESS, description="host:port")
    tls: CertificatePaths | None = Field(None, description="required where others can reach the address")
    insecure: bool = Field(False, description="plain text is meant, although the address can be reached from outside")
    oidc: Oidc | None = Field(None, description="people of an identity provider may use the API with its tokens")


def check_admin(
    admin: Admin, stated: bool, has_registry: bool, others: list[tuple[str, str]], base: Path, report: Report
) -> None:
    """Report what is wrong with the section, where the file has it.

    ``others`` are the addresses that are taken, and by whom; ``base`` is the folder of the configuration file.
    """
    if not stated:
        return
    if not has_registry:
        report(("admin",), "administers a registry, and the file has none; add `registry:`")
    here = Address.parse(admin.address)
    for address, who in others:
        if here.collides_with(Address.parse(address)):
            report(("admin", "address"), f"{who} takes {address} already; write another address or port")
            break
    if admin.oidc is not None:
        _check_oidc(admin.oidc, base, report)
    if admin.tls is None:
        if not admin.insecure and not here.is_local:
            report(("admin", "address"), _PLAIN_TEXT)
        return
    if admin.insecure:
        report(("admin", "insecure"), "says plain text and `tls` says TLS; keep one of them")
    try:
        CertificateFiles(admin.tls, base)
    except CertificateFault as fault:
        report(("admin", "tls"), str(fault))


def _check_oidc(oidc: Oidc, base: Path, report: Report) -> None:
    if oidc.issuer.startswith("http:") and not oidc.allow_http:
        report(("admin", "oidc", "issuer"), "is not https; use https, or state `allow_http: true`")
    if oidc.ca_file is None:
        return
    try:
        ssl.create_default_context(cafile=base / oidc.ca_file)
    except (OSError, ValueError):  # an ssl.SSLError is an OSError
        report(("admin", "oidc", "ca_file"), f"file {oidc.ca_file} cannot be read as PEM certificates")
