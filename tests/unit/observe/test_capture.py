"""Captured checks: off until an operator with the key asks, bounded, sealed, and equal to what was asked by Envoy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.domain.request import Delivery, Network
from extauthz.explain.explained import Asked, explain, outcome_of
from extauthz.explain.reading import read_request as read_text
from extauthz.observe.capture.folder import KEPT_MS, CaptureFolder
from extauthz.observe.capture.hiding import LARGEST_BODY, without_credentials
from extauthz.observe.capture.recorder import Capturing
from extauthz.wire.asking import Entrance, question
from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.request import read_request
from extauthz.wire.retelling import retell
from tests.mistaken_client import Call, signed_by
from tests.unit.auth.test_vectors import OURS, SDK
from tests.unit.auth.token_making import plugin
from tests.unit.building import APP_CODE, CODE, DIGEST, FORM, JWT, NOW_MS, SECRET, Settings, api, request, snapshot
from tests.unit.decide.test_shadow import shadowed
from tests.unit.explain.test_way import http
from tests.unit.wire.checking import Notes, answer, check_request, demo, servicer
from tests.unit.wire.test_sdk_cases import CASES, message_of

KEY = bytes(range(32))
UNTIL_MS = NOW_MS + 600_000


class Keeping(Notes):
    """A recorder with a capture behind it, as a serving process has one."""

    def __init__(self, folder, now_ms=lambda: NOW_MS):
        super().__init__()
        self.capture = Capturing(folder, now_ms)

    def record(self, checked):
        self.capture.record(checked)
        return super().record(checked)


@pytest.fixture
def folder(tmp_path):
    return CaptureFolder(tmp_path / "captures", KEY)


def denied(number, mistake="accept_added", key=None):
    """The question about a request that is denied."""
    sent = signed_by(Call(nonce=f"nonce-{number}"), mistake)
    raw = sent.raw() if key is None else sent.raw().replace(b"demo-app-key-0001", key)
    return question(read_text(raw), Entrance())


def ask_for(folder, app="demo-app", api_id="", checks=3, until_ms=UNTIL_MS):
    return folder.ask(app, api_id, checks, until_ms, "alice", "ticket 7")


def test_nothing_is_kept_and_nothing_is_told_until_an_operator_asks(folder):
    keeping = Keeping(folder)
    answer(denied(1), servicer(keeping, known=snapshot(api())))
    keeping.capture.look()
    assert not folder.path.exists()
    assert keeping.capture.readiness() == {}
    assert [metric.samples[0].value for metric in keeping.capture.collect()] == [0, 0]


def test_as_many_denied_checks_as_were_asked_for_are_kept_by_all_workers_together(folder):
    workers = [Keeping(folder), Keeping(folder)]
    ask_for(folder)
    serving = [servicer(one, known=snapshot(api())) for one in workers]
    for one in workers:
        one.capture.look()
        assert one.capture.readiness()["capture"]["app"] == "demo-app"
    for number in range(4):
        for one, served in zip(workers, serving, strict=True):
            answer(denied(number), served)
            one.capture.look()
    assert folder.kept() == 3
    assert workers[0].capture.readiness() == {}, "it is off by itself once all are kept"
    ids = {checked.id for one in workers for checked in one.records}
    for kept in folder.captured():
        assert kept.id in ids
        assert (kept.reason, kept.app, kept.api) == ("signature_mismatch", "demo-app", "orders")


def test_an_allowed_check_and_those_of_others_are_not_kept(folder):
    keeping = Keeping(folder)
    ask_for(folder, app="another-app")
    keeping.capture.look()
    serving = servicer(keeping, known=snapshot(api()))
    for payload in (denied(1), denied(2, key=b"nobody-0001"), question(read_text(signed_by(Call()).raw()), Entrance())):
        answer(payload, serving)
    keeping.capture.look()
    assert folder.kept() == 0
    ask_for(folder, app="", api_id="orders")
    keeping.capture.look()
    answer(denied(3), serving)
    answer(question(read_text(signed_by(Call(nonce="4")).raw()), Entrance()), serving)
    keeping.capture.look()
    assert folder.kept() == 1


def test_what_would_be_denied_is_kept_too(folder):
    keeping = Keeping(folder)
    ask_for(folder, app="", api_id="orders")
    keeping.capture.look()
    response = answer(denied(1), servicer(keeping, known=shadowed(snapshot(api()))))
    keeping.capture.look()
    (kept,) = folder.captured()
    assert (response.status.code, kept.reason, kept.app) == (0, "signature_mismatch", "demo-app")


def test_it_ends_when_its_time_is_up_and_what_was_kept_goes_a_day_later(folder):
    clock = [NOW_MS]
    keeping = Keeping(folder, lambda: clock[0])
    serving = servicer(keeping, known=snapshot(api()))
    ask_for(folder)
    keeping.capture.look()
    answer(denied(1), serving)
    keeping.capture.look()
    clock[0] = UNTIL_MS
    answer(denied(2), serving)
    keeping.capture.look()
    assert folder.kept() == 1
    assert keeping.capture.readiness() == {}
    clock[0] = UNTIL_MS + KEPT_MS + 1
    keeping.capture.look()
    assert folder.kept() == 0


def test_a_burst_is_bounded_and_what_is_left_out_is_counted(folder):
    keeping = Keeping(folder)
    ask_for(folder, checks=1000)
    keeping.capture.look()
    serving = servicer(keeping, known=snapshot(api()))
    for number in range(40):
        answer(denied(number), serving)
    keeping.capture.look()
    assert folder.kept() == 32
    _, counter = keeping.capture.collect()
    assert {sample.labels["kept"]: sample.value for sample in counter.samples if sample.labels} == {"yes": 32, "no": 8}


def test_without_the_key_the_files_tell_nothing_and_ask_for_nothing(folder):
    keeping = Keeping(folder)
    ask_for(folder)
    keeping.capture.look()
    answer(denied(1), servicer(keeping, known=snapshot(api())))
    keeping.capture.look()
    assert len(list(folder.captured())) == 1
    stranger = CaptureFolder(folder.path, bytes(32))
    assert stranger.wanted() is None
    assert list(stranger.captured()) == []
    for file in folder.path.iterdir():
        content = file.read_bytes()
        for told in (b"demo-app", b"orders", b"nonce", b"alice", b"signature"):
            assert told not in content
        assert file.stat().st_mode & 0o077 == 0
    assert folder.path.stat().st_mode & 0o077 == 0
    assert SECRET not in repr(folder)
    (folder.path / "wanted").write_bytes(b'{"id": "1", "app": "demo-app"}')
    assert folder.wanted() is None


def test_a_kept_check_cannot_be_moved_into_another_capture(folder):
    keeping = Keeping(folder)
    ask_for(folder)
    keeping.capture.look()
    answer(denied(1), servicer(keeping, known=snapshot(api())))
    keeping.capture.look()
    kept = (folder.path / "check-0000").read_bytes()
    ask_for(folder)
    (folder.path / "check-0000").write_bytes(kept)
    assert list(folder.captured()) == []


@given(st.dictionaries(st.sampled_from(["x-ca-capture", "x-capture", "capture", "x-ca-request-mode", "x-ca-key"]),
                       st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)),
       st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40))  # fmt: skip
def test_no_request_switches_it_on_or_off(headers, target):
    made = []
    capture = Capturing(_Remembering(made), lambda: NOW_MS)

    class Recorder(Notes):
        def record(self, checked):
            capture.record(checked)
            return super().record(checked)

    answer(check_request("GET", "/" + target, headers), servicer(Recorder(), known=demo()[0]))
    capture.look()
    assert made == []
    assert capture.readiness() == {}


class _Remembering:
    """A folder that notes whatever is done to it but being looked at."""

    def __init__(self, made):
        self.made = made

    def wanted(self):
        return None

    def __getattr__(self, name):
        self.made.append(name)
        raise AttributeError(name)


SENT = [
    *[(one["id"], pb.CheckRequest.FromString(question(http(one), Entrance()))) for one in [*SDK, *OURS]],
    *[(name, message_of(case)) for name, case in CASES.items()],
]


@pytest.mark.parametrize(("name", "message"), SENT, ids=[name for name, _ in SENT])
def test_what_is_kept_is_the_request_that_was_asked_about(name, message):
    for change in (lambda _: None, _as_text, _twice, _unreadable):
        change(message)
        arrived = read_request(message, None, Settings())
        again = pb.CheckRequest.FromString(retell(arrived, arrived.headers, arrived.query))
        assert _comparable(read_request(again, None, Settings())) == _comparable(arrived)


def _comparable(one):
    return one._replace(parsed=None, firsts=dict(one.firsts), headers=dict(one.headers))


def _as_text(message):
    message.attributes.context_extensions["extauthz.network"] = "vpc"
    message.attributes.source.address.socket_address.address = "192.0.2.1"


def _twice(message):
    message.attributes.request.http.header_map.headers.add(key="x-twice", raw_value=b"1")
    message.attributes.request.http.header_map.headers.add(key="x-twice", raw_value=b"\xff2,3")


def _unreadable(message):
    for header in message.attributes.request.http.header_map.headers:
        if header.key == ":path":
            header.raw_value = b"/\xff"


def test_a_request_without_raw_headers_or_body_is_kept_as_such():
    message = check_request("POST", "/v1/orders", {"content-length": "5"}, raw=False)
    for size in (0, 5):
        message.attributes.request.http.size = size
        arrived = read_request(message, None, Settings())
        again = pb.CheckRequest.FromString(retell(arrived, arrived.headers, arrived.query))
        assert _comparable(read_request(again, None, Settings())) == _comparable(arrived)
        assert arrived.delivery is Delivery.NOT_DELIVERED


def told(hidden):
    return read_request(pb.CheckRequest.FromString(hidden.question), None, Settings())


def test_credentials_that_explaining_does_not_need_are_left_out():
    both = {"Authorization": "Bearer secret-token", "Cookie": "session=1"}
    signed_call = request("GET", "/v1/orders?appCode=abc", {**both, "X-Ca-Signature": "s"})
    hidden = without_credentials(signed_call, DIGEST, api())
    assert hidden.names == ["authorization", "cookie"]
    assert told(hidden).headers["authorization"] == b"Bearer ***"
    assert told(hidden).query == "appCode=abc", "the query is signed"
    of_code = without_credentials(
        request(headers={**both, "Authorization": f"APPCODE {CODE}"}), APP_CODE, api(APP_CODE)
    )
    assert of_code.names == ["cookie"]
    of_token = without_credentials(request("GET", "/?AppCode=abc&b=1", both), JWT, api(JWT, jwt=plugin()))
    assert of_token.names == ["cookie", "query"]
    assert told(of_token).query == "AppCode=***&b=1"
    unproved = without_credentials(request("GET", "/?appcode=abc", both), "", None)
    assert unproved.names == ["authorization", "cookie", "query"]
    listed = {**both, "X-Ca-Signature-Headers": "Cookie"}
    assert without_credentials(request(headers=listed), DIGEST, api()).names == ["authorization"]


def test_a_large_body_is_left_out():
    hidden = without_credentials(request("POST", body=b"x" * (LARGEST_BODY + 1)), DIGEST, api())
    assert hidden.names == ["body"]
    assert len(hidden.question) < 1000


def test_a_kept_check_is_explained_as_it_was_decided(folder):
    keeping, known = Keeping(folder), snapshot(api())
    ask_for(folder)
    keeping.capture.look()
    answer(denied(1), servicer(keeping, known=known))
    keeping.capture.look()
    (kept,) = folder.captured()
    explained = explain(Asked(kept.question, Network(kept.network)), known, NOW_MS)
    assert explained.way.decision == keeping.records[0].decision
    assert outcome_of(explained.way.decision) == "deny, signature_mismatch"
    assert explained.diagnosis.explanations[0][0].name == "accept_added"


def test_a_form_in_a_kept_check_is_signed_as_it_was(folder):
    keeping, known = Keeping(folder), snapshot(api())
    ask_for(folder)
    keeping.capture.look()
    sent = signed_by(Call("POST", form=[("a", "1"), ("b", "")]), "form_left_out")
    answer(question(read_text(sent.raw()), Entrance()), servicer(keeping, known=known))
    keeping.capture.look()
    (kept,) = folder.captured()
    explained = explain(Asked(kept.question), known, NOW_MS)
    assert explained.diagnosis.explanations[0][0].name == "form_left_out"
    assert FORM
