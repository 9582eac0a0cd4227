"""What an API asks of its callers: ``auth`` expressions and ``digest`` sections, as the domain wants them."""

from typing import Any

from extauthz.config.schema import AllOf, AnyOf, Auth, Digest
from extauthz.domain.api import AuthMethod, AuthPolicy, DigestRules


def digest_rules(defaults: Digest, own: Digest) -> DigestRules:
    """What an API states for itself, and the defaults for the rest."""
    stated = {name: getattr(own, name) for name in own.model_fields_set}
    section = defaults.model_copy(update=stated)
    return DigestRules(
        algorithms=frozenset(section.algorithms),
        window_ms=int(section.window.total_seconds() * 1000),
        require_timestamp=section.require_timestamp,
        require_nonce=section.require_nonce,
        require_signed=frozenset(name.lower() for name in section.require_signed),
        strict=section.strict,
    )


def auth_policy(expression: Auth) -> AuthPolicy:
    """The alternatives that an ``auth`` expression means, each a set of methods, without repeats."""
    return AuthPolicy(tuple(dict.fromkeys(_alternatives(expression))))


def _alternatives(expression: Any) -> list[frozenset[AuthMethod]]:
    if isinstance(expression, AnyOf):
        return [alternative for part in expression.any_of for alternative in _alternatives(part)]
    if isinstance(expression, AllOf):
        combined: list[frozenset[AuthMethod]] = [frozenset()]
        for part in expression.all_of:
            combined = [left | right for left in combined for right in _alternatives(part)]
        return combined
    return [frozenset()] if expression is AuthMethod.NONE else [frozenset({expression})]
