"""How denials look: answers that an operator may choose, where the vendor's documents leave them open."""

from typing import Annotated, Final

from pydantic import Field, StringConstraints

from extauthz.config.names import Section, written
from extauthz.config.problems import Report
from extauthz.domain.reason import CATALOGUE, Answer
from extauthz.domain.settings import ErrorSettings, Generation, Reveal

_DEFAULTS: Final = ErrorSettings()


class OverrideAnswer(Section):
    """Another code, status or message for a reason whose answer the vendor's documents leave open.

    ```yaml
    code: A403XX
    status: 403
    message: Not for you
    ```
    """

    code: Annotated[str, *written(r"[A-Z0-9]{0,16}", "at most 16 capital letters and digits")] | None = Field(
        None, description="of X-Ca-Error-Code"
    )
    status: Annotated[int, Field(ge=400, le=599)] | None = Field(None, description="of the HTTP answer")
    message: Annotated[str, StringConstraints(max_length=512)] | None = Field(None, description="of X-Ca-Error-Message")


class Errors(Section):
    """How denials look.

    ```yaml
    generation: vpc
    reveal: minimal
    overrides: {replay_share_full: {status: 429, message: Too Many Requests}}
    help_url: https://developers.example.com/denied
    ```
    """

    generation: Generation = Field(
        _DEFAULTS.generation, description="vpc: six-character codes; legacy: classic instances"
    )
    reveal: Reveal = Field(_DEFAULTS.reveal, description="minimal: unknown key and wrong signature look the same")
    overrides: dict[str, OverrideAnswer] = Field(default_factory=dict, description="by reason, provisional ones only")
    help_url: (
        Annotated[
            str,
            StringConstraints(max_length=256),
            *written(
                r"https?://[A-Za-z0-9._~:/?#@!$&()*+,;=%-]+", "an http:// or https:// URL, without quotes and blanks"
            ),
        ]
        | None
    ) = Field(None, description="callers are told this URL with the reason behind it, as a page on it; default: none")


def check_errors(errors: Errors, report: Report) -> None:
    """Report overrides of what cannot be overridden."""
    for label in errors.overrides:
        path = ("errors", "overrides", label)
        known = CATALOGUE.get(label)
        if known is None:
            report(path, "is not a known reason; `extauthz reasons` lists them")
        elif not known.provisional:
            report(path, "has an answer that the vendor documents; only provisional ones can be changed")


def error_settings(errors: Errors) -> ErrorSettings:
    """The settings of a section without mistakes."""
    base = ErrorSettings(errors.generation, errors.reveal)
    overrides = {}
    for label, override in errors.overrides.items():
        answer = base.answer(CATALOGUE[label])
        overrides[label] = Answer(
            answer.code if override.code is None else override.code,
            answer.status if override.status is None else override.status,
            answer.message if override.message is None else override.message,
        )
    return ErrorSettings(errors.generation, errors.reveal, overrides, errors.help_url or "")
