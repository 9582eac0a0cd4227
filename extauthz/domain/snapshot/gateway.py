"""The gateway half of a snapshot: APIs, routes and settings, built aside and swapped whole."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from extauthz.domain.api import Api
from extauthz.domain.horizon import ReplayHorizon
from extauthz.domain.routing.route import RouteTable
from extauthz.domain.settings import Settings
from extauthz.domain.shadow import Shadow
from extauthz.domain.snapshot.token_memory import TokenMemory
from extauthz.domain.tokens.jwt import TokenPlace


@dataclass(frozen=True, slots=True, eq=False)
class Gateway:
    """What is protected, and how. Never changed."""

    revision: str
    built_at_ms: int
    """Milliseconds since 1970."""
    settings: Settings
    apis: Mapping[str, Api]
    """By id."""
    routes: RouteTable
    tokens: Mapping[str, TokenMemory]
    """The tokens that each JWT plug-in has verified, by the id of the plug-in."""
    horizon: ReplayHorizon
    """For how long the replay store keeps nonces, and what it cannot answer for."""
    shadow: Shadow | None = None
    """What is let pass for now whatever is found; None: nothing."""

    def following(self, before: "Gateway", now_ms: int) -> "Gateway":
        """The half as it takes the place of another one at ``now_ms``, while the replay store stays.

        An equal one is not replaced: what ``before`` has verified and answered stays good.
        """
        if self.revision == before.revision:
            return before
        horizon = self.horizon.following(before.horizon, now_ms)
        return self if horizon is self.horizon else replace(self, horizon=horizon)


def build_gateway(
    revision: str, built_at_ms: int, settings: Settings, apis: Iterable[Api], shadow: Shadow | None = None
) -> Gateway:
    """Index validated APIs. Raises RouteConflict."""
    by_id = {api.id: api for api in apis}
    widest_ms = max((api.digest.window_ms for api in by_id.values()), default=0)
    plugins = [api.jwt for api in by_id.values() if api.jwt is not None]
    claim_headers = frozenset(entry.header for plugin in plugins for entry in plugin.claim_headers)
    token_headers = frozenset(plugin.parameter for plugin in plugins if plugin.place is TokenPlace.HEADER)
    return Gateway(
        revision=revision,
        built_at_ms=built_at_ms,
        settings=replace(
            settings, claim_headers=claim_headers, token_headers=token_headers, marks_shadow=shadow is not None
        ),
        apis=by_id,
        routes=RouteTable(by_id.values()),
        tokens={plugin.id: TokenMemory(plugin.remembered) for plugin in plugins},
        horizon=ReplayHorizon(max(settings.longest_window_ms, widest_ms)),
        shadow=shadow,
    )
