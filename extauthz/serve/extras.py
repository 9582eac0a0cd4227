"""Optional parts that a configuration asks for and that are not installed."""

from importlib.util import find_spec
from typing import Final

from extauthz.config import Problem, ServiceConfig
from extauthz.config.source import Source

_FRONT: Final = "extauthz_front"
_TRACING: Final = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


def missing_extras(config: ServiceConfig) -> list[Problem]:
    """A mistake for each extra that ``serve`` would need and not find."""
    source = Source(config.path, config.texts)
    problems = []
    if config.file.transport == "front" and not _is_installed(_FRONT):
        message = "front needs extauthz-front, which `pip install ./front` builds, with Rust; or write `auto`"
        problems.append(source.problem(("transport",), message))
    if config.file.tracing is not None and not all(_is_installed(name) for name in _TRACING):
        problems.append(source.problem(("tracing",), "needs the extra `tracing`: `pip install 'extauthz[tracing]'`"))
    return problems


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its package is missing
        return False
