"""TLS of the admin API: certificates that follow their files without a restart."""

import asyncio
import logging
import os
import ssl
from pathlib import Path
from typing import Final

from extauthz.config.sections.listen.certificates import CertificateFault, CertificateFiles, CertificatePaths

_LOOK_EVERY_S: Final = 10.0
_log: Final = logging.getLogger("extauthz.admin")


class AdminCertificates:
    """The context that handshakes use, and the files that it came from."""

    def __init__(self, tls: CertificatePaths, base: Path) -> None:
        """``base`` is the folder of the configuration file. Raises CertificateFault."""
        self._tls = tls
        self._base = base
        self._marks = self._look()
        files = CertificateFiles(tls, base)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        self._take()
        if files.client_ca is not None:
            self.context.load_verify_locations(cadata=files.client_ca.decode("ascii"))
            self.context.verify_mode = ssl.CERT_REQUIRED

    async def follow(self) -> None:
        """Take changed files for the handshakes to come, until cancelled. Another ``client_ca`` needs a restart."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            self.renew()

    def renew(self) -> None:
        """Take the files if they have changed and fit together."""
        marks = self._look()
        if marks == self._marks:
            return
        try:
            CertificateFiles(self._tls, self._base)
            self._take()
        except (CertificateFault, OSError) as error:  # perhaps only half of the files is there yet
            _log.error("the admin API's certificate is not renewed: %s", error)
            return
        self._marks = marks
        _log.info("the admin API's certificate is renewed")

    def _take(self) -> None:
        self.context.load_cert_chain(self._base / self._tls.cert, self._base / self._tls.key)

    def _look(self) -> list[tuple[int, int] | None]:
        return [_mark(self._base / file) for file in (self._tls.cert, self._tls.key)]


def _mark(file: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
