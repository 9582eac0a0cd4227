"""Shadow: what is judged as ever, counted and logged, and let pass all the same until a moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class ApiShadow(NamedTuple):
    """What of an API is in shadow."""

    until_ms: int
    """Milliseconds since 1970. The end itself is outside: from then on it denies again."""
    methods: frozenset[str]
    """HTTP methods; empty: every one of the API."""


class Told(NamedTuple):
    """One entry, as an operator is told of it."""

    kind: str
    """``api`` or ``app``."""
    id: str
    methods: str
    """HTTP methods, with commas; empty: all."""
    until_ms: int


@dataclass(frozen=True, slots=True, eq=False)
class Shadow:
    """Everything that the configuration puts into shadow. Of a request is asked what it is for, nothing else."""

    apis: Mapping[str, tuple[ApiShadow, ...]]
    """By API id."""
    apps: Mapping[str, int]
    """By app id: the end, in milliseconds since 1970."""

    def covers_api(self, api_id: str, method: str, now_ms: int) -> bool:
        """Whether a call of an API by an HTTP method is in shadow now."""
        return any(
            now_ms < one.until_ms and (not one.methods or method in one.methods) for one in self.apis.get(api_id, ())
        )

    def covers_app(self, app_id: str, now_ms: int) -> bool:
        """Whether an app, which has proved itself, is in shadow now."""
        return now_ms < self.apps.get(app_id, 0)

    def told(self) -> list[Told]:
        """Every entry, also those that have ended."""
        of_apis = [
            Told("api", api_id, ",".join(sorted(one.methods)), one.until_ms)
            for api_id, parts in sorted(self.apis.items())
            for one in parts
        ]
        return of_apis + [Told("app", app_id, "", until_ms) for app_id, until_ms in sorted(self.apps.items())]
