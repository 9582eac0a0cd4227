"""The authentication methods, one module each. A new method is a module here and one line in METHODS."""

from collections.abc import Mapping
from typing import Final

from extauthz.auth import appcode, digest, jwt
from extauthz.auth.method import Method

METHODS: Final[Mapping[str, Method]] = {
    method.name: method
    for method in (
        digest.METHOD,
        appcode.METHOD,
        jwt.METHOD,
    )
}
"""By name. In this order they are looked for in a request that brought none of those that its API takes."""
