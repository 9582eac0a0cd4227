"""AppCode: a shared code in the Authorization header or a query parameter (vendor doc 115437)."""

from typing import Final

from extauthz.auth.lookalike import values_of
from extauthz.auth.method import Method
from extauthz.auth.parameters import TOO_MANY, query_pairs
from extauthz.domain import reason
from extauthz.domain.api import Api, AppCodeMode, AuthMethod
from extauthz.domain.app import hash_app_code
from extauthz.domain.decision import Proof, Refusal
from extauthz.domain.header_names import AUTHORIZATION, X_CA_SIGNATURE, as_written
from extauthz.domain.request import Request
from extauthz.domain.snapshot import Snapshot

_SCHEME: Final = b"appcode"
_PARAMETER: Final = b"appcode"
_MAX_LENGTH: Final = 128


def is_presented(request: Request, api: Api) -> bool:
    """Whether an AppCode stands in the header, or in the query where the API allows that.

    Where the API takes signatures, only if none is sent: a signature is the stronger proof and is never bypassed by a
    code beside it. Where it takes none, a signature hides no code: the vendor's Java SDK signs every call.
    """
    if api.app_code is AppCodeMode.OFF or (request.headers.get(X_CA_SIGNATURE) and _takes_signatures(request, api)):
        return False
    return header_code(request) is not None or _query_codes(request, api) != []


def _takes_signatures(request: Request, api: Api) -> bool:
    policy = api.auth.get(request.network)
    return policy is None or AuthMethod.DIGEST in policy.methods


def header_code(request: Request) -> bytes | None:
    """The code in ``Authorization: APPCODE <code>``; the word in any letter case (undocumented, so lenient)."""
    scheme, _, code = request.headers.get(AUTHORIZATION, b"").strip().partition(b" ")
    return code.strip() if scheme.lower() == _SCHEME else None


def _query_codes(request: Request, api: Api) -> list[bytes] | None:
    """The codes in the query; None when it has more parameters than are read, and any of them may be one."""
    if api.app_code is not AppCodeMode.HEADER_QUERY:
        return []
    pairs = query_pairs(request)
    return None if pairs is None else values_of(pairs, _PARAMETER, any_case=True)


def authenticate(request: Request, api: Api, snapshot: Snapshot, now_ms: int) -> Proof | Refusal:
    """Find the app of the one AppCode that the request brings, in however many places."""
    if AUTHORIZATION in request.repeated:
        return Refusal(reason.HEADER_REPEATED, as_written(AUTHORIZATION))
    in_header = header_code(request)
    codes = _query_codes(request, api)
    if codes is None:
        return Refusal(reason.REQUEST_INVALID, TOO_MANY, "in the query")
    if in_header is not None:
        codes.append(in_header)
    different = set(codes)  # clients send the same code in header and query
    if len(different) != 1:
        return Refusal(reason.CREDENTIAL_AMBIGUOUS, detail=f"{len(different)} AppCodes")
    code = different.pop()
    app = snapshot.directory.app_of_code(hash_app_code(code)) if len(code) <= _MAX_LENGTH else None
    if app is None:
        return Refusal(reason.APP_CODE_UNKNOWN)
    return Proof(AuthMethod.APP_CODE, app=app, credential=f"code/{app.code_id}" if app.code_id else "")


def _credential_headers(api: Api) -> tuple[str, ...]:
    return (AUTHORIZATION,)


METHOD: Final = Method(AuthMethod.APP_CODE, is_presented, authenticate, _credential_headers)
