"""What a caller can learn from a denial alone: the reason, where the strings part, whether the clocks agree."""

import io

import pytest
from rich.console import Console

from extauthz.domain.reason import CATALOGUE, SIGNATURE_MISMATCH, TIMESTAMP_EXPIRED
from extauthz.explain.caller import explain_answer
from extauthz.explain.terminal import print_answer
from tests.unit.building import NOW_MS

SIGNED = "GET\n*/*\n\n\n\nX-Ca-Key:k\nX-Tenant:blue\n/a?b=1"


def answer(code, message, **more):
    return {"x-ca-error-code": code, "x-ca-error-message": message, "x-ca-request-id": "1", **more}


def explained(given, signed=SIGNED, sent=None, status=403):
    return explain_answer(status, given, signed, sent or {}, NOW_MS)


def echo(string):
    return answer("A403SG", f"Invalid Signature, Server StringToSign:`{string}`")


def printed(told):
    console = Console(width=150, record=True, file=io.StringIO())
    print_answer(console, told)
    return console.export_text()


def test_the_line_that_a_proxy_changed_is_shown():
    told = explained(echo("GET#text/html####X-Ca-Key:k#X-Tenant:***#/a?b=1"))
    assert SIGNATURE_MISMATCH in told.reasons
    assert [line.same for line in told.strings.lines] == [True, False, *[True] * 6]
    assert "first difference: byte 4" in printed(told)


def test_a_difference_behind_a_line_that_is_not_shown_is_found():
    told = explained(echo("GET#*/*####X-Ca-Key:k#X-Tenant:***#/a?b=2"))
    assert told.strings.line == 8
    assert "path" in printed(told)


def test_where_both_strings_are_the_same_it_is_the_secret():
    told = explained(echo("GET#*/*####X-Ca-Key:k#X-Tenant:***#/a?b=1"))
    assert "it is the AppSecret that differs" in told.notes[0]
    assert "The two strings are the same" in printed(told)


def test_a_clock_that_is_wrong_is_seen_by_the_answers_date():
    given = answer("S403TE", "X-Ca-Timestamp is expired", date="Tue, 14 Nov 2023 20:13:20 GMT")
    reason = next(reason for reason in CATALOGUE.values() if reason is TIMESTAMP_EXPIRED)
    given["x-ca-error-message"] = reason.vpc.message
    told = explained(given, sent={"x-ca-timestamp": str(NOW_MS)})
    assert "2.0 h ahead of the gateway's" in told.notes[0]
    assert "away from the gateway's time" in told.notes[1]


@pytest.mark.parametrize("reason", CATALOGUE.values(), ids=CATALOGUE)
def test_each_answer_of_either_generation_leads_back_to_its_reason(reason):
    for given in (reason.vpc, reason.legacy):
        told = explained(answer(given.code, given.message.replace("{fact}", "x")), status=given.status)
        assert reason in told.reasons


def test_an_answer_from_elsewhere_is_told_as_such():
    assert "no answer of the gateway" in explained({}, status=502).notes[0]
    assert "from behind the gateway" in explained({"x-ca-request-id": "1"}, status=500).notes[0]
