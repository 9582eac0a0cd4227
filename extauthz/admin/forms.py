"""What callers send: the bodies of requests, each with an example, and the forms of ids in paths."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import Path
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from extauthz.registry.credentials import MAX_OVERLAP_MS
from extauthz.registry.errors import Invalid
from extauthz.registry.text import (
    MAX_AT_ONCE,
    MAX_DESCRIPTION,
    MAX_WHY,
    NAME_LENGTH,
    checked_credential,
    checked_id,
    checked_name,
    checked_secret,
    checked_text,
)

_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.IGNORECASE | re.ASCII)
_SHOWN_ID: Final = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_SHOWN_CREDENTIAL: Final = "^[A-Za-z0-9_-]{8,128}$"


def _as(check: Callable[[str, str], object], **schema: Any) -> tuple[AfterValidator, WithJsonSchema]:
    """A text that passes one of the registry's own checks."""

    def validate(value: str) -> str:
        try:
            check("", value)
        except Invalid as error:
            raise ValueError(error.message) from None
        return value

    return AfterValidator(validate), WithJsonSchema({"type": "string", **schema})


def _moment_ms(value: object) -> int:
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        raise ValueError("must be a moment with a time zone, as in 2027-01-31T12:00:00Z")
    try:
        return int(datetime.fromisoformat(value.upper()).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise ValueError("is not a moment of the calendar") from None


Id = Annotated[str, *_as(checked_id, pattern=_SHOWN_ID)]
AppName = Annotated[str, *_as(checked_name, minLength=NAME_LENGTH[0], maxLength=NAME_LENGTH[1])]
Text = Annotated[str, *_as(checked_text, maxLength=MAX_DESCRIPTION)]
Why = Annotated[str, *_as(lambda name, value: checked_text(name, value, MAX_WHY), maxLength=MAX_WHY)]
Credential = Annotated[str, *_as(checked_credential, pattern=_SHOWN_CREDENTIAL)]
AppSecret = Annotated[str, *_as(checked_secret, minLength=16, maxLength=128, format="password")]
Moment = Annotated[int, BeforeValidator(_moment_ms), WithJsonSchema({"type": "string", "format": "date-time"})]
"""ISO 8601 with a time zone; milliseconds since 1970 once read."""
Stage = Literal["RELEASE", "PRE", "TEST"]
Some = Annotated[list[Id], Field(min_length=1, max_length=MAX_AT_ONCE)]
PathId = Annotated[Id, Path()]
PathCredential = Annotated[str, *_as(checked_credential, pattern=_SHOWN_CREDENTIAL), Path()]
PathUuid = Annotated[str, Path(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


class Form(BaseModel):
    """A body. What is not known is refused, and no value is taken for one of another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [fields]})


class CreateOwner(Form):
    """An account that apps and APIs belong to."""

    model_config = _example(id="shop", description="The web shop's team")
    id: Id
    description: Text = ""


class CreateApp(Form):
    """An app, without credentials yet."""

    model_config = _example(id="shop-web", owner="shop", name="Web shop")
    id: Id
    owner: Id
    name: AppName
    description: Text = ""


class AppChange(Form):
    """What is to be different; null and what is left out stay as they are."""

    model_config = _example(disabled=True)
    name: AppName | None = None
    description: Text | None = None
    disabled: bool | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> "AppChange":
        if self.name is None and self.description is None and self.disabled is None:
            raise ValueError("must change `name`, `description` or `disabled`")
        return self


class CreateKey(Form):
    """A key pair. What is left out is chosen at random, which is the better choice."""

    model_config = _example(app_key="shop-key-2027")
    app_key: Credential | None = None
    app_secret: AppSecret | None = Field(None, repr=False)


class Rotation(Form):
    """A new AppSecret for a key pair; the one before stays valid for a while."""

    model_config = _example(overlap_s=86_400)
    overlap_s: Annotated[int, Field(ge=0, le=MAX_OVERLAP_MS // 1000)] = 86_400
    app_secret: AppSecret | None = Field(None, repr=False)


class CreateCode(Form):
    """An AppCode. Left out, it is chosen at random, which is the better choice."""

    model_config = _example()
    app_code: Credential | None = Field(None, repr=False)


class RegisterApi(Form):
    """An API of the configuration that can be granted."""

    model_config = _example(id="geocode", owner="maps", stages=["RELEASE", "TEST"])
    id: Id
    owner: Id
    group: Id | Literal[""] = ""
    stages: Annotated[list[Stage], Field(min_length=1, max_length=3)] = ["RELEASE"]
    self_grant: bool = Field(False, description="whether consumers may grant it to their own apps")


class ApiChange(Form):
    """What is to be different; null and what is left out stay as they are."""

    model_config = _example(self_grant=True)
    group: Id | Literal[""] | None = None
    stages: Annotated[list[Stage], Field(min_length=1, max_length=3)] | None = None
    self_grant: bool | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> "ApiChange":
        if self.group is None and self.stages is None and self.self_grant is None:
            raise ValueError("must change `group`, `stages` or `self_grant`")
        return self


class CreateGrants(Form):
    """One API for up to 100 apps, or one app for up to 100 APIs: all of them or none."""

    model_config = _example(apps=["shop-web"], apis=["geocode"], stage="RELEASE", until="2027-12-31T00:00:00Z")
    apps: Some
    apis: Some
    stage: Stage = "RELEASE"
    until: Moment | None = Field(None, description="when the grants end; null: they do not")
    description: Text = ""


class Revocation(Form):
    """The grants to take back: all of them or none."""

    model_config = _example(apps=["shop-web"], apis=["geocode"], stage="RELEASE")
    apps: Some
    apis: Some
    stage: Stage = "RELEASE"


class AskAccess(Form):
    """Which access a consumer asks for, and what for."""

    model_config = _example(app="shop-web", api="geocode", stage="TEST", why="Addresses at the checkout")
    app: Id
    api: Id
    stage: Stage = "RELEASE"
    why: Why


class Approval(Form):
    """The grant that was asked for, perhaps with an end."""

    model_config = _example(until="2027-12-31T00:00:00Z", answer="Welcome")
    until: Moment | None = None
    answer: Why = ""


class Refused(Form):
    """Why the access is refused; the consumer sees it."""

    model_config = _example(answer="Not in your contract")
    answer: Why


class CreateToken(Form):
    """An admin token. Providers and consumers act for an owner, admins for none, readers for one or for all."""

    model_config = _example(name="shop deploys", role="consumer", owner="shop")
    name: AppName
    role: Literal["admin", "provider", "consumer", "reader"]
    owner: Id | None = None
    until: Moment | None = None
