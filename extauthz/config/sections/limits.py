"""How much a process takes on at once."""

from typing import Annotated

from pydantic import Field

from extauthz.config.names import Section
from extauthz.domain.settings import FORM_MEBIBYTES


class Limits(Section):
    """How much a process takes on at once.

    ```yaml
    in_flight: 500
    form_mebibytes: 2
    message_mebibytes: 2
    ```
    """

    in_flight: Annotated[int, Field(ge=1, le=100_000)] = Field(
        500, description="checks waiting or in work per listener and worker; past it, 503 at once (`overloaded`)"
    )
    form_mebibytes: Annotated[int, Field(ge=1, le=32)] = Field(
        FORM_MEBIBYTES,
        description="of a signed form; a larger one is refused with 413 (`body_too_large`); each MiB can cost a "
        "stranger's check some 10 ms, in which all others wait",
    )
    message_mebibytes: Annotated[int, Field(ge=1, le=64)] = Field(
        2,
        description="larger questions are refused unread (`request_invalid`); keep Envoy's with_request_body below it, "
        "and while one is read all others wait, so set it no higher than signed bodies are",
    )
