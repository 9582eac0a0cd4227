"""Step ``grant``: whether the app that calls was granted this API in this stage, and whether that has not ended."""

from extauthz.decide.progress import Progress
from extauthz.domain import reason
from extauthz.domain.decision import Refusal


def granted(check: Progress) -> Refusal | None:
    """Whether the app may call. A proof without an app (a token, an anonymous call) needs no grant."""
    app = check.app
    if app is None:
        return None
    if app.disabled:
        return Refusal(reason.APP_DISABLED, detail=f"app {app.id!r} is disabled")
    api, stage = check.api, check.stage
    grant = check.snapshot.directory.grant(app.id, api.id, stage)
    if grant is None:
        return Refusal(reason.NOT_GRANTED, detail=f"app {app.id!r} has no grant for API {api.id!r} in stage {stage}")
    if not grant.is_live(check.now_ms):
        return Refusal(reason.GRANT_EXPIRED, detail=f"grant of app {app.id!r} for API {api.id!r} ended")
    return None
