"""The forms that names have in the configuration file, and the base of its sections."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
AppKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,128}$")]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,127}$")]
Address = Annotated[str, StringConstraints(pattern=r"^(unix:/.+|(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):[0-9]{1,5})$")]
Node = Annotated[str, StringConstraints(pattern=r"^(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$")]
HttpMethod = Annotated[str, StringConstraints(pattern=r"^[A-Z]{1,20}$")]
Domain = Annotated[
    str, StringConstraints(pattern=r"^(\*|(\*\.)?[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\])$", to_lower=True)
]
Algorithm = Literal["HmacSHA256", "HmacSHA1"]


class Section(BaseModel):
    """A part of the file. Unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)
