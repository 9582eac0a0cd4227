"""Signing inside httpx: ``httpx.Client(auth=SignedAuth(credentials))``, for sync and async clients."""

from collections.abc import Generator

import httpx

from extauthz.client.signer import Credentials, OutgoingRequest, SigningOptions, sign
from extauthz.domain.header_names import PREFIX


class SignedAuth(httpx.Auth):
    """Signs every request of a client.

    A redirect that httpx follows by itself (off by default) is not signed anew: it repeats the headers of the first
    request, which do not sign another path. Send the request to its new place yourself.
    """

    requires_request_body = True

    def __init__(self, credentials: Credentials, options: SigningOptions | None = None) -> None:
        self._credentials = credentials
        self._options = options

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Set the signature's headers on the request as it will be sent."""
        target = request.url.raw_path.decode("ascii")
        kept = ("accept", "content-type", "content-md5", "date")
        headers = {name: value for name, value in request.headers.items() if name in kept or name.startswith(PREFIX)}
        outgoing = OutgoingRequest(request.method, target, headers, request.content)
        for name, value in sign(outgoing, self._credentials, self._options).items():
            request.headers[name] = value
        yield request
