"""The headers of the scheme (vendor doc 29475), as requests are read: in lower case. Each stands here once.

What clients and callers see is spelled by ``as_written``, as the vendor's documents spell it.
"""

from typing import Final

PREFIX: Final = "x-ca-"
"""With which every header of the scheme begins."""
X_CA_KEY: Final = "x-ca-key"
X_CA_NONCE: Final = "x-ca-nonce"
X_CA_SIGNATURE: Final = "x-ca-signature"
X_CA_SIGNATURE_HEADERS: Final = "x-ca-signature-headers"
X_CA_SIGNATURE_METHOD: Final = "x-ca-signature-method"
X_CA_STAGE: Final = "x-ca-stage"
X_CA_TIMESTAMP: Final = "x-ca-timestamp"
X_CA_APP_ID: Final = "x-ca-app-id"
X_CA_NETWORK: Final = "x-ca-network"
X_CA_ERROR_CODE: Final = "x-ca-error-code"
X_CA_ERROR_MESSAGE: Final = "x-ca-error-message"
X_CA_REQUEST_ID: Final = "x-ca-request-id"
X_CA_WOULD_DENY: Final = "x-ca-would-deny"
"""Sent upstream with what shadow lets pass: the reason. Not the vendor's."""

ACCEPT: Final = "accept"
AUTHORIZATION: Final = "authorization"
CONTENT_MD5: Final = "content-md5"
CONTENT_TYPE: Final = "content-type"
DATE: Final = "date"

DIGEST_CREDENTIAL: Final = (
    X_CA_KEY,
    X_CA_SIGNATURE,
    X_CA_SIGNATURE_HEADERS,
    X_CA_SIGNATURE_METHOD,
    X_CA_TIMESTAMP,
    X_CA_NONCE,
)
"""The headers that together are the credential of a signed request."""


def as_written(name: str) -> str:
    """A header name as the vendor's documents and SDKs write it: ``x-ca-key`` is ``X-Ca-Key``, and MD5 has capitals."""
    return name.title().replace("Md5", "MD5")
