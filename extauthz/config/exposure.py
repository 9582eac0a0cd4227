"""What is no mistake, but its author should know: secrets in the file itself, or where they cannot change."""

from dataclasses import dataclass

from extauthz.config.files import secrets_of
from extauthz.config.problems import KeyPath, Warn, Warned
from extauthz.config.schema import ConfigFile
from extauthz.config.secrets import FromEnvironment, FromFile


def warn_of_secrets(file: ConfigFile, warn: Warn) -> None:
    """Warn once of secrets by value, and once of those from the environment; at the first of each."""
    inline, from_environment = _Places(), _Places()
    for path, secret in secrets_of(file):
        if isinstance(secret, FromEnvironment):
            from_environment.add(path)
        elif not isinstance(secret, FromFile) and not _is_plain_url(secret.get_secret_value()):
            inline.add(path)
    if inline.count:
        message = f"{inline} in this file itself, for everybody who reads it; write {{file: PATH}}"
        warn(Warned.SECRET_INLINE, inline.first, message)
    if from_environment.count:
        warn(
            Warned.SECRET_IN_ENVIRONMENT,
            from_environment.first,
            f"{from_environment} in an environment variable, which never changes in a running process: only a "
            "restart sees a new value, a reload does not. Write {file: PATH} for one that rotates",
        )


def _is_plain_url(value: str) -> bool:
    """Whether a value is the URL of a store, and nothing in it lets anybody in."""
    return "://" in value and "@" not in value and "password" not in value.lower()


@dataclass(slots=True)
class _Places:
    """The first of many places, and how many there are."""

    first: KeyPath = ()
    count: int = 0

    def add(self, path: KeyPath) -> None:
        if not self.count:
            self.first = path
        self.count += 1

    def __str__(self) -> str:
        return f"this and {self.count - 1} more stand" if self.count > 1 else "stands"
