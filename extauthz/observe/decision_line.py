"""One decision as one line of JSON: which fields, in which order, and how to make a line cheaply.

Most of a line is the same for every check of one kind: that part is made once and kept. The rest is put around it by
hand, because an encoder that walks a dict costs more than all else that the log does.
"""

import time
from collections.abc import Callable
from json.encoder import encode_basestring_ascii as quoted
from typing import Final

from extauthz.decide.client_address import client_address
from extauthz.domain.context_keys import API_KEY, STAGE_KEY, VPC_ID_KEY
from extauthz.domain.decision import Allow
from extauthz.domain.header_names import X_CA_STAGE
from extauthz.domain.reason import CATALOGUE
from extauthz.domain.request import Stage
from extauthz.wire.checked import Checked

LINE_BYTES: Final = 4096
"""No line is longer, line feed included: what a pipe takes in one piece (PIPE_BUF), whoever else writes to it."""
_TEXT: Final = 2048
"""Characters of text from a client that are kept in memory while a line waits, whatever Envoy lets pass."""
_NAME: Final = 128
"""Characters that are kept of what Envoy's configuration names."""
_SHORT: Final = 60
"""Characters that are kept of it when the line would be too long: each takes up to twelve bytes as JSON."""
_KINDS: Final = 4096
_STAGES: Final = {stage.value.encode(): stage.value for stage in Stage}

Kind = tuple[str, str, str, str, str, str, str, str, str, str, str, str, str, str]
"""What many checks share: decision, reason, API, stage, method, app, network, reading, warning, would_deny, credential,
and of Envoy's context the API and the stage of the route and the VPC.

Names, not the objects that bear them: a line may wait for a full disk, and is kept as a pattern for others; neither may
keep APIs, tokens and key sets in memory that a reload has replaced.
"""
Entry = tuple[float, str, float, str, Kind, str, str, str, str, str, str]
"""Time in seconds since 1970, request id, seconds it took, revision, kind, method, host and path, peer, detail, the
client's address where it is not the peer, and the stage that was asked for.

A plain tuple of short texts: made in the path of a check, and what waits must not keep bodies and tokens in memory.
"""


def entry_of(checked: Checked) -> Entry:
    """What the log keeps of a check until its line is made."""
    request, decision = checked.request, checked.decision
    client = asked = route = route_stage = vpc_id = ""
    if request is None:
        method = place = peer = ""
    else:
        method, place, peer = request.method[:_SHORT], request.host + request.path, request.peer
        if len(place) > _TEXT:
            place = place[:_TEXT]
        stage = request.headers.get(X_CA_STAGE)
        if stage:
            asked = _STAGES.get(stage) or stage[:_SHORT].decode("latin-1")
        if checked.snapshot.gateway.settings.trust_external_address:
            client = client_address(request, checked.snapshot.gateway.settings)[:_SHORT]
            client = "" if client == peer else client
        context = request.context
        if context:
            route, route_stage = context.get(API_KEY, "")[:_NAME], context.get(STAGE_KEY, "")[:_NAME]
            vpc_id = context.get(VPC_ID_KEY, "")[:_NAME]
    if isinstance(decision, Allow):
        reading, warning, credential = decision.reading, decision.warning, decision.credential
        detail = "" if decision.would_deny is None else decision.would_deny.detail[:_TEXT]
    else:
        reading, warning, credential, detail = "", "", "", decision.detail[:_TEXT]
    kind = (
        checked.outcome, checked.label, checked.api, checked.stage, checked.method, checked.app,
        checked.network.value, reading, warning, checked.would_deny, credential, route, route_stage, vpc_id,
    )  # fmt: skip
    return (
        checked.at_s, checked.id, checked.seconds, checked.revision, kind, method, place, peer, detail, client, asked
    )  # fmt: skip


class LineMaker:
    """Makes lines. Not for use by more than one thread."""

    def __init__(self, share_of: Callable[[str], float]) -> None:
        """``share_of`` tells which share of the decisions with a reason is logged."""
        self._share_of = share_of
        self._kinds: dict[tuple[Kind, str], str] = {}
        self._second = -1
        self._second_text = ""

    def line(self, entry: Entry) -> str:
        """The line of a decision, with its line feed, in ASCII. A path has no query here: that may hold credentials."""
        time_s, request_id, seconds, revision, kind, method, place, peer, detail, client, asked = entry
        second = int(time_s)
        if second != self._second:
            self._second, self._second_text = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        shared = self._kinds.get((kind, revision))
        if shared is None:
            shared = self._shared(kind, revision)
        line = (
            f'{{"time":"{self._second_text}.{int((time_s - second) * 1000):03d}Z","request_id":"{request_id}",{shared},'
            f'"duration_us":{round(seconds * 1e6)}'
        )
        http = quoted(f"{method} {place}") if method or place else ""
        room = LINE_BYTES - len(line) - len(http) - 12 * (len(peer) + len(detail) + len(client) + len(asked)) - 128
        if room < 0:
            http = quoted(f"{method} {place[:_SHORT]}") if method or place else ""
            peer, detail = peer[:_SHORT], detail[:_SHORT]
        more = f',"asked_stage":{quoted(asked)}' if asked else ""
        if client:
            more += f',"client":{quoted(client)}'
        if detail:
            more += f',"detail":{quoted(detail)}'
        if http:
            return f'{line},"http":{http},"peer":{quoted(peer)}{more}}}\n'
        return f"{line}{more}}}\n"

    def _shared(self, kind: Kind, revision: str) -> str:
        decision, label, api, stage, method, app, network, reading, warning, would_deny = kind[:10]
        credential, route, route_stage, vpc_id = kind[10:]
        facts = {
            "decision": decision,
            "reason": label,
            "api": api,
            "stage": stage,
            "method": method,
            "app_id": app,
            "revision": revision,
        }
        told = [f'"{name}":{quoted(text) if text else "null"}' for name, text in facts.items()]
        cause = CATALOGUE.get(would_deny or label)
        more = {
            "network": network,
            "reading": reading,
            "strict_would_refuse": warning,
            "would_deny": would_deny,
            "credential": credential,
            "route": route,
            "route_stage": route_stage,
            "vpc_id": vpc_id,
            "advice": cause.advice if cause else "",
        }
        told += [f'"{name}":{quoted(text)}' for name, text in more.items() if text]
        share = self._share_of(label)
        if share < 1:
            told.append(f'"share":{share:g}')
        if len(self._kinds) >= _KINDS:  # of revisions long gone
            self._kinds.clear()
        shared = self._kinds[kind, revision] = ",".join(told)
        return shared
