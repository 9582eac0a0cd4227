"""``auth`` expressions: which methods open an API, alone, in alternatives or together."""

from typing import Annotated, Any

from pydantic import Field

from extauthz.config.names import Section, Text
from extauthz.domain.api import AuthMethod, AuthPolicy
from extauthz.domain.request import Network


class AllOf(Section):
    """Every one of these must hold.

    ```yaml
    all_of: [digest, jwt]
    ```
    """

    all_of: Annotated[list["AuthMethod | AnyOf"], Field(min_length=2)] = Field(
        description="methods, or `any_of` groups of them"
    )


class AnyOf(Section):
    """One of these must hold.

    ```yaml
    any_of: [digest, appcode]
    ```
    """

    any_of: Annotated[list["AuthMethod | AllOf"], Field(min_length=1)] = Field(
        description="methods, or `all_of` groups of them"
    )


Auth = AuthMethod | AnyOf | AllOf
AuthByNetwork = Annotated[dict[Network, Auth], Field(min_length=1)]
VpcIds = Annotated[list[Text], Field(min_length=1)]


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
