"""The forms that names have in the configuration file, and the base of its sections."""

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, WithJsonSchema

_PORT: Final = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_HOST_PORT: Final = rf"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):{_PORT}"


def _address(pattern: str, forms: str) -> tuple[AfterValidator, WithJsonSchema]:
    """A text that fits; port 0 does not, since nobody could know where to ask."""

    def check(value: str) -> str:
        if re.fullmatch(pattern, value) is None:
            raise ValueError(f"must be {forms}, with a port from 1 to 65535")
        return value

    return AfterValidator(check), WithJsonSchema({"type": "string", "pattern": f"^({pattern})$"})


Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
AppKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,128}$")]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,127}$")]
NEVER_OVERWRITTEN: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "authorization"}
)
"""Headers, in lower case, that carry the request itself or its proof: nothing of ours may be told in them."""
Address = Annotated[str, *_address(f"unix:/.+|{_HOST_PORT}", "host:port such as 127.0.0.1:9191, or unix:/path")]
Node = Annotated[str, *_address(_HOST_PORT, "host:port such as 127.0.0.1:9191")]
HttpMethod = Annotated[str, StringConstraints(pattern=r"^[A-Z]{1,20}$")]
Domain = Annotated[
    str, StringConstraints(pattern=r"^(\*|(\*\.)?[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\])$", to_lower=True)
]
Algorithm = Literal["HmacSHA256", "HmacSHA1"]


class Section(BaseModel):
    """A part of the file. Unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)
