"""The schema applied in steps: pydantic holds the interpreter, and every check, for as long as one call of it takes."""

from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from extauthz.config.schema import ConfigFile
from extauthz.config.sections.apis.api import ApiEntry
from extauthz.config.sections.apps.app import AppEntry
from extauthz.config.sections.grants import GrantEntry
from extauthz.pauses import release

_STEP: Final = 100
"""Entries at a time: a millisecond or two."""
_ADAPTERS: Final[dict[str, TypeAdapter[list[Any]]]] = {
    "apis": TypeAdapter(list[ApiEntry]),
    "apps": TypeAdapter(list[AppEntry]),
    "grants": TypeAdapter(list[GrantEntry]),
}
"""Of the sections that may have a hundred thousand entries."""


def in_steps(data: dict[str, Any]) -> tuple[ConfigFile | None, list[ErrorDetails]]:
    """The file that ``data`` means, or everything that is wrong with it: what ``ConfigFile.model_validate`` finds."""
    long = {section: data[section] for section in _ADAPTERS if isinstance(data.get(section), list)}
    details: list[ErrorDetails] = []
    file: ConfigFile | None = None
    try:
        file = ConfigFile.model_validate({**data, **{section: [] for section in long}})
    except ValidationError as error:
        details = _details(error)
    entries = {section: _entries(section, written, details) for section, written in long.items()}
    if file is None or details:
        release(*entries.values())
        return None, details
    return file.model_copy(update=entries), details


def _entries(section: str, written: list[Any], details: list[ErrorDetails]) -> list[Any]:
    read: list[Any] = []
    for start in range(0, len(written), _STEP):
        try:
            read += _ADAPTERS[section].validate_python(written[start : start + _STEP])
        except ValidationError as error:
            for detail in _details(error):
                index, *rest = detail["loc"]
                detail["loc"] = (section, start + int(index), *rest)
                details.append(detail)
    return read


def _details(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_context=False, include_input=False)
