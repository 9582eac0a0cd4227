"""Where and how the service listens: certificates that fit, and no plain text where others can read or write it."""

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate, load_pem_x509_certificates

from extauthz.config.client_names import client_name
from extauthz.config.problems import KeyPath
from extauthz.config.schema import ConfigFile, Tls
from extauthz.config.secrets import SecretUnresolved, read_file

PLAIN_TEXT: Final = (
    "plain text outside this machine: whoever is on the way can read credentials and write decisions. Add `tls:`, "
    "listen on loopback or unix:, or say `insecure: true` where a mesh or a network policy protects the way"
)

_CLIENT_NAMES: Final = "URI such as spiffe://cluster.local/ns/gateway/sa/envoy, a DNS name or an IP address"
WILDCARDS: Final = frozenset({"0.0.0.0", "[::]"})  # noqa: S104  named, not bound


class CertificateFault(Exception):
    """Certificate files that cannot be used; the message says why and never quotes their content."""


class CertificateFiles:
    """The content of one listener's certificate files, found to fit together."""

    def __init__(self, tls: Tls, base: Path) -> None:
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


def check_listeners(file: ConfigFile, base: Path, report: Callable[[KeyPath, str], None]) -> None:
    """Report what is wrong with the listeners."""
    taken = [(file.operations, "`operations`" if "operations" in file.model_fields_set else "`operations` by default")]
    for index, listen in enumerate(file.listen):
        place: KeyPath = ("listen", index)
        for address, who in taken:
            if collide(listen.address, address):
                report((*place, "address"), f"{who} takes {address} already; write another address or port")
                break
        taken.append((listen.address, f"`listen[{index}]`"))
        if listen.tls is None:
            if not listen.insecure and not is_local(listen.address):
                report((*place, "address"), PLAIN_TEXT)
            continue
        if listen.insecure:
            report((*place, "insecure"), "says plain text and `tls` says TLS; keep one of them")
        if file.transport == "native":
            report((*place, "tls"), "`native` speaks no TLS; write `transport: auto`")
        if listen.tls.allowed_clients and listen.tls.client_ca is None:
            report((*place, "tls", "allowed_clients"), "needs `client_ca`, or no client has a name that can be trusted")
        for number, name in enumerate(listen.tls.allowed_clients):
            try:
                client_name(name)
            except ValueError:
                report((*place, "tls", "allowed_clients", number), f"`{name}` is not a {_CLIENT_NAMES}")
        try:
            CertificateFiles(listen.tls, base)
        except CertificateFault as fault:
            report((*place, "tls"), str(fault))


def is_local(address: str) -> bool:
    """Whether only processes of this machine reach an address."""
    host = address.rpartition(":")[0].strip("[]")
    if address.startswith("unix:") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def collide(one: str, other: str) -> bool:
    """Whether two addresses cannot be listened on side by side."""
    if one.startswith("unix:") or other.startswith("unix:"):
        return one == other
    (host, _, port), (other_host, _, other_port) = one.rpartition(":"), other.rpartition(":")
    if port != other_port:
        return False
    hosts = {"127.0.0.1" if name == "localhost" else name for name in (host, other_host)}
    if len(hosts) == 1 or "[::]" in hosts:
        return True
    return "0.0.0.0" in hosts and not any(name.startswith("[") for name in hosts)  # noqa: S104  compared, not bound
