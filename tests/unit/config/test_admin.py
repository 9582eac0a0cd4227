"""The admin API's address: loopback, or TLS, or plain text that is meant; and its own."""

import pytest
import trustme

from extauthz.config import load
from tests.unit.config.writing import GOOD, mistakes

REGISTRY = "registry: {database: 'sqlite:///registry.db', unsealed: true}\n"


def test_the_admin_api_listens_on_loopback_by_default(write):
    admin = load(write(GOOD + REGISTRY)).file.admin
    assert (admin.address, admin.tls, admin.insecure) == ("127.0.0.1:9902", None, False)


@pytest.mark.parametrize(
    ("admin", "place", "told"),
    [
        ("{address: '0.0.0.0:9902'}", "admin.address", "can read AppSecrets and take admin tokens. Add `tls:`"),
        ("{address: '10.0.0.1:9902'}", "admin.address", "or say `insecure: true`"),
        ("{address: 'localhost:9901'}", "admin.address", "`operations` takes 127.0.0.1:9901 already"),
        ("{address: '127.0.0.1:9191'}", "admin.address", "a listener takes 127.0.0.1:9191 already"),
        ("{address: '127.0.0.1:0'}", "admin.address", "a port from 1 to 65535"),
        ("{tls: {cert: no.pem, key: no.pem}}", "admin.tls", "file no.pem cannot be read"),
        ("{adress: '127.0.0.1:9902'}", "admin.adress", "did you mean `address`?"),
    ],
)
def test_an_address_that_cannot_be_served_is_found_before_the_start(write, admin, place, told):
    places, text = mistakes(write(f"{GOOD}{REGISTRY}admin: {admin}\n"))
    assert places == [(12, place)]
    assert told in text


def test_outside_of_loopback_there_is_tls_or_plain_text_that_is_meant(write, tmp_path):
    certificate = trustme.CA().issue_cert("admin.example.com")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    tls = "tls: {cert: both.pem, key: both.pem}"
    for admin in (f"address: '0.0.0.0:9902', {tls}", "address: '0.0.0.0:9902', insecure: true"):
        load(write(f"{GOOD}{REGISTRY}admin: {{{admin}}}\n"))
    places, text = mistakes(write(f"{GOOD}{REGISTRY}admin: {{{tls}, insecure: true}}\n"))
    assert places == [(12, "admin.insecure")]
    assert "keep one of them" in text


def test_an_admin_section_without_a_registry_has_nothing_to_administer(write):
    places, text = mistakes(write(GOOD + "admin: {address: '127.0.0.1:9902'}\n"))
    assert places == [(11, "admin")]
    assert "add `registry:`" in text
