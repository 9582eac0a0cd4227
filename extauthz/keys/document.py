"""Reading what a provider published: a key set, a discovery document, and for how long they hold."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

from extauthz.domain.tokens.jwks import NotAKeySet, ReadKeySet, TooManyKeys, parse_document, read_key_set
from extauthz.domain.tokens.key_source import RemoteKeys
from extauthz.keys.http import FetchFailed, FetchResult

_MAX_AGE: Final = re.compile(r"(?:^|[,\s])max-age\s*=\s*\"?(\d{1,9})")
_NOT_STORED: Final = re.compile(r"(?:^|[,\s])(?:no-store|no-cache)(?:$|[,\s=])")


def read_published_keys(body: bytes, max_keys: int) -> ReadKeySet:
    """The usable keys of a published set, of which there is at least one. Raises FetchFailed.

    A published shared secret is no secret and is left out.
    """
    try:
        read = read_key_set(_json(body), max_keys, shared_secrets=False)
    except NotAKeySet as error:
        raise FetchFailed(FetchResult.MALFORMED, str(error)) from None
    except TooManyKeys as error:
        raise FetchFailed(FetchResult.TOO_LARGE, str(error)) from None
    if not read.keys.keys:
        raise FetchFailed(FetchResult.NO_USABLE_KEY, f"no key can verify tokens: {read.note or 'there is none'}")
    return read


def read_discovery(body: bytes, issuer: str) -> str:
    """The ``jwks_uri`` of an OpenID Connect discovery document that is the issuer's own. Raises FetchFailed."""
    document = _json(body)
    if not isinstance(document, dict):
        raise FetchFailed(FetchResult.MALFORMED, "the discovery document is not a JSON object")
    stated = document.get("issuer")
    if stated != issuer:
        if isinstance(stated, str) and "{" in stated:  # of many tenants, as Entra's `common`
            text = "the discovery document names a template of issuers; use `jwks_uri`, and list them under `issuers`"
            raise FetchFailed(FetchResult.ISSUER_MISMATCH, text)
        raise FetchFailed(FetchResult.ISSUER_MISMATCH, "the discovery document names another issuer")
    uri = document.get("jwks_uri")
    if not isinstance(uri, str) or len(uri) > 2048:
        raise FetchFailed(FetchResult.MALFORMED, "the discovery document has no `jwks_uri`")
    return uri


def discovery_url(issuer: str) -> str:
    """Where an issuer's discovery document stands (OpenID Connect Discovery 1.0, section 4)."""
    return issuer.removesuffix("/") + "/.well-known/openid-configuration"


def lifetime_s(headers: Mapping[str, str], remote: RemoteKeys) -> float:
    """For how many seconds a response is fresh by its Cache-Control or Expires, within the configured bounds."""
    stated = _stated_lifetime_s(headers)
    if stated is None:
        return remote.max_lifetime_s
    return min(max(stated, remote.min_lifetime_s), remote.max_lifetime_s)


def _stated_lifetime_s(headers: Mapping[str, str]) -> float | None:
    control = headers.get("cache-control", "").lower()
    if _NOT_STORED.search(control):
        return 0
    age = _MAX_AGE.search(control)
    if age is not None:
        spent = headers.get("age", "0")
        return int(age[1]) - (int(spent) if spent.isascii() and spent.isdigit() and len(spent) < 10 else 0)
    if "expires" not in headers:
        return None
    try:
        expires = parsedate_to_datetime(headers["expires"])
        return (expires - parsedate_to_datetime(headers["date"])).total_seconds()
    except (ValueError, KeyError, TypeError):
        return 0  # RFC 9111, section 5.3: an invalid date means "already expired"


def _json(body: bytes) -> Any:
    try:
        return parse_document(body.decode())
    except UnicodeDecodeError:
        raise FetchFailed(FetchResult.MALFORMED, "is not UTF-8 text") from None
    except NotAKeySet as error:
        raise FetchFailed(FetchResult.MALFORMED, str(error)) from None
