"""The address of the client: one function, so that there is one answer."""

import re

from extauthz.domain.request import Request
from extauthz.domain.settings import Settings

_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{2,45}(?:%[0-9A-Za-z._-]{1,32})?").fullmatch


def client_address(request: Request, settings: Settings) -> str:
    """The client's address as text.

    The transport peer, unless the configuration states that Envoy's edge settings can be trusted: then the address
    that Envoy put into ``x-envoy-external-address``, which it sets for outside peers and cleans from everyone else's
    requests only under ``use_remote_address: true``. ``X-Forwarded-For`` is never read: anyone can write it.

    A request that Envoy marks ``x-envoy-internal`` came from a peer that it holds to be internal, and of such a peer it
    believes every ``x-envoy-*`` header: then the peer is the answer.
    """
    if settings.trust_external_address and "x-envoy-internal" not in request.headers:
        external = request.headers.get("x-envoy-external-address", b"")
        if external and "x-envoy-external-address" not in request.repeated:
            return external.decode("ascii", "replace")
    return request.peer


def is_address(text: str) -> bool:
    """Whether a text looks like an IPv4 or IPv6 address, so that no reader can take it for a list or a name."""
    return _ADDRESS(text) is not None
