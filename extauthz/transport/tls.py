"""TLS to Envoy: certificates that follow their files without a restart, and the list of clients that may ask."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from ssl import DER_cert_to_PEM_cert
from typing import Any, Final

import grpc
from cryptography.x509 import GeneralName
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from extauthz.config.sections.listen.certificates import CertificateFault, CertificateFiles, Tls
from extauthz.config.sections.listen.client_names import client_name, names_in
from extauthz.families import Gauge, OverWorkers

_PEER_CERTIFICATE: Final = "x509_pem_cert"
_REMEMBERED_CERTIFICATES: Final = 256
_log: Final = logging.getLogger("extauthz")


class Certificates:
    """The certificates of one listener. Asked at every handshake, which costs three ``stat`` calls."""

    def __init__(self, tls: Tls, base: Path, listener: str) -> None:
        """``base`` is the folder of the configuration file. Raises CertificateFault when they cannot be used."""
        self.listener = listener
        self.allowed_clients = frozenset(client_name(name) for name in tls.allowed_clients)
        self.failures = 0
        self._tls = tls
        self._base = base
        self._marks = self._look()
        self.files = CertificateFiles(tls, base)

    def credentials(self) -> grpc.ServerCredentials:
        """What a gRPC server takes. With ``client_ca`` a client without a certificate of it is not let in."""
        return grpc.dynamic_ssl_server_credentials(
            _configuration(self.files),
            self.renewed,
            require_client_authentication=self._tls.client_ca is not None,
        )

    def for_front(self) -> tuple[bytes, bytes, bytes | None, bool]:
        """What the front takes: certificate, key, authority of clients, and whether their names matter."""
        return self.files.cert, self.files.key, self.files.client_ca, bool(self.allowed_clients)

    def names_one_of(self, certificate: bytes) -> bool:
        """Whether a client certificate in DER form carries a name that may ask."""
        return not self.allowed_clients.isdisjoint(_names_in(DER_cert_to_PEM_cert(certificate).encode()))

    def renewed(self) -> Any:
        """``renewed_files`` as a gRPC server takes them."""
        files = self.renewed_files()
        return None if files is None else _configuration(files)

    def renewed_files(self) -> CertificateFiles | None:
        """The new certificates where the files have changed and fit together, else None: the old ones stay."""
        marks = self._look()
        if marks == self._marks:
            return None
        try:
            files = CertificateFiles(self._tls, self._base)
        except CertificateFault as fault:
            # Perhaps only half of the files is there yet: the next handshake looks again.
            self.failures += 1
            _log.error("certificates of %s are not renewed: %s", self.listener, fault)
            return None
        self._marks, self.files = marks, files
        _log.info("certificates of %s are renewed", self.listener)
        return files

    def end_s(self) -> float:
        """When the certificate ends that the next handshake will use, in seconds since 1970."""
        if self._look() != self._marks:
            with suppress(CertificateFault):
                return CertificateFiles(self._tls, self._base).not_after_s
        return self.files.not_after_s

    def _look(self) -> list[tuple[int, int, int] | None]:
        return [_mark(self._base / file) for file in (self._tls.cert, self._tls.key, self._tls.client_ca) if file]


def may_ask(context: Any, names: frozenset[GeneralName]) -> bool:
    """Whether the client certificate of a call carries one of the names, as a name of the same kind."""
    # Not gRPC's list of the names: it does not tell their kinds, and cuts each at a NUL.
    presented = context.auth_context().get(_PEER_CERTIFICATE)
    return bool(presented) and not names.isdisjoint(_names_in(presented[0]))


@lru_cache(_REMEMBERED_CERTIFICATES)
def _names_in(pem: bytes) -> frozenset[GeneralName]:
    return names_in(pem)


def _configuration(files: CertificateFiles) -> Any:
    return grpc.ssl_server_certificate_configuration([(files.key, files.cert)], files.client_ca)


def _mark(file: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class CertificateMetrics(Collector):
    """When certificates end, and whether their renewal fails."""

    def __init__(self, certificates: Sequence[Certificates | None]) -> None:
        self._certificates = [one for one in certificates if one is not None]

    def collect(self) -> Iterator[Metric]:
        """What a scrape sees."""
        if not self._certificates:
            return
        ends = Gauge(
            "extauthz_tls_certificate_end_timestamp_seconds", "When the certificate ends.", OverWorkers.LOWEST,
            labels=["listener"],
        )  # fmt: skip
        failures = CounterMetricFamily(
            "extauthz_tls_renewal_failures", "Handshakes at which changed files did not fit.", labels=["listener"]
        )
        for one in self._certificates:
            ends.add_metric([one.listener], one.end_s())
            failures.add_metric([one.listener], one.failures)
        yield ends
        yield failures
