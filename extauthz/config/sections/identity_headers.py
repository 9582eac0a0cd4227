"""Headers of ours on a request that goes upstream: none may be one that somebody else reads for another purpose."""

from collections.abc import Collection, Iterable
from typing import Final

from extauthz.config.problems import Report
from extauthz.domain.tokens.jwt import JwtPlugin, TokenPlace

_CARRY_THE_REQUEST: Final = frozenset({
    "host", "connection", "keep-alive", "proxy-connection", "transfer-encoding", "te", "trailer", "upgrade",
    "expect", "http2-settings", "date", "accept", "accept-charset", "accept-encoding", "accept-language", "range",
    "user-agent", "origin", "referer", "cache-control", "pragma", "max-forwards", "access-control-request-method",
    "access-control-request-headers", "x-http-method", "x-http-method-override", "x-method-override",
    "x-original-url", "x-rewrite-url",
})  # fmt: skip
_CARRY_PROOF: Final = frozenset({
    "authorization", "proxy-authorization", "proxy-authenticate", "www-authenticate", "cookie", "cookie2",
    "set-cookie", "x-ca-key", "x-ca-signature", "x-ca-signature-headers", "x-ca-signature-method", "x-ca-timestamp",
    "x-ca-nonce", "x-ca-stage", "x-ca-version", "x-ca-error-code", "x-ca-error-message",
})  # fmt: skip
_TELL_THE_WAY: Final = frozenset({"forwarded", "via"})
_PREFIXES: Final = ("content-", "if-", "sec-", "x-forwarded-", "x-envoy-", "grpc-")
_OTHERS_FACTS: Final = frozenset({
    "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip", "cf-connecting-ip", "fastly-client-ip",
    "x-request-id", "x-correlation-id", "x-ca-request-id", "traceparent", "tracestate", "baggage", "b3",
})  # fmt: skip
CURE: Final = "choose a name of its own, such as X-User-Id"


def may_tell_identity(name: str) -> bool:
    """Whether a fact of ours may be told in a header, which then replaces the client's."""
    lower = name.lower()
    taken = lower in _CARRY_THE_REQUEST or lower in _CARRY_PROOF or lower in _TELL_THE_WAY
    return not taken and not lower.startswith(_PREFIXES)


def may_tell_claim(name: str) -> bool:
    """Whether a token's claim may be told in a header. Its value is the issuer's: it may not pose as another fact."""
    lower = name.lower()
    return may_tell_identity(name) and lower not in _OTHERS_FACTS and not lower.startswith("x-b3-")


def check_identity_headers(names: Iterable[str], plugins: Collection[JwtPlugin], report: Report) -> None:
    """Report headers in which nothing may be told, or which are told twice."""
    seen = set()
    by_header = {claim.header: plugin for plugin in plugins for claim in plugin.claim_headers}
    tokens = {plugin.parameter: plugin for plugin in plugins if plugin.place is TokenPlace.HEADER}
    for name in names:
        path, lower = ("identity_headers", name), name.lower()
        if lower in seen:
            report(("identity_headers",), f"duplicate header `{lower}` in different letter case; keep one")
        seen.add(lower)
        if not may_tell_identity(name):
            report(path, f"is a header that must not be overwritten; {CURE}")
        elif lower in by_header:
            report(path, f"is also a claim header of plug-in `{by_header[lower].id}`; {CURE}")
        elif lower in tokens:
            report(path, f"is where plug-in `{tokens[lower].id}` expects its token; {CURE}")
