"""Limits against attack: what nobody has proved yet must stay cheap, in time, in memory, in the log."""

import hmac
import json
import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

import extauthz
from bench.work import work_of
from bench.worst import FOUND, PLAIN, WORK_LIMIT, Target, worst_work
from extauthz.auth.parameters import decode_escapes
from extauthz.auth.string_to_sign import MAX_LISTED_BYTES, StringToSign, signed_names
from extauthz.decide.pipeline import decide
from extauthz.decide.spelling import MAX_HOST_LENGTH, MAX_PATH_LENGTH, MAX_URL_LENGTH
from extauthz.domain import reason
from extauthz.domain.decision import Deny, Subject
from extauthz.observe.decision_line import LineMaker, entry_of
from extauthz.wire.servicer import MAX_HEADERS
from tests.unit.building import NONE, NOW_MS, api, record_of, request, snapshot
from tests.unit.wire.checking import answer, check_request

PURE = pytest.mark.skipif(extauthz.build() == "compiled", reason="counts lines of Python, of which there are none")


@pytest.mark.long
@PURE
def test_no_request_of_a_stranger_makes_more_work_than_the_limit():
    """A short search, the same every time; `make limits` searches on, by time."""
    found = worst_work(25)
    assert len(found) > 25
    costly = [f"{work / 1e6:.0f} million: {hostile.told()}" for work, hostile in found if work > WORK_LIMIT]
    assert not costly


@pytest.mark.long
@PURE
def test_what_the_limits_closed_stays_below_the_limit():
    """Each of these was once above 20 ms, and counted for 35 to 420 million."""
    attacked = Target()
    work = {name: attacked.work(hostile.message()) for name, hostile in FOUND.items()}
    assert {name: spent for name, spent in work.items() if spent > WORK_LIMIT} == {}
    assert "allowed" not in {attacked.reason(hostile.message()) for hostile in FOUND.values()}
    assert attacked.work(PLAIN.message()) < WORK_LIMIT / 100


@pytest.mark.long
@PURE
@pytest.mark.parametrize(
    "costly",
    [
        lambda text=bytes(4 << 20): hmac.digest(b"k", text, "sha256"),
        lambda: [unquote_to_bytes(b"%41" * 40) for _ in range(1_000)],
        lambda: b",".join([b"x" * 52_000] * 800),
        lambda text=b"%41" * 500_000: re.compile(rb"%(?!41)").search(text),
        lambda: [sum(range(100)) for _ in range(50_000)],
    ],
)
def test_work_is_counted_wherever_it_is_done(costly):
    assert work_of(costly) > WORK_LIMIT / 20


@pytest.mark.parametrize(("extra", "allowed"), [(0, True), (1, False)])
def test_a_url_past_the_limit_is_refused(extra, allowed):
    target = "/" + "a" * 99 + "?" + "b" * (MAX_URL_LENGTH - 100 + extra)
    decision = decide(request(target=target), snapshot(api(NONE)), NOW_MS)
    assert isinstance(decision, Deny) is not allowed
    assert allowed or decision.reason is reason.URL_TOO_LARGE


@pytest.mark.parametrize(("extra", "allowed"), [(0, True), (1, False)])
def test_a_path_past_the_limit_is_refused(extra, allowed):
    decision = decide(request(target="/" + "a" * (MAX_PATH_LENGTH - 1 + extra)), snapshot(api(NONE)), NOW_MS)
    assert isinstance(decision, Deny) is not allowed
    assert allowed or decision.reason is reason.URL_TOO_LARGE


def test_a_host_longer_than_any_name_is_refused():
    decision = decide(request(host="a" * (MAX_HOST_LENGTH + 1)), snapshot(api(NONE)), NOW_MS)
    assert decision.reason is reason.HOST_INVALID


@pytest.mark.parametrize("raw", [True, False])
def test_a_request_with_more_headers_than_the_limit_is_refused(raw):
    few = check_request(headers=[(f"h{number}", "x") for number in range(MAX_HEADERS)], raw=raw)
    many = check_request(headers=[(f"h{number}", "x") for number in range(MAX_HEADERS + 1)], raw=raw)
    assert answer(few).status.code == 0
    assert answer(many).denied_response.status.code == 400


def test_a_list_of_signed_headers_past_the_limit_is_refused():
    assert signed_names(b"a" * MAX_LISTED_BYTES) is not None
    assert signed_names(b"a" * (MAX_LISTED_BYTES + 1)) is None


ENCODED = st.lists(
    st.sampled_from([b"%41", b"%e6", b"%", b"%4", b"%%", b"\\", b"\\x41", b"\\n", b"\n", b"x", b"\xff", b"'"])
)


@given(ENCODED.map(b"".join), st.integers(0, 300))
def test_long_texts_decode_as_short_ones_do(text, padding):
    text += b"." * padding
    assert decode_escapes(text) == unquote_to_bytes(text)


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=3), unique=True, max_size=8))
def test_parameters_sort_as_java_sorts_them(keys):
    encoded = "&".join("".join(f"%{byte:02X}" for byte in key.encode()) for key in keys)
    lines = StringToSign(request(target=f"/?{encoded}"), ()).primary()
    expected = sorted(keys, key=lambda key: key.encode("utf-16-be"))
    assert lines == b"GET\n\n\n\n\n/" + (b"?" if keys else b"") + "&".join(expected).encode()


def test_a_line_of_the_decision_log_is_bounded_and_what_waits_for_it_holds_no_body():
    long = request("M" * 60_000, "/" + "p" * 60_000, host="h" * 60_000, body=b"x" * 1_000_000)
    deny = Deny(reason.API_NOT_FOUND, Subject(), "f" * 60_000, "d" * 60_000)
    entry = entry_of(record_of("id", long, deny, 0.0))
    assert len(repr(entry)) < 16_384
    line = LineMaker(lambda _: 1.0).line(entry)
    assert len(line) <= 4096
    assert json.loads(line)["http"].startswith("MMMM")
