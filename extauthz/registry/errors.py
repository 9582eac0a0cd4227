"""What can be wrong with a request to the registry. Each error carries facts; who asked decides how to tell them."""


class RegistryError(Exception):
    """Any of the errors below. The message is for the person who asked, and holds no secret."""


class Invalid(RegistryError):
    """A value that cannot be used."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class Unknown(RegistryError):
    """What was named does not exist, or not for who asks."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"{kind} `{name}` does not exist")
        self.kind = kind


class Forbidden(RegistryError):
    """Who asks may not do this."""


class Conflict(RegistryError):
    """What was asked contradicts what is there already."""


class Changed(RegistryError):
    """Somebody else changed the entry since it was read."""

    def __init__(self, kind: str, name: str, version: int) -> None:
        super().__init__(f"{kind} `{name}` was changed meanwhile and is at version {version} now; read it again")
        self.version = version
