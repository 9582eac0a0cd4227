"""What a captured check leaves out: credentials that explaining it does not need."""

import re
from typing import Final, NamedTuple

from extauthz.auth.string_to_sign import signed_names
from extauthz.domain.api import Api, AuthMethod
from extauthz.domain.header_names import AUTHORIZATION, X_CA_SIGNATURE_HEADERS
from extauthz.domain.request import Request
from extauthz.domain.tokens.jwt import TokenPlace
from extauthz.wire.retelling import retell

LARGEST_BODY: Final = 65_536
"""Bytes of a body that is kept; of a larger one nothing is."""
_CREDENTIALS: Final = (AUTHORIZATION, "cookie", "proxy-authorization")
_APP_CODE: Final = re.compile(r"(?i)((?:^|&)appcode=)[^&]*")


class Hidden(NamedTuple):
    """A question without what it need not tell."""

    question: bytes
    names: list[str]
    """Of what was hidden."""


def without_credentials(request: Request, method: str, api: Api | None) -> Hidden:
    """The question about a request, for one that was denied while ``method`` was verified, or before or after it."""
    methods = frozenset(method.split("+"))
    needed = _needed(request, methods, api)
    headers, names = dict(request.headers), []
    for name in _places(api):
        if headers.get(name) and name not in needed:
            scheme, blank, _ = headers[name].partition(b" ")
            headers[name] = scheme + b" ***" if blank else b"***"
            names.append(name)
    query = request.query
    if not methods & {AuthMethod.DIGEST, AuthMethod.APP_CODE}:  # the one signs its query, the other may stand in it
        query = _hide_parameters(query, api, methods)
        if query != request.query:
            names.append("query")
    kept = request
    if len(request.body) > LARGEST_BODY:
        kept = request._replace(body=b"")
        names.append("body")
    return Hidden(retell(kept, headers, query), names)


def _places(api: Api | None) -> list[str]:
    plugin = None if api is None else api.jwt
    own = [plugin.parameter] if plugin is not None and plugin.place is TokenPlace.HEADER else []
    return [*dict.fromkeys([*_CREDENTIALS, *own])]


def _needed(request: Request, methods: frozenset[str], api: Api | None) -> set[str]:
    needed: set[str] = set()
    if AuthMethod.DIGEST in methods:
        needed |= {name.lower for name in signed_names(request.headers.get(X_CA_SIGNATURE_HEADERS, b"")) or ()}
    if AuthMethod.APP_CODE in methods:
        needed.add(AUTHORIZATION)
    if AuthMethod.JWT in methods and api is not None and api.jwt is not None:
        needed.add("cookie" if api.jwt.place is TokenPlace.COOKIE else api.jwt.parameter)
    return needed


def _hide_parameters(query: str, api: Api | None, methods: frozenset[str]) -> str:
    hidden = _APP_CODE.sub(r"\1***", query)
    plugin = None if api is None else api.jwt
    if plugin is not None and plugin.place is TokenPlace.QUERY and AuthMethod.JWT not in methods:
        hidden = re.sub(rf"((?:^|&){re.escape(plugin.parameter)}=)[^&]*", r"\1***", hidden)
    return hidden
