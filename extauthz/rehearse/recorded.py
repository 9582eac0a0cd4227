"""A line of the decision log as a rehearsal reads it: the facts of one check, and how it ended."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from extauthz.domain.context_keys import API_KEY, STAGE_KEY, VPC_ID_KEY
from extauthz.domain.header_names import X_CA_STAGE
from extauthz.domain.request import NOTHING_REPEATED, Delivery, Network, Request

LONGEST_LINE: Final = 16_384
"""Bytes; the log's own lines have a quarter of it."""
_CUT: Final = (60, 2048)
"""Lengths of a host and path that the log may have cut, see ``observe.decision_line``."""
_LONG_LINE: Final = 2000
_NETWORKS: Final = {network.value: network for network in Network}
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d):(\d\d)\.(\d{3})Z")
_NOTHING: Final = frozenset[str]()


class Recorded(NamedTuple):
    """One check of the log."""

    id: str
    at_ms: int
    """Milliseconds since 1970."""
    passed: bool
    reason: str
    """Why it was denied, or would have been, were it not in shadow; of any other allow its label."""
    api: str
    app: str
    method: str
    """How the caller proved itself, or tried to."""
    credential: str
    detail: str
    strict: bool
    """Whether strict mode would refuse its signature."""
    share: float
    """Of such decisions that is logged."""
    http: str
    request: Request | None
    """The request as far as the log has it, without headers, body and query; None where there is not enough."""


class Reader:
    """Reads lines. The minute of the last line is remembered: parsing dates costs more than all else."""

    def __init__(self) -> None:
        self._minute = ""
        self._minute_ms = 0

    def read(self, line: bytes) -> Recorded | None:
        """The check of a line; None where it is not one of a decision log."""
        try:
            fields = json.loads(line)
            passed = {"allow": True, "deny": False}[fields["decision"]]
            at_ms = self._time_ms(fields["time"])
            return Recorded(
                fields["request_id"],
                at_ms,
                passed,
                fields.get("would_deny") or fields["reason"],
                fields["api"] or "",
                fields["app_id"] or "",
                fields["method"] or "",
                fields.get("credential", ""),
                fields.get("detail", ""),
                bool(fields.get("strict_would_refuse")) or fields.get("reading", "primary") != "primary",
                float(fields.get("share", 1)),
                fields.get("http", ""),
                _request(fields, len(line)),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def _time_ms(self, text: str) -> int:
        found = _TIME.fullmatch(text)
        if found is None:
            raise ValueError(text)
        minute, second, millisecond = found.groups()
        if minute != self._minute:
            self._minute, self._minute_ms = minute, int(datetime.fromisoformat(f"{minute}:00+00:00").timestamp()) * 1000
        return self._minute_ms + int(second) * 1000 + int(millisecond)


def _request(fields: Mapping[str, Any], length: int) -> Request | None:
    method, _, place = fields.get("http", "").partition(" ")
    slash = place.find("/")
    if slash < 0 or (len(place) in _CUT and length > _LONG_LINE):
        return None
    context = {
        key: fields[name]
        for key, name in ((API_KEY, "route"), (STAGE_KEY, "route_stage"), (VPC_ID_KEY, "vpc_id"))
        if name in fields
    }
    headers: dict[str, bytes] = {}
    if "asked_stage" in fields:
        headers[X_CA_STAGE] = fields["asked_stage"].encode("latin-1")
    address = fields.get("client") or fields.get("peer", "")
    headers["x-envoy-external-address"] = address.encode("latin-1", "replace")
    return Request(
        "", method, place[:slash], place[slash:], "", headers, _NOTHING, b"", Delivery.WHOLE,
        _NETWORKS[fields["network"]], "", address, context, None, None, NOTHING_REPEATED,
    )  # fmt: skip
