"""The closed catalogue of reasons: for each, the metric label, both generations of the vendor's answer, and advice.

A reason's ``label`` is at once the metric label, the log field and the name in the documentation. Answers of the
``vpc`` generation carry six-character codes; those of the ``legacy`` generation (classic instances) carry a message
only. Sources: vendor doc 43906 and the API documents that the vendor's console generates. An answer whose code,
status or text no source could settle is marked ``provisional`` and can be overridden in the configuration.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple


class GrpcStatus(IntEnum):
    """The gRPC status codes that an answer may use. OK is deliberately not here."""

    INVALID_ARGUMENT = 3
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class Answer(NamedTuple):
    """What the caller is told: error code (may be empty), HTTP status, message with an optional ``{fact}``."""

    code: str
    status: int
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class Reason:
    """Why a check ended as it did. Compared by identity: every instance is a constant of this module."""

    label: str
    vpc: Answer
    legacy: Answer
    grpc_status: GrpcStatus
    advice: str
    """What an operator should look at, in one sentence."""
    provisional: bool = False
    failure: bool = False
    """True when we could not decide, as opposed to having decided to deny."""


ALLOWED: Final = "allowed"
ANONYMOUS: Final = "anonymous"
ASKED_AGAIN: Final = "asked_again"
REPLAY_UNCHECKED: Final = "replay_unchecked"
"""Allowed because the API says ``replay_outage: allow`` and the shared store was out of order."""
WOULD_DENY: Final = "would_deny"
"""Allowed because the API, or the app, is in shadow; the reason for which it would be denied is told beside it."""
ALLOW_LABELS: Final = (ALLOWED, ANONYMOUS, ASKED_AGAIN, REPLAY_UNCHECKED, WOULD_DENY)

_CATALOGUE: dict[str, Reason] = {}

_UNAUTHENTICATED = GrpcStatus.UNAUTHENTICATED
_DENIED = GrpcStatus.PERMISSION_DENIED
_INVALID = GrpcStatus.INVALID_ARGUMENT


def _reason(
    label: str,
    vpc: tuple[str, int, str],
    legacy: tuple[int, str],
    grpc_status: GrpcStatus,
    advice: str,
    *,
    provisional: bool = False,
    failure: bool = False,
) -> Reason:
    reason = Reason(
        label,
        Answer(*vpc),
        Answer("", *legacy),
        grpc_status,
        advice,
        provisional=provisional,
        failure=failure,
    )
    if label in _CATALOGUE or label in ALLOW_LABELS:
        raise ValueError(f"reason {label!r} stands twice in the catalogue")
    _CATALOGUE[label] = reason
    return reason


# What was asked for.
REQUEST_INVALID = _reason(
    "request_invalid",
    ("I400RU", 400, "Invalid Request Uri `{fact}`"),
    (400, "Invalid Url"),
    _INVALID,
    "The check has no HTTP request, cannot be parsed, or is past a limit of docs/limits.md; the answer says which.",
)
URL_TOO_LARGE = _reason(
    "url_too_large",
    ("I413UL", 413, "Request URL too Large"),
    (413, "Request URL too Large"),
    _INVALID,
    "The path is longer than 16 KiB, or path and query together than 64 KiB: what is that long belongs in a body.",
)
PATH_INVALID = _reason(
    "path_invalid",
    ("I400PA", 400, "Invalid Request Path `{fact}`"),
    (400, "Invalid Url"),
    _INVALID,
    "The path has a spelling that the upstream may read differently; the client must send it in its plain form.",
)
HOST_INVALID = _reason(
    "host_invalid",
    ("I404DO", 404, "Invalid Domain `{fact}`"),
    (400, "Invalid Domain"),
    GrpcStatus.UNIMPLEMENTED,
    "No API group serves this domain on this network or in this stage: compare with the group's `domains`.",
)
API_NOT_FOUND = _reason(
    "api_not_found",
    ("I404NF", 404, "API not found"),
    (400, "API Not Found"),
    GrpcStatus.UNIMPLEMENTED,
    "No API has this method and path, or Envoy's route names another API than the path: compare routes and `apis`.",
)
STAGE_INVALID = _reason(
    "stage_invalid",
    ("I400SG", 400, "Invalid Stage"),
    (400, "Invalid Url"),
    _INVALID,
    "The API, or the domain, does not serve the stage that X-Ca-Stage names: see `stages` and `domains`.",
)
HEADER_REPEATED = _reason(
    "header_repeated",
    ("I400HD", 400, "Invalid Header `{fact}` repeated"),
    (400, "Invalid Header"),
    _INVALID,
    "A credential or signature header came more than once; the client or a proxy before Envoy adds a second one.",
)
HEADER_INVALID = _reason(
    "header_invalid",
    ("I400HD", 400, "Invalid Header `{fact}`"),
    (400, "Invalid Header"),
    _INVALID,
    "A header of the scheme has a value that cannot be used; the detail names it.",
)

# Networks and addresses.
INTERNET_DISABLED = _reason(
    "internet_disabled",
    ("A403IN", 403, "Access from internet is disabled"),
    (403, "Unauthorized"),
    _DENIED,
    "The API has no `internet` entry under `auth`, or its domain is tied to `vpc`; the caller came by the Internet.",
)
VPC_REFUSED = _reason(
    "vpc_refused",
    ("A403VN", 403, "Access from invalid VPC is disabled"),
    (403, "Unauthorized"),
    _DENIED,
    "The API has no `vpc` entry under `auth`, its domain is tied to `internet`, or the VPC id is not in the whitelist.",
)
IP_REFUSED = _reason(
    "ip_refused",
    ("A403IP", 403, "Access denied by IP Control Policy"),
    (403, "Access denied by IP Control Policy"),
    _DENIED,
    "The client address is refused by the IP control plug-in; the detail names the address and the rule.",
)

# Credentials in general.
CREDENTIAL_MISSING = _reason(
    "credential_missing",
    ("A400MA", 400, "Need authorization, `X-Ca-Key` or `Authorization: APPCODE ...` is required"),
    (400, "Invalid AppKey"),
    _UNAUTHENTICATED,
    "The request carries no credential that this API takes on this network.",
)
METHOD_REFUSED = _reason(
    "method_refused",
    ("A400MA", 400, "Need authorization, {fact} is not accepted here"),
    (400, "Invalid AppKey"),
    _UNAUTHENTICATED,
    "The caller used an authentication method that the API does not accept on this network: see its `auth`.",
)
CREDENTIAL_AMBIGUOUS = _reason(
    "credential_ambiguous",
    ("I400HD", 400, "Invalid Header `Authorization` more than one credential"),
    (400, "Invalid Header"),
    _INVALID,
    "The request carries credentials of two methods that the API accepts; it must bring exactly one.",
)

# Digest.
SIGNATURE_MISSING = _reason(
    "signature_missing",
    ("I400MH", 400, "Header `X-Ca-Signature` is Required"),
    (404, "Empty Signature"),
    _UNAUTHENTICATED,
    "X-Ca-Key came without X-Ca-Signature: the client does not sign.",
)
APP_KEY_UNKNOWN = _reason(
    "app_key_unknown",
    ("A400IK", 400, "Invalid AppKey"),
    (400, "Invalid AppKey"),
    _UNAUTHENTICATED,
    "No app has this AppKey: deleted, mistyped, or of another environment.",
)
SIGNATURE_METHOD_REFUSED = _reason(
    "signature_method_refused",
    ("I400HD", 400, "Invalid Header `X-Ca-Signature-Method` {fact}"),
    (400, "Invalid Signature Method"),
    _UNAUTHENTICATED,
    "The API's `digest.algorithms` does not list the algorithm that the client used.",
    provisional=True,
)
SIGNATURE_MISMATCH = _reason(
    "signature_mismatch",
    ("A403SG", 403, "Invalid Signature, Server StringToSign:`{fact}`"),
    (400, "Invalid Signature, Server StringToSign:`{fact}`"),
    _UNAUTHENTICATED,
    "The secret or the string to sign differs: compare the caller's string with the one in X-Ca-Error-Message.",
    provisional=True,
)
TIMESTAMP_INVALID = _reason(
    "timestamp_invalid",
    ("I400HD", 400, "Invalid Header `X-Ca-Timestamp` not milliseconds since 1970"),
    (400, "Invalid Timestamp"),
    _UNAUTHENTICATED,
    "X-Ca-Timestamp is not a whole number of milliseconds.",
)
TIMESTAMP_REQUIRED = _reason(
    "timestamp_required",
    ("I400MH", 400, "Header `X-Ca-Timestamp` is Required"),
    (400, "Invalid Timestamp"),
    _UNAUTHENTICATED,
    "The API requires a timestamp and the client sent none.",
)
TIMESTAMP_EXPIRED = _reason(
    "timestamp_expired",
    ("S403TE", 403, "X-Ca-Timestamp is expired"),
    (400, "Timestamp Expired"),
    _UNAUTHENTICATED,
    "The client's clock is outside the window, or the request was delayed, or it sends seconds, not milliseconds.",
    provisional=True,
)
NONCE_REQUIRED = _reason(
    "nonce_required",
    ("I400NC", 400, "X-Ca-Nonce is required"),
    (400, "X-Ca-Nonce is required"),
    _UNAUTHENTICATED,
    "The API requires a nonce and the client sent none.",
)
NONCE_USED = _reason(
    "nonce_used",
    ("S403NU", 403, "Nonce Used"),
    (400, "Nonce Used"),
    _UNAUTHENTICATED,
    "A second request with the same AppKey, API and nonce: a replay, or a client that retries without signing anew.",
    provisional=True,
)
SIGNED_HEADER_REQUIRED = _reason(
    "signed_header_required",
    ("I400HD", 400, "Invalid Header `{fact}` must be signed"),
    (400, "Invalid Header"),
    _UNAUTHENTICATED,
    "The API's `digest.require_signed` names a header that the client did not list in X-Ca-Signature-Headers.",
)
STRICT_REFUSED = _reason(
    "strict_refused",
    ("A403SG", 403, "Invalid Signature, {fact}"),
    (400, "Invalid Signature, {fact}"),
    _UNAUTHENTICATED,
    "The signature is right but leaves part of the request open, and the API's `digest.strict` is on.",
    provisional=True,
)
CONTENT_MD5_INVALID = _reason(
    "content_md5_invalid",
    ("I400I5", 400, "Invalid Content-MD5 {fact}"),
    (400, "Invalid Content-MD5"),
    _UNAUTHENTICATED,
    "The body is not the one that was signed, or Content-MD5 was computed over something else.",
)
BODY_TOO_LARGE = _reason(
    "body_too_large",
    ("I413RL", 413, "Request body too Large"),
    (413, "Request body too Large"),
    _INVALID,
    "The proof covers a body that is past Envoy's max_request_bytes, or a form past `limits: {form_mebibytes}`.",
)
BODY_UNAVAILABLE = _reason(
    "body_unavailable",
    ("I400BD", 400, "Invalid Body: {fact}"),
    (400, "Invalid Request Body"),
    _INVALID,
    "The proof covers the body but Envoy did not show it (buffer the route), or a form has too many parameters.",
)

# AppCode.
APP_CODE_UNKNOWN = _reason(
    "app_code_unknown",
    ("A400AC", 400, "Invalid AppCode `not exists`"),
    (400, "Invalid AppCode `not exists`"),
    _UNAUTHENTICATED,
    "No app has this AppCode: deleted, mistyped, or of another environment.",
)

# App authorization.
APP_DISABLED = _reason(
    "app_disabled",
    ("I403AA", 403, "Unauthorized"),
    (403, "Unauthorized"),
    _DENIED,
    "The app proved who it is, but it is disabled.",
)
NOT_GRANTED = _reason(
    "not_granted",
    ("I403AA", 403, "Unauthorized"),
    (403, "Unauthorized"),
    _DENIED,
    "The app has no grant for this API in this stage.",
)
GRANT_EXPIRED = _reason(
    "grant_expired",
    ("A403EP", 403, "App authorization expired"),
    (403, "Expiry of Authorization"),
    _DENIED,
    "The app's grant for this API and stage has ended; extend its `until`.",
)
IDENTITY_INVALID = _reason(
    "identity_invalid",
    ("A403ID", 403, "Identity `{fact}` cannot be told to the upstream as it is"),
    (403, "Unauthorized"),
    _DENIED,
    "A value for an identity header has control characters or outer blanks, is too long, or is not an address.",
    provisional=True,
)

# JWT.
JWT_MISSING = _reason(
    "jwt_missing",
    ("I400JR", 400, "JWT required"),
    (400, "JWT required"),
    _UNAUTHENTICATED,
    "The plug-in found no token where it looks for one.",
)
JWT_MALFORMED = _reason(
    "jwt_malformed",
    ("I400JD", 400, "JWT Deserialize Failed"),
    (400, "JWT Deserialize Failed"),
    _UNAUTHENTICATED,
    "What stands in the token's place is not a JWT in compact form.",
)
JWT_INVALID = _reason(
    "jwt_invalid",
    ("A403JT", 403, "Invalid JWT: {fact}"),
    (403, "Invalid JWT: {fact}"),
    _UNAUTHENTICATED,
    "The token's signature or one of its claims does not satisfy the plug-in; the detail says which.",
)
JWT_KEY_UNKNOWN = _reason(
    "jwt_key_unknown",
    ("A403JK", 403, "No matching JWK, kid: {fact} not found"),
    (403, "No matching JWK, kid: {fact} not found"),
    _UNAUTHENTICATED,
    "The token names a key that the plug-in does not have: another issuer, or keys were rotated.",
)
JWT_EXPIRED = _reason(
    "jwt_expired",
    ("A403JE", 403, "JWT is expired at {fact}"),
    (403, "JWT is expired at {fact}"),
    _UNAUTHENTICATED,
    "The token's `exp` has passed; the client must fetch a new one.",
)
JTI_REQUIRED = _reason(
    "jti_required",
    ("S403JI", 403, "Claim jti is required when preventJtiReplay is true"),
    (403, "Claim jti is required when preventJtiReplay is true"),
    _UNAUTHENTICATED,
    "The plug-in allows each token once and this one has no `jti`.",
)
JTI_USED = _reason(
    "jti_used",
    ("S403JU", 403, "Claim jti in JWT is used"),
    (403, "Claim jti in JWT is used"),
    _UNAUTHENTICATED,
    "The plug-in allows each token once and this one was used before.",
)

REPLAY_SHARE_FULL = _reason(
    "replay_share_full",
    ("T429MR", 429, "Too Many Requests"),
    (403, "Throttled by APP Flow Control"),
    GrpcStatus.RESOURCE_EXHAUSTED,
    "This app holds its `replay.share` of the nonce store (for jtis: this plug-in); all others are served.",
    provisional=True,
)

# Failures: we could not decide. They deny with 503 and never carry an allow.
JWT_KEYS_UNAVAILABLE = _reason(
    "jwt_keys_unavailable",
    ("X503BZ", 503, "Service Unavailable"),
    (503, "Service Unavailable"),
    GrpcStatus.UNAVAILABLE,
    "The plug-in has never obtained a key set from its provider, or its last one is older than `max_stale`.",
    failure=True,
)
REPLAY_STORE_FULL = _reason(
    "replay_store_full",
    ("X503BZ", 503, "Service Unavailable"),
    (503, "Service Unavailable"),
    GrpcStatus.UNAVAILABLE,
    "The nonce store holds as many entries as `replay.capacity` allows; it refuses rather than forgets.",
    failure=True,
)
REPLAY_STORE_UNAVAILABLE = _reason(
    "replay_store_unavailable",
    ("X503BZ", 503, "Service Unavailable"),
    (503, "Service Unavailable"),
    GrpcStatus.UNAVAILABLE,
    "The shared nonce store did not answer in time.",
    failure=True,
)
OVERLOADED = _reason(
    "overloaded",
    ("X503BZ", 503, "Service Unavailable"),
    (503, "Service Unavailable"),
    GrpcStatus.UNAVAILABLE,
    "More checks were in flight than the configuration allows, or Envoy's deadline had passed before we began.",
    failure=True,
)
PEER_REFUSED = _reason(
    "peer_refused",
    ("X503BZ", 503, "Service Unavailable"),
    (503, "Service Unavailable"),
    GrpcStatus.UNAVAILABLE,
    "The check came over mTLS from a client that `listen[].tls.allowed_clients` does not name: not an Envoy of yours.",
    failure=True,
)
AUDIT_UNAVAILABLE = _reason(
    "audit_unavailable",
    ("X503BZ", 503, "Service Unavailable"),
    (503, "Service Unavailable"),
    GrpcStatus.UNAVAILABLE,
    "`decision_log.audit` is `required`, and the log cannot be written or its queue is full: disk, permissions, pipe?",
    failure=True,
)
REGISTRY_UNAVAILABLE = _reason(
    "registry_unavailable",
    ("X503BZ", 503, "Service Unavailable"),
    (503, "Service Unavailable"),
    GrpcStatus.UNAVAILABLE,
    "Nothing is known of the registry's apps yet, or the entry asked for is damaged: `registry` in /readyz says why.",
    failure=True,
)
INTERNAL_ERROR = _reason(
    "internal_error",
    ("X503BZ", 503, "Service Unavailable"),
    (503, "Service Unavailable"),
    GrpcStatus.UNAVAILABLE,
    "An unexpected exception, logged with this request id; please report it.",
    failure=True,
)

CATALOGUE: Final[Mapping[str, Reason]] = dict(_CATALOGUE)
"""Every reason to deny or to fail, by label."""
