"""Nothing secret in the decision log, the metrics, the process log, the answers, or the repr of anything we hold."""

import io
import logging
import time

import jwt
import pytest
from prometheus_client import generate_latest

from extauthz.client import Credentials, SignedAuth
from extauthz.decide.pipeline import decide
from extauthz.domain import reason
from extauthz.observe.check_metrics import CheckMetrics
from extauthz.observe.decision_log import DecisionLog
from extauthz.replay.memory import MemoryReplayStore
from extauthz.replay.metrics import MemoryStoreMetrics
from extauthz.serve.metrics import StateMetrics, build_registry
from extauthz.wire.generated import ext_authz_pb2 as pb
from tests.unit.building import CODE, FORM, NOW_MS, NOW_S, SECRET, signed
from tests.unit.wire.checking import check_request, demo, servicer

UNKNOWN_CODE = "some-other-app-code-77"
WRONG_SECRET = "some-other-secret-77"
PASSWORD = "hunter2-in-a-form"


class Both:
    """The observers of the real service, side by side."""

    def __init__(self):
        self.output = io.BytesIO()
        self.metrics = CheckMetrics(demo()[0].gateway.apis)
        self._log = DecisionLog(Kept(self.output), 1000)

    def record(self, checked):
        return self.metrics.record(checked) and self._log.record(checked)

    def close(self):
        self._log.close()


class Kept:
    """A file that can still be read after it was closed."""

    def __init__(self, output):
        self._output = output
        self.write = output.write

    def close(self):
        pass


def tokens():
    private = demo()[1]
    key, headers = jwt.PyJWK(private).key, {"kid": private["kid"]}
    good = {"sub": "alice", "iat": NOW_S, "exp": NOW_S + 600}
    return [
        jwt.encode({**good, **change}, key, "RS256", headers) for change in ({}, {"exp": NOW_S - 600}, {"nbf": 9**12})
    ]


def calls():
    """CheckRequests of every method, good and bad, and the secrets that each of them carries."""
    for code in CODE, UNKNOWN_CODE, "short":
        yield (
            check_request(path="/internal/report", headers={"authorization": f"APPCODE {code}"}, network="vpc"),
            [code],
        )
        yield check_request(path=f"/internal/report?AppCode={code}", network="vpc"), [code]
        yield check_request(path=f"/nowhere?appcode={code}"), [code]
    for secret in SECRET, WRONG_SECRET:
        for method, target, headers, body in [
            ("GET", "/v1/orders?a=1", {}, b""),
            ("POST", "/v1/orders", {"Content-Type": FORM}, f"password={PASSWORD}".encode()),
        ]:
            sent = signed(method, target, headers, body, secret=secret)
            signature = sent.headers["x-ca-signature"].decode()
            yield check_request(method, target, sent.headers, body), [secret, signature]
            yield check_request(method, target + "/", sent.headers, body), [secret, signature]
    for text in tokens():
        for shown in text, text[:-8] + "AAAAAAAA":
            secrets = [shown, shown.split(".")[1], shown.split(".")[2]]
            yield check_request(path="/web/profile", headers={"authorization": f"Bearer {shown}"}), secrets
    yield check_request(path="/web/profile", headers={"authorization": "Bearer not-a-token-77"}), ["not-a-token-77"]
    yield check_request(path="/web/profile", headers={"authorization": "Basic dXNlcjpwYXNz"}), ["dXNlcjpwYXNz"]


@pytest.fixture(scope="module")
def played():
    """Everything is sent twice, so that replays and Envoy's repeats are among the decisions."""
    observer, store = Both(), MemoryReplayStore(1000)
    serving, answers, secrets = servicer(observer, store), [], set()
    records = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(f"{record.getMessage()} {vars(record)}")
    logging.getLogger().addHandler(handler)
    try:
        for stream in "1", "1", "2":
            for message, carried in calls():
                message.attributes.request.http.id = stream
                answers.append((serving.check(message.SerializeToString()), carried))
                secrets.update(carried)
        serving.refuse(reason.OVERLOADED)
        serving.check(b"\xff" + CODE.encode())
    finally:
        logging.getLogger().removeHandler(handler)
    state = StateMetrics(lambda: demo()[0], lambda: 0)
    text = generate_latest(build_registry(observer.metrics, state, MemoryStoreMetrics(store))).decode()
    observer.close()
    return observer.output.getvalue().decode(), text, answers, secrets | {SECRET, CODE, PASSWORD}, "\n".join(records)


def test_the_calls_were_of_every_kind(played):
    log, text, _, _, _ = played
    for label in ("allowed", "asked_again", "app_code_unknown", "signature_mismatch", "nonce_used", "jwt_expired",
                  "jwt_invalid", "jwt_malformed", "api_not_found", "overloaded", "request_invalid"):  # fmt: skip
        assert f'"reason":"{label}"' in log
        assert f'reason="{label}"' in text


def test_no_secret_is_in_the_decision_log(played):
    log, _, _, secrets, _ = played
    assert [secret for secret in secrets if secret in log] == []


def test_no_secret_is_in_the_metrics(played):
    _, text, _, secrets, _ = played
    assert [secret for secret in secrets if secret in text] == []


def test_no_secret_is_in_the_process_log(played):
    _, _, _, secrets, records = played
    assert [secret for secret in secrets if secret in records] == []


def test_no_answer_carries_an_app_secret_or_a_code_or_a_token(played):
    _, _, answers, _, _ = played
    for answer, carried in answers:
        shown = str(pb.CheckResponse.FromString(answer))
        assert SECRET not in shown
        assert [secret for secret in carried if secret in shown] == []


def test_no_metric_label_is_chosen_by_a_client(played):
    _, text, _, _, _ = played
    assert "/nowhere" not in text
    assert "77" not in "".join(
        line.partition("}")[0] for line in text.splitlines() if line.startswith("extauthz_checks")
    )


def test_the_repr_of_a_snapshot_and_of_everything_in_it_shows_no_secret():
    snapshot = demo()[0]
    shown = repr(snapshot) + str(snapshot)
    directory = snapshot.directory
    for part in (snapshot.gateway.apis, snapshot.gateway.settings, directory):
        shown += repr(part) + "".join(map(repr, part.values() if hasattr(part, "values") else ()))
    shown += "".join(repr(directory.key_pair(f"demo-app-key-{number:04}".encode())) for number in range(1, 5))
    for api in snapshot.gateway.apis.values():
        shown += repr(api.jwt)
    for number in range(1, 5):
        assert f"demo-app-secret-{number:04}" not in shown
        assert f"demo-app-code-{number:04}" not in shown
    assert "demo-app-key-0001" in shown


def test_what_a_client_holds_shows_no_secret():
    credentials = Credentials("key", SECRET)
    assert SECRET not in repr(credentials) + str(credentials) + repr(SignedAuth(credentials))


def test_a_decision_shows_no_secret():
    snapshot = demo()[0]
    for sent in signed(), signed(secret=WRONG_SECRET):
        shown = repr(decide(sent, snapshot, NOW_MS))
        assert SECRET not in shown
        assert sent.headers["x-ca-signature"].decode() not in shown


def test_a_slow_log_never_holds_up_a_check():
    class Stuck(Kept):
        def __init__(self):
            super().__init__(io.BytesIO())
            self.write = lambda lines: time.sleep(0.2) or len(lines)

    log = DecisionLog(Stuck(), 2)
    serving = servicer(log)
    started = time.perf_counter()
    for _ in range(50):
        serving.check(check_request().SerializeToString())
    assert time.perf_counter() - started < 0.2
    assert log.dropped > 40
    log.close()
