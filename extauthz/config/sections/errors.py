"""How denials look: answers that an operator may choose, where the vendor's documents leave them open."""

from extauthz.config.problems import Report
from extauthz.config.schema import Errors
from extauthz.domain.reason import CATALOGUE, Answer
from extauthz.domain.settings import ErrorSettings


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
    return ErrorSettings(errors.generation, errors.reveal, overrides)
