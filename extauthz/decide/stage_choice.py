"""Step ``stage``: which stage of the API a call is for."""

from typing import Final

from extauthz.decide.progress import Progress
from extauthz.domain import reason
from extauthz.domain.context_keys import STAGE_KEY
from extauthz.domain.decision import Refusal
from extauthz.domain.header_names import X_CA_STAGE, as_written
from extauthz.domain.request import Stage

_STAGES: Final = {stage.value.encode(): stage for stage in Stage}


def which_stage(check: Progress) -> Refusal | None:
    """The stage that Envoy's context pins, else the one the client asks for, else the domain's, else RELEASE.

    A route or a domain that is tied to a stage serves no other, whoever asks for it: Envoy has chosen the upstream by
    then, and may have read the client's header in another letter case than we do.
    """
    request, api, bound = check.request, check.api, check.binding.stage
    if X_CA_STAGE in request.repeated:
        return Refusal(reason.HEADER_REPEATED, as_written(X_CA_STAGE))
    asked = request.headers.get(X_CA_STAGE, b"")
    pinned = request.context.get(STAGE_KEY)
    unasked = b"RELEASE" if bound is None else bound.value.encode()
    wanted = (asked or unasked) if pinned is None else pinned.encode()
    stage = _STAGES.get(wanted) or _STAGES.get(wanted.strip().upper())
    if stage is None:
        return Refusal(reason.STAGE_INVALID, detail="not one of RELEASE, PRE, TEST")
    if pinned is not None and asked and asked.strip().upper() != stage.value.encode():
        return Refusal(reason.STAGE_INVALID, detail=f"Envoy's route serves stage {stage} only")
    if bound is not None and stage is not bound:
        return Refusal(reason.STAGE_INVALID, detail=f"domain {request.host!r} serves stage {bound} only")
    if stage not in api.stages:
        return Refusal(reason.STAGE_INVALID, detail=f"API {api.id!r} is not published in stage {stage}")
    check.stage = stage
    return None
