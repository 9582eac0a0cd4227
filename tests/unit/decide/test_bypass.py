"""A plug-in that lets requests without a token pass lets nothing else pass."""

import pytest

from extauthz.decide.pipeline import decide
from extauthz.decide.upstream import upstream_changes
from extauthz.domain.decision import Allow, Extra
from extauthz.domain.request import Network
from extauthz.domain.tokens.jwt import ClaimHeader
from tests.unit.auth.token_making import bearer, plugin
from tests.unit.building import JWT, NOW_MS, api, request, signed, snapshot

BYPASS = plugin(bypass_empty_token=True, claim_headers=(ClaimHeader(("sub",), "x-sub"),))
SNAPSHOT = snapshot(api(JWT, jwt=BYPASS))


def outcome(sent):
    decision = decide(sent, SNAPSHOT, NOW_MS)
    return decision.label if isinstance(decision, Allow) else decision.reason.label


@pytest.mark.parametrize(
    ("authorization", "ends"),
    [("", "anonymous"), (bearer(), "allowed"), (bearer("other-rsa"), "jwt_invalid"), (bearer(exp=1), "jwt_expired"),
     ("Bearer garbage", "jwt_malformed"), ("garbage", "jwt_malformed")],
)  # fmt: skip
def test_only_the_absence_of_a_token_is_passed_over(authorization, ends):
    assert outcome(request(headers={"authorization": authorization})) == ends


def test_a_signature_is_no_token_and_makes_nobody_an_app():
    decision = decide(signed(), SNAPSHOT, NOW_MS)
    assert isinstance(decision, Allow)
    assert (decision.label, decision.about.app) == ("anonymous", None)


def test_an_anonymous_caller_brings_no_claims_of_its_own():
    decision = decide(request(headers={"X-Sub": "admin"}), SNAPSHOT, NOW_MS)
    assert isinstance(decision, Allow)
    assert decision.extra == Extra()
    changes = upstream_changes(decision.about, Network.INTERNET, "ID", (), SNAPSHOT.gateway.settings)
    assert "x-sub" in changes.remove_headers
