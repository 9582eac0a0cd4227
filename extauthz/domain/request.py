"""What a caller asks for: the request as the decision sees it, free of Envoy and protobuf."""

from collections.abc import Callable, Mapping
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple


class Network(StrEnum):
    """Where a call entered. Stated by the listener, never by the client (vendor doc: network environments)."""

    INTERNET = "internet"
    VPC = "vpc"


class Stage(StrEnum):
    """A published version of an API. Clients choose with ``X-Ca-Stage``, in any letter case; RELEASE by default."""

    RELEASE = "RELEASE"
    PRE = "PRE"
    TEST = "TEST"


class Delivery(Enum):
    """How much of the request's body reached us."""

    WHOLE = "whole"
    PARTIAL = "partial"
    NOT_DELIVERED = "not delivered"


Pair = tuple[bytes, bytes]
"""A decoded name and value, of a parameter or a cookie."""


class Parsed:
    """What was parsed of one request, so that no two methods parse the same text. Empty until somebody asks.

    Beside each result stands the text that it was read from: a request with another query never gets the pairs of this
    one. A result is None where the text has more parts than are ever read.
    """

    # Defaults of the class: one is made for every check, and a constructor would take three times as long.
    query: tuple[str, list[Pair] | None] | None = None
    cookies: tuple[bytes, list[Pair] | None] | None = None


NOTHING_REPEATED: Final[Mapping[str, bytes]] = MappingProxyType({})


class Request(NamedTuple):
    """One request. A named tuple, because one is built for every check and frozen dataclasses cost four times as much.

    Header names are lower-case; header values are the exact bytes that arrived. A header that came more than once is
    joined with a comma, and its name is in ``repeated`` when the transport let us see that.
    """

    stream_id: str
    """Envoy's own random id of the HTTP stream: equal when Envoy asks again about one request, unknown to clients."""
    method: str
    host: str
    """Lower-case, without port or trailing dot."""
    path: str
    """Exactly as received, up to the first ``?``."""
    query: str
    """Exactly as received, without the ``?``; empty when there is none."""
    headers: Mapping[str, bytes]
    repeated: frozenset[str]
    body: bytes
    delivery: Delivery
    network: Network
    scheme: str
    peer: str
    """The address of the transport peer, as text; empty when unknown."""
    context: Mapping[str, str]
    """Envoy's ``context_extensions``: written by the operator in Envoy's configuration, never by a client."""
    envoy_claims: Callable[[str], Mapping[str, Any] | None] | None = None
    """The claims that Envoy's own jwt_authn filter verified, by the name under which it stored them. None unless an
    API of the snapshot reads them."""
    parsed: Parsed | None = None
    """Where what was parsed is kept; None: nowhere, so it is parsed each time."""
    firsts: Mapping[str, bytes] = NOTHING_REPEATED
    """The first value of every header in ``repeated``."""
    unread: str = ""
    """What of the request two readers would take for two things, in a few words for the caller; empty when nothing."""
    lossy: bool = False
    """Whether Envoy may have put ``!`` for bytes that are no UTF-8: into path and headers, or into the body."""
