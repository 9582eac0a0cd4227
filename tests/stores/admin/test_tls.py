"""The admin API's certificates follow their files, and callers may have to have one too."""

import ssl

import pytest
import trustme

from extauthz.admin.tls import AdminCertificates
from extauthz.config.sections.listen.certificates import CertificatePaths


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> bytes:
    """The certificate that the server shows, in DER. Raises SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    for one in (theirs, ours, theirs, ours, theirs, ours):
        try:
            one.do_handshake()
        except ssl.SSLWantReadError:
            continue
    shown = theirs.getpeercert(binary_form=True)
    assert shown is not None
    return shown


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def client(authority) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def write(authority, folder):
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(folder / "both.pem")


def test_a_new_certificate_is_shown_without_a_restart_and_a_broken_one_leaves_the_old(authority, client, tmp_path):
    write(authority, tmp_path)
    certificates = AdminCertificates(CertificatePaths(cert="both.pem", key="both.pem"), tmp_path)
    first = handshake(certificates.context, client)
    certificates.renew()
    assert handshake(certificates.context, client) == first
    (tmp_path / "both.pem").write_text("half a file")
    certificates.renew()
    assert handshake(certificates.context, client) == first
    write(authority, tmp_path)
    certificates.renew()
    assert handshake(certificates.context, client) != first


def test_with_an_authority_for_callers_a_caller_without_a_certificate_is_not_let_in(authority, client, tmp_path):
    write(authority, tmp_path)
    callers = trustme.CA()
    callers.cert_pem.write_to_path(tmp_path / "callers.pem")
    tls = CertificatePaths(cert="both.pem", key="both.pem", client_ca="callers.pem")
    server = AdminCertificates(tls, tmp_path).context
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        handshake(server, client)
    callers.issue_cert("ops@example.com").configure_cert(client)
    assert handshake(server, client)
