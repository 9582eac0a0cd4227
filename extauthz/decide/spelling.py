"""Step ``spelling``: a request whose host or path two readers could take for two things is refused before any rule."""

from typing import Final

from extauthz.decide.progress import Progress
from extauthz.domain import reason
from extauthz.domain.decision import Refusal
from extauthz.domain.routing.lenient_path import lenient_path_fault
from extauthz.domain.routing.path import path_fault
from extauthz.domain.routing.route import is_host

MAX_URL_LENGTH: Final = 65_536
"""Characters of path and query, which are read before anyone has proved anything. Envoy's own default is below it."""
MAX_PATH_LENGTH: Final = 16_384
"""Characters of the path alone, whose segments are decoded and matched: twice what other servers take."""
MAX_HOST_LENGTH: Final = 255
"""RFC 1035, section 2.3.4; answers that name the host are cached."""


def one_spelling(check: Progress) -> Refusal | None:
    """Whether host and path mean one thing to every reader. A fault that some API takes is left to ``which_api``."""
    request = check.request
    if request.unread:
        return Refusal(reason.PATH_INVALID, request.unread, "what Envoy tells and the bytes of the request may differ")
    if len(request.path) > MAX_PATH_LENGTH or len(request.path) + len(request.query) > MAX_URL_LENGTH:
        return Refusal(reason.URL_TOO_LARGE)
    if len(request.host) > MAX_HOST_LENGTH:
        return Refusal(reason.HOST_INVALID, "too long")
    if not is_host(request.host):
        return Refusal(reason.HOST_INVALID, request.host, "not a host name")
    fault = path_fault(request.path)
    if fault:
        if not check.snapshot.gateway.routes.lenient or lenient_path_fault(request.path):
            return ambiguous(fault)
        check.path_fault = fault
    return None


def ambiguous(fault: str) -> Refusal:
    """The refusal of a path for a fault, see ``domain.path.path_fault``."""
    return Refusal(reason.PATH_INVALID, fault, "the path has an ambiguous spelling")
