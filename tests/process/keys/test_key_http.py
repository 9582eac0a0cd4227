"""What a provider of keys may make us do: go to public addresses, by TLS, within limits, and nothing else."""

import asyncio
import datetime
import gzip
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from extauthz.domain.tokens.key_source import RemoteKeys
from extauthz.keys.http import Fetched, FetchFailed, FetchResult, KeyClient
from extauthz.keys.network import may_connect
from tests.process.keys.key_server import KeyServer

LOOPBACK = RemoteKeys(jwks_uri="x", allow_http=True, allow_private_addresses=True, timeout_s=2)


def get(url: str, remote: RemoteKeys = LOOPBACK) -> Fetched:
    return asyncio.run(KeyClient(remote).get(url))


def failure(url: str, remote: RemoteKeys = LOOPBACK) -> FetchResult:
    with pytest.raises(FetchFailed) as raised:
        get(url, remote)
    return raised.value.result


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with KeyServer().running() as started:
        started.replies["/keys"] = (200, {"Cache-Control": "max-age=60"}, b"{}")
        yield started


@pytest.mark.parametrize(
    ("address", "public", "private"),
    [
        ("93.184.216.34", True, True),
        ("2606:2800:220:1:248:1893:25c8:1946", True, True),
        ("127.0.0.1", False, True),
        ("::1", False, True),
        ("10.1.2.3", False, True),
        ("172.16.0.1", False, True),
        ("192.168.1.1", False, True),
        ("fd00::1", False, True),
        ("::ffff:127.0.0.1", False, True),
        ("::ffff:10.0.0.1", False, True),
        ("64:ff9b::a00:1", False, True),
        ("2002:a00:1::1", False, True),
        ("169.254.169.254", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("64:ff9b::a9fe:a9fe", False, False),
        ("fe80::1", False, False),
        ("fe80::1%eth0", False, False),
        ("0.0.0.0", False, False),
        ("::", False, False),
        ("224.0.0.1", False, False),
        ("ff02::1", False, False),
        ("100.64.0.1", False, True),
        ("240.0.0.1", False, False),
        ("100.100.100.200", False, False),
        ("::ffff:100.100.100.200", False, False),
        ("64:ff9b::6464:64c8", False, False),
        ("100.100.100.201", False, True),
        ("168.63.129.16", False, False),
        ("::ffff:a83f:8110", False, False),
        ("64:ff9b::a83f:8110", False, False),
        ("2002:a83f:8110::1", False, False),
        ("2001:0:5db8:d822:0:0:57c0:7eef", False, False),
        ("168.63.129.17", True, True),
        ("192.0.0.192", False, False),
        ("192.0.0.9", False, False),
        ("fd00:ec2::254", False, False),
        ("fd00:ec2::23", False, False),
        ("fd20:ce::254", False, False),
        ("fd00:ec3::1", False, True),
        ("64:ff9b:1::a9fe:a9fe", False, False),
        ("64:ff9b:1:a9fe:a9:fe00::", False, False),
        ("64:ff9b:1:fffe::5db8:d822", False, False),
        ("64:ff9b:2::1", False, False),
        ("64:ff9b::5db8:d822", True, True),
        ("::169.254.169.254", False, False),
        ("::93.184.216.34", False, False),
        ("::ffff:0:169.254.169.254", False, False),
        ("localhost", False, False),
        ("", False, False),
    ],
)
def test_where_keys_may_be_fetched_from(address: str, public: bool, private: bool):
    assert (may_connect(address, False), may_connect(address, True)) == (public, private)


def test_a_document_and_the_host_that_was_asked_for(server: KeyServer):
    url = f"http://localhost:{server.port}/keys"
    assert get(url).headers["cache-control"] == "max-age=60"
    assert server.hosts == [f"localhost:{server.port}"], "the connection goes to an address, the question to the name"


def test_a_name_that_points_to_this_machine_is_refused_unless_allowed(server: KeyServer):
    closed = replace(LOOPBACK, allow_private_addresses=False)
    for host in ("localhost", "127.0.0.1", "127.1", "2130706433", "[::ffff:127.0.0.1]"):
        assert failure(f"http://{host}:{server.port}/keys", closed) is FetchResult.ADDRESS_REFUSED
    assert not server.asked


class Names:
    """A name server whose answers to one name change from question to question."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def __call__(self, host: str, port: int) -> list[str]:
        return self.answers.pop(0)


def test_a_name_that_changes_after_it_was_judged_leads_nowhere_else(server: KeyServer):
    url = f"http://rebinding.invalid:{server.port}/keys"
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    assert asyncio.run(KeyClient(LOOPBACK, names).get(url)).body == b"{}"
    assert len(names.answers) == 1, "asked once: no real name server knows this name either"
    assert server.hosts == [f"rebinding.invalid:{server.port}"]


def test_of_several_addresses_only_those_that_may_be_asked_are(server: KeyServer):
    url = f"http://several.invalid:{server.port}/keys"
    names = Names(["169.254.169.254", "127.0.0.1"])
    assert asyncio.run(KeyClient(LOOPBACK, names).get(url)).body == b"{}"


@contextmanager
def hanging(port: int, *addresses: str) -> Iterator[None]:
    """Addresses of this machine whose connections never come about: a full backlog drops them, as a black hole does."""
    with ExitStack() as opened:
        for address in addresses:
            listening = opened.enter_context(socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listening.bind((address, port))
            except OSError as error:
                pytest.skip(f"this machine cannot listen on {address}: {error.strerror}")
            listening.listen(0)
            for _ in range(4):
                waiting = opened.enter_context(socket.socket(listening.family))
                waiting.setblocking(False)
                waiting.connect_ex((address, port))
        yield


REFUSING = [f"127.0.0.{number}" for number in range(2, 8)]


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize(
    ("dead", "hangs"),
    [(REFUSING, ()), (["::1"], ("::1",)), (["127.0.0.2", "127.0.0.3", "127.0.0.4", "::1"], ("127.0.0.2", "127.0.0.4")),
     ([*REFUSING, "::1"], ("::1", *REFUSING)), (["2001:db8::1"] * 40, ())],
    ids=["six refuse", "IPv6 hangs", "some hang, some refuse", "seven hang", "no way to IPv6 at all"],
)  # fmt: skip
def test_a_provider_is_reached_however_many_of_its_first_addresses_are_dead(
    dead: list[str], hangs: tuple[str, ...], loop: Callable[[], asyncio.AbstractEventLoop], server: KeyServer
):
    url = f"http://several.invalid:{server.port}/keys"
    with hanging(server.port, *hangs), asyncio.Runner(loop_factory=loop) as runner:
        fetched = runner.run(KeyClient(replace(LOOPBACK, timeout_s=5), Names([*dead, "127.0.0.1"])).get(url))
    assert (fetched.body, fetched.address) == (b"{}", "127.0.0.1")


def test_the_addresses_that_were_tried_are_named_when_none_answers(server: KeyServer):
    url = f"http://several.invalid:{server.port}/keys"
    short = replace(LOOPBACK, timeout_s=0.4)
    with pytest.raises(FetchFailed, match=r"^unreachable: cannot connect to 127\.0\.0\.2, 127\.0\.0\.3$"):
        asyncio.run(KeyClient(LOOPBACK, Names(["127.0.0.2", "127.0.0.3"])).get(url))
    with (
        hanging(server.port, "::1"),
        pytest.raises(FetchFailed, match=r"^timeout: no connection to ::1, 127\.0\.0\.2 within 0\.4 s$"),
    ):
        asyncio.run(KeyClient(short, Names(["::1", "127.0.0.2"])).get(url))
    with pytest.raises(FetchFailed, match=r"^address_refused: .*: 169\.254\.169\.254$"):
        asyncio.run(KeyClient(LOOPBACK, Names(["169.254.169.254"])).get(url))
    server.replies["/keys"] = lambda: (time.sleep(0.6), (200, {}, b"{}"))[1]
    with pytest.raises(FetchFailed, match=r"^timeout: no whole answer from 127\.0\.0\.1 within 0\.4 s$"):
        asyncio.run(KeyClient(short, Names(["127.0.0.1"])).get(url))


@contextmanager
def answering(address: str, port: int, answer: bytes | None) -> Iterator[None]:
    """A machine that takes one connection and answers with these bytes, or not at all."""
    with socket.socket() as listening:
        listening.bind((address, port))
        listening.listen()

        def answer_one() -> None:
            accepted, _ = listening.accept()
            with accepted:
                if answer is None:
                    time.sleep(2)
                else:
                    accepted.sendall(answer)

        thread = threading.Thread(target=answer_one)
        thread.start()
        yield
        thread.join()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n\r\n", None], ids=["hangs up", "plain text", "is silent"])
def test_an_address_that_speaks_no_tls_is_not_the_last_word(answer: bytes | None, tmp_path: Path):
    ours = Authority("ours", tmp_path)
    trusting = replace(LOOPBACK, ca_file=ours.file, allow_http=False, timeout_s=3)
    names = Names(["127.0.0.2", "127.0.0.1"])
    with KeyServer(ours.server_context("localhost")).running() as server, answering("127.0.0.2", server.port, answer):
        server.replies["/keys"] = (200, {}, b"{}")
        fetched = asyncio.run(KeyClient(trusting, names).get(f"https://localhost:{server.port}/keys"))
    assert fetched.address == "127.0.0.1"


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"])
def test_an_address_that_breaks_off_is_not_the_last_word_unless_it_is_the_last(answer: bytes, server: KeyServer):
    url = f"http://several.invalid:{server.port}/keys"
    with answering("127.0.0.2", server.port, answer):
        fetched = asyncio.run(KeyClient(LOOPBACK, Names(["127.0.0.2", "127.0.0.1"])).get(url))
    assert fetched.address == "127.0.0.1"
    with (
        answering("127.0.0.2", server.port, answer),
        pytest.raises(FetchFailed, match=r"^unreachable: 127\.0\.0\.2 breaks off, or does not speak HTTP"),
    ):
        asyncio.run(KeyClient(LOOPBACK, Names(["127.0.0.2"])).get(url))


def test_a_key_set_is_asked_for_by_its_own_media_type(server: KeyServer):
    get(f"http://localhost:{server.port}/keys")
    assert server.accepts == ["application/jwk-set+json, application/json"]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://localhost/keys", "/keys", "http://", "http://a:b@localhost/",
                                 "gopher://localhost", "http://[::1"])  # fmt: skip
def test_only_plain_web_addresses_are_asked(url: str):
    assert failure(url) in (FetchResult.ADDRESS_REFUSED, FetchResult.MALFORMED)


def test_without_tls_nothing_is_fetched_unless_allowed(server: KeyServer):
    url = f"http://127.0.0.1:{server.port}/keys"
    assert failure(url, replace(LOOPBACK, allow_http=False)) is FetchResult.ADDRESS_REFUSED
    assert not server.asked


def test_redirects_are_refused_unless_allowed_and_each_step_is_judged_anew(server: KeyServer):
    base = f"http://127.0.0.1:{server.port}"
    open_minded = replace(LOOPBACK, allow_redirects=True)
    server.replies |= {
        "/moved": (302, {"Location": "/keys"}, b""),
        "/metadata": (302, {"Location": "http://169.254.169.254/latest"}, b""),
        "/circle": (302, {"Location": "/circle"}, b""),
        "/file": (302, {"Location": "file:///etc/passwd"}, b""),
    }
    assert failure(f"{base}/moved") is FetchResult.REDIRECT_REFUSED
    assert get(f"{base}/moved", open_minded).body == b"{}"
    assert failure(f"{base}/metadata", open_minded) is FetchResult.ADDRESS_REFUSED
    assert failure(f"{base}/file", open_minded) is FetchResult.ADDRESS_REFUSED
    assert failure(f"{base}/circle", open_minded) is FetchResult.REDIRECT_REFUSED
    assert server.asked["/circle"] == 4


def test_a_compressed_body_is_refused_because_it_could_unpack_to_any_size(server: KeyServer):
    server.replies["/bomb"] = (200, {"Content-Encoding": "gzip"}, gzip.compress(b" " * 10_000_000))
    assert failure(f"http://127.0.0.1:{server.port}/bomb") is FetchResult.MALFORMED


def test_a_body_over_the_limit_is_refused(server: KeyServer):
    server.replies["/exact"] = (200, {}, b" " * 1000)
    server.replies["/over"] = (200, {}, b" " * 1001)
    small = replace(LOOPBACK, max_bytes=1000)
    assert len(get(f"http://127.0.0.1:{server.port}/exact", small).body) == 1000
    assert failure(f"http://127.0.0.1:{server.port}/over", small) is FetchResult.TOO_LARGE


def test_an_answer_that_does_not_come_in_time_is_given_up(server: KeyServer):
    server.replies["/late"] = lambda: (time.sleep(0.5), (200, {}, b"{}"))[1]
    assert failure(f"http://127.0.0.1:{server.port}/late", replace(LOOPBACK, timeout_s=0.1)) is FetchResult.TIMEOUT


def test_a_host_that_nobody_knows_or_nobody_answers_at():
    assert failure("http://no-such-host.invalid/keys") is FetchResult.UNREACHABLE
    assert failure("http://127.0.0.1:1/keys") is FetchResult.UNREACHABLE


def test_proxies_of_the_environment_are_not_used(server: KeyServer, monkeypatch: pytest.MonkeyPatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert get(f"http://127.0.0.1:{server.port}/keys").body == b"{}"


def test_tls_needs_a_certificate_of_a_trusted_authority_for_the_right_name(tmp_path: Path):
    ours, other = Authority("ours", tmp_path), Authority("other", tmp_path)
    trusting = replace(LOOPBACK, ca_file=ours.file, allow_http=False)
    with KeyServer(ours.server_context("localhost")).running() as server:
        server.replies["/keys"] = (200, {}, b"{}")
        url = f"https://localhost:{server.port}/keys"
        assert get(url, trusting).body == b"{}"
        assert failure(url, replace(trusting, ca_file=None)) is FetchResult.TLS_FAILED
        assert failure(url, replace(trusting, ca_file=other.file)) is FetchResult.TLS_FAILED
        assert failure(f"https://127.0.0.1:{server.port}/keys", trusting) is FetchResult.TLS_FAILED, "another name"
    with KeyServer(ours.server_context("elsewhere.example.com")).running() as server:
        server.replies["/keys"] = (200, {}, b"{}")
        assert failure(f"https://localhost:{server.port}/keys", trusting) is FetchResult.TLS_FAILED
        assert not server.asked


class Authority:
    """A certificate authority that signs for any name."""

    def __init__(self, name: str, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._sign(self._name, self._key.public_key(), x509.BasicConstraints(ca=True, path_length=0))
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def server_context(self, host: str) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        certificate = self._sign(subject, key.public_key(), x509.SubjectAlternativeName([x509.DNSName(host)]))
        chain = self._folder / f"{host}.pem"
        chain.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        return context

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, extension: x509.ExtensionType
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .sign(self._key, hashes.SHA256())
        )
