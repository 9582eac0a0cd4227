"""Certificates of a listener: PEM files, found to fit together before anyone serves with them."""

from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate, load_pem_x509_certificates
from pydantic import Field

from extauthz.config.names import Section, Text
from extauthz.config.secrets import SecretUnresolved, read_file


class CertificatePaths(Section):
    """Certificates of whoever listens: PEM files, relative to this file, read anew when they change.

    ```yaml
    cert: tls.crt
    key: tls.key
    client_ca: clients.pem
    ```
    """

    cert: Path = Field(description="our certificate, then the intermediate ones")
    key: Path = Field(description="its private key, without a password")
    client_ca: Path | None = Field(None, description="who signs clients' certificates; with it, a client must have one")


class Tls(CertificatePaths):
    """Certificates of a listener where Envoy asks.

    ```yaml
    cert: tls.crt
    key: tls.key
    client_ca: clients.pem
    allowed_clients: [spiffe://cluster.local/ns/gateway/sa/envoy]
    ```
    """

    allowed_clients: list[Text] = Field(
        default_factory=list,
        description="who may ask, by URI (spiffe://...), DNS name or IP address; empty: all that client_ca signed",
    )


class CertificateFault(Exception):
    """Certificate files that cannot be used; the message says why and never quotes their content."""


class CertificateFiles:
    """The content of one listener's certificate files, found to fit together."""

    def __init__(self, tls: CertificatePaths, base: Path) -> None:
        """Read and compare them. ``base`` is the folder of the configuration file. Raises CertificateFault."""
        try:
            self.cert = read_file(tls.cert, base).encode()
            self.key = read_file(tls.key, base).encode()
            self.client_ca = None if tls.client_ca is None else read_file(tls.client_ca, base).encode()
        except SecretUnresolved as error:
            raise CertificateFault(str(error)) from None
        try:
            certificate = load_pem_x509_certificate(self.cert)
        except ValueError:
            raise CertificateFault(f"file {tls.cert} holds no certificate in PEM form") from None
        try:
            key = load_pem_private_key(self.key, password=None)
        except (ValueError, TypeError):
            raise CertificateFault(f"file {tls.key} holds no private key in PEM form without a password") from None
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
            raise CertificateFault(f"the key in {tls.key} does not belong to the first certificate in {tls.cert}")
        self.not_after_s = certificate.not_valid_after_utc.timestamp()
        """When the certificate ends, in seconds since 1970."""
        if self.client_ca is not None:
            try:
                load_pem_x509_certificates(self.client_ca)
            except ValueError:
                raise CertificateFault(f"file {tls.client_ca} holds no certificate in PEM form") from None
