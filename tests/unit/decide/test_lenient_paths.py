"""Path parameters with `;`, `%3F` or an escaped escape: where an API asks for them, in a `{name}` and nowhere else."""

import pytest

from extauthz.decide.pipeline import decide
from extauthz.domain.decision import Allow
from tests.unit.building import DIGEST, NONE, NOW_MS, api, request, signed, snapshot

LENIENT = api(DIGEST, id="item", path="/v1/orders/{id}", lenient_path_parameters=True)
FILES = api(NONE, id="files", path="/files/{id}/*", lenient_path_parameters=True)
PLAIN = api(NONE, id="plain", path="/plain/{id}")
ADMIN = api(DIGEST, id="admin", path="/v1/orders/admin")


def outcome(sent):
    decision = decide(sent, snapshot(LENIENT, FILES, PLAIN, ADMIN), NOW_MS)
    return decision.label if isinstance(decision, Allow) else decision.reason.label


@pytest.mark.parametrize("parameter", ["a;b", "a%3Bb", "a%3Fb", "a%2541", "a%253Fb", "%E8%8C%B6;x=1"])
def test_what_the_vendors_sdks_send_passes_where_the_api_asks_for_it(parameter):
    assert outcome(signed(target=f"/v1/orders/{parameter}")) == "allowed"
    assert outcome(request(target=f"/plain/{parameter}")) == "path_invalid"


@pytest.mark.parametrize(
    "path",
    ["/v1;x/orders/a", "/v1/orders;x/a", "/v1/orders%3F/a", "/v1/orders/..;x", "/v1/orders/%2e%2e%3B", "/v1/orders/;x",
     "/v1/orders/a%252Fb", "/v1/orders/a%2Fb", "/v1/orders/a%255Cb", "/v1/orders/a%2500", "/v1/orders/%3Fx",
     "/v1/orders/a%25252525252541", "/files/a/b;c", "/files/a/%3F", "/files;/a/b", "/v1/orders/%252e%252e"],
)  # fmt: skip
def test_no_leniency_lets_a_parameter_hold_a_path_or_reach_another_part_of_the_template(path):
    assert outcome(request(target=path)) in ("path_invalid", "api_not_found")


def test_an_api_without_path_is_never_lenient():
    named = api(NONE, id="named", path=None, lenient_path_parameters=True)
    sent = request(target="/v1/orders/a;b", context={"extauthz.api": "named"})
    decision = decide(sent, snapshot(named, LENIENT), NOW_MS)
    assert decision.reason.label == "path_invalid"


def test_an_escaped_letter_in_a_plain_segment_is_refused_because_envoys_routes_do_not_decode_it():
    open_api, secret = api(NONE, id="ping", path="/public/ping"), api(DIGEST, id="rest", path="/*")
    for path in "/public/%70ing", "/%70ublic/ping", "/public/pin%67":
        decision = decide(request(target=path), snapshot(open_api, secret), NOW_MS)
        assert (decision.reason.label, decision.fact) == ("path_invalid", "needless escape")
    assert isinstance(decide(request(target="/public/ping"), snapshot(open_api, secret), NOW_MS), Allow)
