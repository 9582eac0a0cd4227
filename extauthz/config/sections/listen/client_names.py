"""The names of clients that may ask over mTLS: each is compared with names of its own kind in a certificate.

A certificate may hold an e-mail address, or a DNS name, that spells a SPIFFE id: as text they would be alike.
"""

import ipaddress

from cryptography import x509


def client_name(text: str) -> x509.GeneralName:
    """An entry of ``allowed_clients`` as the subject alternative name that it means. Raises ValueError: it is none."""
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    if "://" in text or text.startswith("urn:"):
        return x509.UniformResourceIdentifier(text)
    if "@" in text or ":" in text or "/" in text or text.strip() != text:
        raise ValueError
    return x509.DNSName(text.lower())


def names_in(pem: bytes) -> frozenset[x509.GeneralName]:
    """The subject alternative names of a certificate in PEM form; none where they cannot be read.

    DNS names are in lower case (RFC 4343); everything else is as it stands, with whatever stands behind a NUL.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return frozenset()
    return frozenset(x509.DNSName(name.value.lower()) if isinstance(name, x509.DNSName) else name for name in names)
