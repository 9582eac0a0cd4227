"""A fifth method, as somebody would add one: a ticket in a header of its own."""

from extauthz.auth.method import Method
from extauthz.domain import reason
from extauthz.domain.decision import Proof, Refusal

HEADER = "x-ticket"
VALID = b"ticket-of-demo-app"


def is_presented(request, api):
    return HEADER in request.headers


def authenticate(request, api, snapshot, now_ms):
    if request.headers[HEADER] != VALID:
        return Refusal(reason.APP_CODE_UNKNOWN)
    return Proof("ticket", app=snapshot.directory.app("demo-app"))


METHOD = Method("ticket", is_presented, authenticate, lambda api: (HEADER,))
