"""Which files a configuration is made of: a change in any of them can change what it means."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from extauthz.config.build import ServiceConfig
from extauthz.config.secrets import FromFile


def named_files(config: ServiceConfig) -> frozenset[Path]:
    """The configuration file itself, and the secrets and documents that it names. Paths are absolute."""
    path = config.path.absolute()
    read = config.file.model_copy(update={"decision_log": None})  # named there is a file that we write
    return frozenset({path, *(path.parent / named.file for named in _named(read))})


def _named(node: Any) -> Iterator[FromFile]:
    if isinstance(node, FromFile):
        yield node
    elif isinstance(node, BaseModel):
        for field in type(node).model_fields:
            yield from _named(getattr(node, field))
    elif isinstance(node, list):
        for item in node:
            yield from _named(item)
    elif isinstance(node, dict):
        yield from _named(list(node.values()))
