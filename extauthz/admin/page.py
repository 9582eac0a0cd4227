"""Lists in pages: an opaque cursor says behind which entry the next page begins."""

import base64
import json
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from extauthz.admin.problem import invalid

Item = TypeVar("Item")
LARGEST: Final = 500
_TEXT: Final = re.compile(r"[A-Za-z0-9._/-]{0,200}")
_LARGEST_INT: Final = 2**63 - 1


class Page(BaseModel, Generic[Item]):
    """Some entries of a list, and where it goes on."""

    items: list[Item]
    next: str | None = Field(description="the cursor of the next page; null: this is the last one")


class Paging(BaseModel):
    """Which page of a list. Unknown parameters are refused: a mistyped filter must not list everything."""

    model_config = ConfigDict(extra="forbid")
    limit: Annotated[int, Field(ge=1, le=LARGEST, description="entries of a page")] = 100
    cursor: Annotated[str | None, Field(max_length=1000, description="`next` of the page before")] = None

    def after(self, start: tuple[Any, ...]) -> tuple[Any, ...]:
        """The place behind which the page begins; ``start`` for the first. Raises Refusal for a foreign cursor."""
        if self.cursor is None:
            return start
        try:
            padded = self.cursor + "=" * (-len(self.cursor) % 4)
            place = json.loads(base64.b64decode(padded.encode(), altchars=b"-_", validate=True))
        except (ValueError, RecursionError):
            place = None
        if (
            not isinstance(place, list)
            or list(map(type, place)) != list(map(type, start))
            or not all(_is_sound(part) for part in place)
        ):
            raise invalid("cursor", "is not the `next` of a page of this list")
        return tuple(place)

    def page(self, found: Sequence[Item], place: Callable[[Item], tuple[Any, ...]]) -> Page[Item]:
        """A page of what was found, which is one entry more than asked for when there are more."""
        items = list(found[: self.limit])
        more = len(found) > self.limit
        return Page(items=items, next=_cursor(place(items[-1])) if more else None)


def _cursor(place: tuple[Any, ...]) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _is_sound(part: Any) -> bool:
    return _TEXT.fullmatch(part) is not None if isinstance(part, str) else 0 <= part <= _LARGEST_INT
