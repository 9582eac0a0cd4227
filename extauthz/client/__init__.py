"""What a caller does: sign requests for this gateway. A small public API for tests and tools::

    from extauthz.client import Credentials, OutgoingRequest, sign

    headers = sign(OutgoingRequest("GET", "https://api.example.com/v1/orders?a=1"), Credentials("key", "secret"))

With httpx: ``httpx.Client(auth=SignedAuth(Credentials("key", "secret")))``.
"""

from extauthz.client.httpx_auth import SignedAuth
from extauthz.client.signer import Credentials, OutgoingRequest, SigningOptions, sign, string_to_sign

__all__ = ["Credentials", "OutgoingRequest", "SignedAuth", "SigningOptions", "sign", "string_to_sign"]
