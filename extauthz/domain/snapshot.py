"""The snapshot: one immutable revision of everything that a check may read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from extauthz.domain.api import Api
from extauthz.domain.app import App, Grant, KeyPair
from extauthz.domain.horizon import ReplayHorizon
from extauthz.domain.jwt import TokenPlace
from extauthz.domain.request import Stage
from extauthz.domain.route import RouteTable
from extauthz.domain.settings import Settings


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Everything a check reads, indexed for it. Built aside, swapped in one assignment, never changed."""

    revision: str
    built_at_ms: int
    settings: Settings
    apis: Mapping[str, Api]
    """By id."""
    routes: RouteTable
    keys: Mapping[bytes, KeyPair]
    """By AppKey."""
    app_codes: Mapping[bytes, App]
    """By hash, see ``hash_app_code``."""
    grants: Mapping[tuple[str, str, Stage], Grant]
    """By app id, API id and stage."""
    horizon: ReplayHorizon
    """For how long the replay store keeps nonces, and what it cannot answer for."""

    def following(self, before: "Snapshot", now_ms: int) -> "Snapshot":
        """The snapshot as it takes the place of another one at ``now_ms``, while the replay store stays."""
        horizon = self.horizon.following(before.horizon, now_ms)
        return self if horizon is self.horizon else replace(self, horizon=horizon)


def build_snapshot(
    revision: str,
    built_at_ms: int,
    settings: Settings,
    apis: Iterable[Api],
    key_pairs: Iterable[KeyPair],
    app_codes: Iterable[tuple[bytes, App]],
    grants: Iterable[Grant],
) -> Snapshot:
    """Index validated parts. ``app_codes`` come as hashes. Raises RouteConflict."""
    by_id = {api.id: api for api in apis}
    widest_ms = max((api.digest.window_ms for api in by_id.values()), default=0)
    claim_headers = {entry.header for api in by_id.values() if api.jwt for entry in api.jwt.claim_headers}
    token_headers = {api.jwt.parameter for api in by_id.values() if api.jwt and api.jwt.place is TokenPlace.HEADER}
    return Snapshot(
        revision=revision,
        built_at_ms=built_at_ms,
        settings=replace(settings, claim_headers=frozenset(claim_headers), token_headers=frozenset(token_headers)),
        apis=by_id,
        routes=RouteTable(by_id.values()),
        keys={pair.app_key.encode(): pair for pair in key_pairs},
        app_codes=dict(app_codes),
        grants={(grant.app_id, grant.api_id, grant.stage): grant for grant in grants},
        horizon=ReplayHorizon(max(settings.longest_window_ms, widest_ms)),
    )
