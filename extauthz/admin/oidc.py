"""Tokens of an identity provider: verified with its keys, and mapped to a role and an owner by the configuration.

Whatever a token leaves open is refused: no role, more than one owner, or an owner that is missing. Otherwise a claim
that the provider forgets would turn a reader of one account into a reader of everything.
"""

import hashlib
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import jwt
from jwt.exceptions import PyJWTError

from extauthz.admin.caller import Caller
from extauthz.admin.problem import Refusal
from extauthz.auth.jwt_token import Token, parse_token
from extauthz.config.sections.admin import Oidc
from extauthz.domain.tokens.jwk import PUBLIC_KEY_ALGORITHMS
from extauthz.domain.tokens.key_source import KeySource
from extauthz.registry.errors import Invalid
from extauthz.registry.rules import Actor, Role
from extauthz.registry.text import checked_id

_LEEWAY_S: Final = 30
_MAX_TRIES: Final = 16
"""Keys that one token is checked with."""
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})
_LONGEST_NAME: Final = 64
_EVERYTHING: Final = "*"


class ProviderTokens:
    """Judges the access tokens of one identity provider. Any thread may use it."""

    def __init__(self, oidc: Oidc, keys: KeySource) -> None:
        """``keys`` is kept fresh by somebody else."""
        self._oidc = oidc
        self._keys = keys

    def judge(self, token: str) -> Caller | None:
        """Who brings this token; None for one that is not good. Raises Refusal for one that is, and permits nothing."""
        parsed = parse_token(token.encode())
        if not isinstance(parsed, Token):
            return None
        claims = self._verified(token, parsed)
        return None if claims is None else self._caller(claims)

    def _verified(self, token: str, parsed: Token) -> dict[str, Any] | None:
        """The claims of a token whose signature, issuer, audience and times are right."""
        key_set = self._keys.current
        if key_set is None:
            detail = "the keys of the identity provider could not be fetched yet; try again"
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "no-keys", detail, headers={"Retry-After": "1"})
        algorithm, kid = parsed.header.get("alg"), parsed.header.get("kid")
        if algorithm not in PUBLIC_KEY_ALGORITHMS or not isinstance(kid, str | None) or "crit" in parsed.header:
            return None
        if str(parsed.header.get("typ", "JWT")).lower() not in _TYPES:
            return None
        candidates = [key.keys[algorithm] for key in key_set.candidates(kid) if algorithm in key.keys]
        if kid is not None and not key_set.knows(kid):
            self._keys.ask_refresh()
        for key in candidates[:_MAX_TRIES]:
            try:
                claims: dict[str, Any] = jwt.decode(
                    token, key, [algorithm], audience=self._oidc.audience, issuer=self._oidc.issuer, leeway=_LEEWAY_S,
                    options={"require": ["exp", "iat", "sub"]},
                )  # fmt: skip
                lifetime_s = int(claims["exp"]) - int(claims["iat"])
            except (PyJWTError, ValueError, TypeError):
                continue
            return claims if lifetime_s <= self._oidc.max_lifetime else None
        return None

    def _caller(self, claims: dict[str, Any]) -> Caller:
        subject = claims["sub"]
        role = self._role(_values(claims, self._oidc.role_claim))
        owner = None if role is Role.ADMIN else self._owner(role, _values(claims, self._oidc.owner_claim))
        key = hashlib.sha256(f"{self._oidc.issuer}\n{subject}".encode("utf-8", "surrogatepass")).hexdigest()
        return Caller(Actor(_name(subject), role, owner), f"oidc {key[:56]}")

    def _role(self, values: Sequence[str]) -> Role:
        for value, role in self._oidc.roles.items():
            if value in values:
                return Role(role)
        raise _forbidden("the token has none of the roles that may use this API")

    def _owner(self, role: Role, values: Sequence[str]) -> str | None:
        if len(values) != 1:
            raise _forbidden("the token must name one owner, whom its bearer acts for")
        (owner,) = values
        if owner == _EVERYTHING and role is Role.READER:
            return None
        try:
            return checked_id("owner", owner)
        except Invalid:
            raise _forbidden("the token names an owner that cannot be one") from None


def _forbidden(detail: str) -> Refusal:
    return Refusal(HTTPStatus.FORBIDDEN, "forbidden", detail)


def _values(claims: dict[str, Any], path: str | list[str]) -> list[str]:
    """The text, or the list of texts, at a path of claims; nothing for what is neither."""
    value: Any = claims
    for name in [path] if isinstance(path, str) else path:
        value = value.get(name) if isinstance(value, dict) else None
    values = value if isinstance(value, list) else [value]
    return values if all(isinstance(one, str) for one in values) else []


def _name(subject: str) -> str:
    """The name of a subject in the audit trail; a hash takes the end's place where it does not fit or show."""
    name = f"oidc:{subject}"
    if len(name) <= _LONGEST_NAME and name.isascii() and name.isprintable():
        return name
    shown = "".join(letter for letter in name[:40] if letter.isascii() and letter.isprintable())
    return f"{shown}~{hashlib.sha256(subject.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
