"""What a page tells of a reason beside the catalogue's line."""

from typing import NamedTuple


class Story(NamedTuple):
    """One reason at length, in Markdown."""

    causes: tuple[str, ...]
    """What leads to it, the most frequent first."""
    see: tuple[str, ...]
    """How to find out which of the causes it is."""
    cure: tuple[str, ...]
    """What to change, by whom."""
    example: str
    """Something that ends so: a request, or what an operator does."""
    more: str = ""
    """Where to read on: a page of ``docs``, with its section."""
