"""The section `admin`: where the admin API listens, and whose tokens it takes beside its own."""

from pathlib import Path
from typing import Final

from pydantic import Field

from extauthz.config.names import Node, Section

DEFAULT_ADDRESS: Final = "127.0.0.1:9902"


class AdminTls(Section):
    """Certificates of the admin API: PEM files, relative to this file, read anew when they change."""

    cert: Path = Field(description="our certificate, then the intermediate ones")
    key: Path = Field(description="its private key, without a password")
    client_ca: Path | None = Field(None, description="who signs callers' certificates; with it, a caller must have one")


class Admin(Section):
    """The admin API of the registry, which `extauthz admin` serves in a process of its own."""

    address: Node = Field(DEFAULT_ADDRESS, description="host:port")
    tls: AdminTls | None = Field(None, description="required where others can reach the address")
    insecure: bool = Field(False, description="plain text is meant, although the address can be reached from outside")
