"""TLS to Envoy: who may ask, certificates that change while the service runs, and plain text only where it is safe."""

import datetime
import ipaddress
import json
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from demo.stack import envoy_binary
from extauthz.config import ConfigError, load
from extauthz.config.schema import ConfigFile
from extauthz.envoy.cluster import envoy_clusters
from tests.process.running import Caller, base_config, eventually, free_ports, status_of
from tests.transports import ALL

SPIFFE = "spiffe://cluster.local/ns/gateway/sa/envoy"


@pytest.fixture
def ca() -> trustme.CA:
    return trustme.CA()


def write_pair(ca: trustme.CA, folder: Path, *names: str) -> None:
    issued = ca.issue_cert(*(names or ("127.0.0.1",)))
    (folder / "tls.crt").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    (folder / "tls.key").write_bytes(issued.private_key_pem.bytes())


@pytest.fixture(params=ALL)
def transport(request) -> str:
    return request.param


@pytest.fixture
def config(ca: trustme.CA, tmp_path: Path, transport: str) -> dict[str, Any]:
    write_pair(ca, tmp_path)
    (tmp_path / "clients.pem").write_bytes(ca.cert_pem.bytes())
    port, operations = free_ports(2)
    tls = {"cert": str(tmp_path / "tls.crt"), "key": str(tmp_path / "tls.key")}
    return base_config([{"address": f"127.0.0.1:{port}", "tls": tls}], operations) | {"transport": transport}


def client_of(ca: trustme.CA, dns: str | None = None, trusts: trustme.CA | None = None) -> grpc.ChannelCredentials:
    root = (trusts or ca).cert_pem.bytes()
    if dns is None:
        return grpc.ssl_channel_credentials(root)
    issued = ca.issue_cert(dns)
    return grpc.ssl_channel_credentials(root, issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes())


def spiffe_client(ca: trustme.CA, name: str) -> grpc.ChannelCredentials:
    return named_client(ca, x509.UniformResourceIdentifier(name))


def named_client(ca: trustme.CA, *names: x509.GeneralName) -> grpc.ChannelCredentials:
    issuer = x509.load_pem_x509_certificate(ca.cert_pem.bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .sign(load_pem_private_key(ca.private_key_pem.bytes(), None), hashes.SHA256())  # type: ignore[arg-type]
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return grpc.ssl_channel_credentials(ca.cert_pem.bytes(), pem, certificate.public_bytes(serialization.Encoding.PEM))


def address(config: dict[str, Any]) -> str:
    return config["listen"][0]["address"]


def gets_an_answer(caller: Caller) -> bool:
    try:
        return status_of(caller.check("/open")) == 200
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return False


def test_a_tls_listener_answers_tls_and_nothing_else(config, transport, ca, serve, call):
    running = serve(config)
    assert status_of(call(address(config), client_of(ca)).check("/open")) == 200
    assert not gets_an_answer(call(address(config)))
    assert not gets_an_answer(call(address(config), client_of(trustme.CA())))
    assert f"{transport}, TLS" in running.log
    assert running.metric(f'extauthz_tls_certificate_end_timestamp_seconds{{listener="{address(config)}"}}') > 1e9


def test_the_end_of_a_renewed_certificate_shows_before_the_next_connection_is_made(config, ca, serve, tmp_path):
    running = serve(config)
    sample = f'extauthz_tls_certificate_end_timestamp_seconds{{listener="{address(config)}"}}'
    before = running.metric(sample)
    ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=2)
    issued = ca.issue_cert("127.0.0.1", not_after=ends)
    (tmp_path / "tls.crt").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    assert running.metric(sample) == before, "half of a renewal: the old one is in force"
    (tmp_path / "tls.key").write_bytes(issued.private_key_pem.bytes())
    assert running.metric(sample) == pytest.approx(ends.timestamp(), abs=1)


def test_with_a_client_ca_only_its_certificates_are_let_in(config, ca, serve, call, tmp_path):
    config["listen"][0]["tls"]["client_ca"] = str(tmp_path / "clients.pem")
    serve(config)
    assert gets_an_answer(call(address(config), client_of(ca, "envoy.internal")))
    assert not gets_an_answer(call(address(config), client_of(ca)))
    assert not gets_an_answer(call(address(config), client_of(trustme.CA(), "envoy.internal", trusts=ca)))


def test_only_named_clients_may_ask_by_dns_name_or_spiffe_id(config, ca, serve, call, tmp_path):
    tls = config["listen"][0]["tls"]
    tls |= {"client_ca": str(tmp_path / "clients.pem"), "allowed_clients": [SPIFFE, "envoy.internal"]}
    running = serve(config)
    assert gets_an_answer(call(address(config), client_of(ca, "envoy.internal")))
    assert gets_an_answer(call(address(config), spiffe_client(ca, SPIFFE)))

    for other in (client_of(ca, "other.internal"), spiffe_client(ca, SPIFFE + "x")):
        stranger = call(address(config), other)
        assert status_of(stranger.check("/open")) == 503, "an explicit denial: never an error that may fail open"
        with pytest.raises(grpc.RpcError) as health:
            stranger.channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=5)
        assert health.value.code() is grpc.StatusCode.PERMISSION_DENIED
    counted = [line for line in running.get("/metrics")[1].splitlines() if 'reason="peer_refused"' in line]
    assert float(counted[0].rpartition(" ")[2]) == 2


def test_a_name_of_another_kind_that_spells_an_allowed_one_lets_nobody_in(config, ca, serve, call, tmp_path):
    allowed = [SPIFFE, "envoy.internal", "192.0.2.7"]
    config["listen"][0]["tls"] |= {"client_ca": str(tmp_path / "clients.pem"), "allowed_clients": allowed}
    serve(config)
    uri, dns, mail = x509.UniformResourceIdentifier, x509.DNSName, x509.RFC822Name
    for names in (
        [mail._init_without_validation(SPIFFE)],
        [dns(SPIFFE)],
        [uri(SPIFFE + "\0/of/mallory")],
        [uri("envoy.internal")],
        [mail._init_without_validation("envoy.internal")],
        [dns("envoy.internal\0.mallory.example")],
        [dns("192.0.2.7")],
        [x509.OtherName(x509.ObjectIdentifier("1.2.3.4"), b"\x0c\x01a"), dns("other.internal")],
    ):
        assert status_of(call(address(config), named_client(ca, *names)).check("/open")) == 503, names
    good: tuple[list[x509.GeneralName], ...] = (
        [dns("other.internal"), dns("Envoy.Internal")],
        [x509.IPAddress(ipaddress.ip_address("192.0.2.7"))],
        [mail("ops@example.com"), uri(SPIFFE)],
    )
    for names in good:
        assert status_of(call(address(config), named_client(ca, *names)).check("/open")) == 200, names


def test_renewed_certificates_serve_without_a_restart_and_half_a_renewal_harms_nothing(
    config, ca, serve, call, tmp_path
):
    running = serve(config)
    staying = call(address(config), client_of(ca))
    assert gets_an_answer(staying)
    other = trustme.CA()
    renewed = other.issue_cert("127.0.0.1")
    (tmp_path / "tls.crt").write_bytes(renewed.cert_chain_pems[0].bytes())
    assert gets_an_answer(call(address(config), client_of(ca))), "the key is not there yet: the old pair stays"
    failures = f'extauthz_tls_renewal_failures_total{{listener="{address(config)}"}}'
    assert running.metric(failures) >= 1
    assert "does not belong to the first certificate" in running.log

    (tmp_path / "tls.key").write_bytes(renewed.private_key_pem.bytes())
    eventually(lambda: gets_an_answer(call(address(config), client_of(other))))
    assert not gets_an_answer(call(address(config), client_of(ca)))
    assert gets_an_answer(staying), "a connection that stands is left alone"
    assert "PRIVATE KEY" not in running.log


def test_a_renewed_client_ca_is_followed(config, ca, serve, call, tmp_path):
    config["listen"][0]["tls"]["client_ca"] = str(tmp_path / "clients.pem")
    serve(config)
    other = trustme.CA()
    assert not gets_an_answer(call(address(config), client_of(other, "envoy.internal", trusts=ca)))
    (tmp_path / "clients.pem").write_bytes(other.cert_pem.bytes())
    eventually(lambda: gets_an_answer(call(address(config), client_of(other, "envoy.internal", trusts=ca))))
    assert not gets_an_answer(call(address(config), client_of(ca, "envoy.internal")))


def problems(tmp_path: Path, config: dict[str, Any]) -> str:
    file = tmp_path / "checked.yaml"
    file.write_text(yaml.safe_dump(config))
    try:
        load(file)
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("where", ["0.0.0.0:7000", "10.0.0.5:7000", "[::]:7000", "authz.example:7000"])
def test_plain_text_outside_this_machine_is_refused_and_the_message_says_how_to_allow_it(where, tmp_path):
    config = base_config([{"address": where}], 9901)
    assert "say `insecure: true`" in problems(tmp_path, config)
    config["listen"][0]["insecure"] = True
    assert problems(tmp_path, config) == ""


@pytest.mark.parametrize("where", ["127.0.0.1:7000", "[::1]:7000", "localhost:7000", "unix:/run/x.sock"])
def test_plain_text_inside_this_machine_is_fine(where, tmp_path):
    assert problems(tmp_path, base_config([{"address": where}], 9901)) == ""


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"cert": "nowhere.crt"}, "file nowhere.crt cannot be read"),
        ({"cert": "text"}, "holds no certificate"),
        ({"key": "text"}, "holds no private key"),
        ({"key": "other.key"}, "does not belong"),
        ({"client_ca": "text"}, "holds no certificate"),
        ({"allowed_clients": ["a"]}, "needs `client_ca`"),
        (
            {"allowed_clients": ["envoy", "ops@example.com"]},
            "tls.allowed_clients[1]: `ops@example.com` is not a URI such",
        ),
        ({"allowed_clients": ["spiffe:/a"]}, "`spiffe:/a` is not a URI such as spiffe://"),
        ({"allowed_clients": ["spiffe://é"]}, "is not a URI such as spiffe://"),
    ],
)
def test_certificates_that_cannot_serve_are_found_when_the_file_is_checked(config, ca, tmp_path, change, complaint):
    (tmp_path / "text").write_text("only text")
    (tmp_path / "other.key").write_bytes(ca.issue_cert("127.0.0.1").private_key_pem.bytes())
    config["listen"][0]["tls"] |= change
    assert complaint in problems(tmp_path, config)


def test_tls_and_plain_text_exclude_each_other(config, tmp_path):
    config["listen"][0]["insecure"] = True
    assert "keep one of them" in problems(tmp_path, config)


def test_envoy_reaches_a_listener_over_mtls_with_the_printed_cluster(config, ca, serve, tmp_path):
    tls = config["listen"][0]["tls"]
    tls |= {"client_ca": str(tmp_path / "clients.pem"), "allowed_clients": ["envoy.internal"]}
    serve(config)
    printed = json.dumps(envoy_clusters(ConfigFile.model_validate(config), 1))
    own = ca.issue_cert("envoy.internal")
    (tmp_path / "cert.pem").write_bytes(own.cert_chain_pems[0].bytes())
    (tmp_path / "key.pem").write_bytes(own.private_key_pem.bytes())
    (tmp_path / "ca.pem").write_bytes(ca.cert_pem.bytes())
    (admin,) = free_ports(1)
    bootstrap = tmp_path / "envoy.json"
    clusters = json.loads(printed.replace("/etc/envoy/extauthz/", f"{tmp_path}/"))
    assert [cluster["name"] for cluster in clusters] == ["extauthz-tls"]
    bind = {"socket_address": {"address": "127.0.0.1", "port_value": admin}}
    bootstrap.write_text(json.dumps({"admin": {"address": bind}, "static_resources": {"clusters": clusters}}))
    with (tmp_path / "envoy.log").open("wb") as log:
        envoy = subprocess.Popen(
            [envoy_binary(), "-c", str(bootstrap), "--use-dynamic-base-id", "--concurrency", "1", "-l", "warning"],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:

        def healthy() -> bool:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{admin}/clusters", timeout=2) as answer:
                    return "::health_flags::healthy" in answer.read().decode()
            except OSError:
                return False

        eventually(healthy, 40)
    finally:
        envoy.terminate()
        envoy.wait(20)
