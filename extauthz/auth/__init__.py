"""The authentication methods, one module each. A new method is a module here and one line in METHODS.

Every method offers two pure functions: ``is_presented(request, api)`` says whether the request carries this method's
credential, and ``authenticate(request, api, snapshot, now_ms)`` returns a Proof or a Refusal.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from extauthz.auth import appcode, digest, jwt
from extauthz.domain.api import Api, AuthMethod
from extauthz.domain.decision import Proof, Refusal
from extauthz.domain.request import Request
from extauthz.domain.snapshot import Snapshot


class Method(NamedTuple):
    """The two functions of an authentication method."""

    is_presented: Callable[[Request, Api], bool]
    authenticate: Callable[[Request, Api, Snapshot, int], Proof | Refusal]


METHODS: Final[Mapping[AuthMethod, Method]] = {
    AuthMethod.DIGEST: Method(digest.is_presented, digest.authenticate),
    AuthMethod.APP_CODE: Method(appcode.is_presented, appcode.authenticate),
    AuthMethod.JWT: Method(jwt.is_presented, jwt.authenticate),
}

CREDENTIAL_HEADERS: Final[Mapping[str, tuple[str, ...]]] = {
    AuthMethod.DIGEST: digest.CREDENTIAL_HEADERS,
    AuthMethod.APP_CODE: ("authorization",),
}
"""Lower-case names of the headers that carry a method's credential. A JWT plug-in names its own."""
