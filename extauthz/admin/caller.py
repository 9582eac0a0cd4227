"""Who asks: the bearer of an admin token or, where the configuration names one, of an identity provider's token."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from extauthz.admin.problem import Refusal
from extauthz.registry.database.sealing import Vault
from extauthz.registry.database.store import Store
from extauthz.registry.rules import Actor
from extauthz.registry.tokens import PREFIX, actor_of

_BEARER: Final = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/=-]{1,8192})")  # RFC 6750, section 2.1


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and under which name their idempotency keys are kept: no two bearers share one."""

    actor: Actor
    key: str


Judge = Callable[[str], Caller | None]
"""Who brings a token; None for a token that is worth nothing."""


class Callers:
    """Knows everybody who may ask. Any thread may use it."""

    def __init__(self, store: Store, vault: Vault, provider: Judge | None = None) -> None:
        """``provider`` judges the tokens that are not of the registry."""
        self._store = store
        self._vault = vault
        self._provider = provider

    def find(self, authorization: list[str]) -> Caller:
        """Who brings these ``Authorization`` headers. Raises Refusal, and what the database raises."""
        if not authorization:
            raise _unauthorized("bring an admin token: `Authorization: Bearer xat_...`", "")
        found = _BEARER.fullmatch(authorization[0]) if len(authorization) == 1 else None
        if found is None:
            raise _unauthorized("`Authorization` must be one `Bearer` token", 'error="invalid_request"')
        token = found[1]
        caller = self._of_registry(token) if token.startswith(PREFIX) else self._provider and self._provider(token)
        if caller is None:
            raise _unauthorized("the token is unknown, has ended, or was deleted", 'error="invalid_token"')
        return caller

    def _of_registry(self, token: str) -> Caller | None:
        with self._store.reading() as view:
            actor = actor_of(view, self._vault, token, self._store.now_ms())
        return None if actor is None else Caller(actor, self._vault.hash(b"caller " + token.encode()).hex())


def _unauthorized(detail: str, error: str) -> Refusal:
    challenge = 'Bearer realm="extauthz"' + (f", {error}" if error else "")
    return Refusal(HTTPStatus.UNAUTHORIZED, "unauthorized", detail, headers={"WWW-Authenticate": challenge})
