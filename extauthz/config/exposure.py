"""What is no mistake, but its author should know: secrets in the file, or where they cannot change, and open APIs."""

from collections.abc import Iterable

from extauthz.config.files import secrets_of
from extauthz.config.problems import KeyPath, Report
from extauthz.config.schema import ConfigFile
from extauthz.config.secrets import FromEnvironment, FromFile
from extauthz.domain.api import Api
from extauthz.domain.request import Network


def warn_of_secrets(file: ConfigFile, warn: Report) -> None:
    """Warn once of secrets by value, and once of those from the environment; at the first of each."""
    inline: list[KeyPath] = []
    from_environment: list[KeyPath] = []
    for path, secret in secrets_of(file):
        if isinstance(secret, FromEnvironment):
            from_environment.append(path)
        elif not isinstance(secret, FromFile):
            inline.append(path)
    if inline:
        warn(inline[0], f"{_count(inline)} in this file itself, for everybody who reads it; write {{file: PATH}}")
    if from_environment:
        warn(
            from_environment[0],
            f"{_count(from_environment)} in an environment variable, which never changes in a running process: only a "
            "restart sees a new value, a reload does not. Write {file: PATH} for one that rotates",
        )


def warn_of_open_apis(apis: Iterable[tuple[int, Api]], warn: Report) -> None:
    """Warn of APIs that anybody on the Internet may call; ``apis`` come with their position."""
    for position, api in apis:
        policy = api.auth.get(Network.INTERNET)
        if policy is not None and frozenset() in policy.alternatives:
            warn(("apis", position, "auth", "internet"), "lets anybody on the Internet call without a credential")


def _count(places: list[KeyPath]) -> str:
    return f"this and {len(places) - 1} more stand" if len(places) > 1 else "stands"
