"""Where and how the service listens: no address twice, and no plain text where others can read or write it."""

from pathlib import Path
from typing import Final

from pydantic import Field

from extauthz.config.names import AddressText, Section
from extauthz.config.problems import KeyPath, Report
from extauthz.config.sections.listen.certificates import CertificateFault, CertificateFiles, Tls
from extauthz.config.sections.listen.client_names import client_name
from extauthz.domain.address import Address
from extauthz.domain.request import Network

PLAIN_TEXT: Final = (
    "plain text outside this machine: whoever is on the way can read credentials and write decisions. Add `tls:`, "
    "listen on loopback or unix:, or say `insecure: true` where a mesh or a network policy protects the way"
)
_CLIENT_NAMES: Final = "URI such as spiffe://cluster.local/ns/gateway/sa/envoy, a DNS name or an IP address"


class Listen(Section):
    """An address where Envoy asks us.

    ```yaml
    address: 0.0.0.0:9191
    network: internet
    tls: {cert: tls.crt, key: tls.key, client_ca: clients.pem}
    insecure: false
    ```

    ```yaml
    address: unix:/run/extauthz/vpc.sock
    network: vpc
    ```
    """

    address: AddressText = Field(description="host:port, or unix:/path")
    network: Network | None = Field(
        None, description="Binds this listener to a network. Without it Envoy's context says which one."
    )
    tls: Tls | None = Field(None, description="TLS to Envoy")
    insecure: bool = Field(False, description="plain text is meant, although the address can be reached from outside")


def check_listeners(
    listeners: list[Listen], operations: tuple[str, str], transport: str, base: Path, report: Report
) -> None:
    """Report what is wrong with the listeners.

    ``operations`` is the address of the operations port and who takes it, in words; ``base`` the folder of the
    configuration file.
    """
    taken = [operations]
    for index, listen in enumerate(listeners):
        place: KeyPath = ("listen", index)
        here = Address.parse(listen.address)
        for address, who in taken:
            if here.collides_with(Address.parse(address)):
                report((*place, "address"), f"{who} takes {address} already; write another address or port")
                break
        taken.append((listen.address, f"`listen[{index}]`"))
        if listen.tls is None:
            if not listen.insecure and not here.is_local:
                report((*place, "address"), PLAIN_TEXT)
            continue
        if listen.insecure:
            report((*place, "insecure"), "says plain text and `tls` says TLS; keep one of them")
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
