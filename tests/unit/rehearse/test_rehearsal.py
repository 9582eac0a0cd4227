"""The rehearsal: what a log's decisions become under another configuration, and what it cannot know."""

import gzip
import json
import tracemalloc

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from extauthz.cli.main import app
from extauthz.client import Credentials, OutgoingRequest, SigningOptions, sign
from extauthz.config import load
from extauthz.domain.reason import CATALOGUE
from extauthz.observe.decision_line import LineMaker, entry_of
from extauthz.rehearse import tally as tallying
from extauthz.rehearse.again import Change
from extauthz.rehearse.recorded import Reader
from extauthz.rehearse.rehearsal import rehearse
from extauthz.replay.memory import MemoryReplayStore
from extauthz.wire.servicer import Servicer
from tests.unit.building import NOW_MS, signed
from tests.unit.config.writing import config
from tests.unit.wire.checking import check_request

SECRET = "b7f0c1d29e834a56"
CLOSED = {"apis": {"auth": {"internet": "digest"}, "stages": ["RELEASE", "TEST"]}}


def data(**changes):
    made = config(**{**CLOSED, **changes})
    made["groups"][0]["domains"] = ["*"]
    return made


class Log:
    """Decisions of a real servicer, as the log writes them."""

    def __init__(self, write, tmp_path) -> None:
        self._write = write
        self.file = tmp_path / "decisions.jsonl"
        self._maker = LineMaker(lambda _: 1.0)

    def of(self, made, *calls) -> "Log":
        """Decide calls by a configuration, and write their lines."""
        held = load(self._write(made, "old.yaml"), lambda: NOW_MS).snapshot
        servicer = Servicer(held, MemoryReplayStore(1000), self, lambda: NOW_MS)
        with self.file.open("a") as self._opened:
            for call in calls:
                servicer.check(call.SerializeToString())
        return self

    def record(self, checked) -> bool:
        line = self._maker.line(entry_of(checked._replace(at_s=NOW_MS / 1000)))
        self._opened.write(line)
        return True

    def under(self, made, **options):
        return rehearse([self.file], load(self._write(made, "new.yaml"), lambda: NOW_MS).snapshot, **options)


@pytest.fixture
def log(write, tmp_path):
    return Log(write, tmp_path)


def call(
    path="/users", *, key="shop-key-1", secret=SECRET, stage="", network="internet", method="GET", nonce="n", **http
):
    """A signed call, as Envoy asks about it; without a key it carries nothing."""
    headers = {"X-Ca-Stage": stage} if stage else {}
    if key:
        options = SigningOptions(timestamp_ms=NOW_MS, nonce=nonce)
        headers = sign(OutgoingRequest(method, path, headers, b""), Credentials(key, secret), options)
    return check_request(method, path, headers, network=network, **http)


def changes(tally) -> list[tuple]:
    return [(one.change.value, one.api, one.app, one.checks) for one in tally.groups()]


CALLS = [
    call(),
    call(nonce="m", stage="test"),
    call(key="nobody"),
    call(secret="another-secret-0001"),
    call(key=""),
    call("/nothing"),
    call(network="vpc"),
    call("//users"),
    call(method="POST"),
]


@pytest.mark.parametrize("made", [
    data(), data(grants=[]), data(apis={"auth": {"internet": "none", "vpc": "digest"}}),
    data(grants={"until": "2020-01-01T00:00:00Z"}), data(apps={"disabled": True}),
    data(shadow=[{"api": "user", "until": "2024-01-01T00:00:00Z"}]),
    data(plugins=[{"id": "p", "type": "ip_control", "allow": ["192.0.2.0/24"]}], apis={"plugins": ["p"]}),
])  # fmt: skip
def test_under_the_same_configuration_nothing_changes(log, made):
    found = log.of(made, *CALLS).under(made)
    assert changes(found) == []
    assert (found.lines, found.unreadable) == (len(CALLS), 0)


@pytest.mark.parametrize(
    ("new", "change"),
    [
        (data(grants=[]), "not_granted"),
        (data(grants={"until": "2020-01-01T00:00:00Z"}), "grant_expired"),
        (data(apps={"disabled": True}), "app_disabled"),
        (data(apps={"keys": [{"app_key": "new-key", "app_secret": SECRET}]}), "app_key_unknown"),
        (
            data(apps=[{"id": "other", "keys": [{"app_key": "x", "app_secret": SECRET}]}], grants={"app": "other"}),
            "app_key_unknown",
        ),
        (data(apis={"auth": {"vpc": "digest"}}), "internet_disabled"),
        (data(apis={"auth": {"internet": "appcode"}}), "method_refused"),
        (data(apis={"path": "/people"}), "api_not_found"),
        (data(apis={"methods": ["POST"]}), "api_not_found"),
        (data(apis={"stages": ["TEST"]}, grants={"stages": ["TEST"]}), "stage_invalid"),
        (
            data(plugins=[{"id": "p", "type": "ip_control", "allow": ["10.0.0.0/8"]}], apis={"plugins": ["p"]}),
            "ip_refused",
        ),
    ],
)
def test_who_loses_access_is_told_with_the_reason_and_an_example(log, new, change):
    found = log.of(data(), call()).under(new)
    (group,) = found.groups()
    assert (group.change, group.api, group.app, group.checks) == (Change.LOSES, "user", "shop", 1)
    assert list(group.reasons) == [("allowed", change)]
    assert group.examples[0].http == "GET api.example.com/users"


@pytest.mark.parametrize(
    ("old", "calls"),
    [
        (data(grants=[]), [call()]),
        (data(apps={"disabled": True}), [call()]),
        (data(grants={"until": "2020-01-01T00:00:00Z"}), [call()]),
    ],
)
def test_who_gains_access_is_told(log, old, calls):
    assert changes(log.of(old, *calls).under(data())) == [("gains", "user", "shop", 1)]


def test_an_api_that_becomes_open_lets_in_who_brought_nothing(log):
    new = data(apis={"auth": {"internet": "none"}})
    assert changes(log.of(data(), call(key="")).under(new)) == [("gains", "user", "", 1)]


def test_what_the_end_of_shadow_costs_is_told(log):
    old = data(shadow=[{"api": "user", "until": "2024-01-01T00:00:00Z"}], grants=[])
    found = log.of(old, call(), call(secret="another-secret-0001"), call(key="")).under(data(grants=[]))
    told = {reasons for group in found.groups() for reasons in group.reasons}
    assert {change for change, *_ in changes(found)} == {"loses"}
    assert told == {(why, why) for why in ("not_granted", "signature_mismatch", "credential_missing")}


def test_what_shadow_would_let_pass_is_told(log):
    new = data(shadow=[{"api": "user", "until": "2024-01-01T00:00:00Z"}])
    found = log.of(data(), call(secret="another-secret-0001"), call(key="nobody")).under(new)
    assert [one.change for one in found.groups()] == [Change.GAINS]
    assert {would for group in found.groups() for _, would in group.reasons} == {"would_deny"}


def test_a_proof_that_was_refused_or_never_seen_is_said_to_be_unknown(log):
    found = log.of(data(), call(secret="another-secret-0001"), call(network="vpc")).under(
        data(apis={"auth": {"internet": "digest", "vpc": "digest"}})
    )
    assert changes(found) == []
    assert sum(found.unknown.values()) == 2
    assert {why.split(";")[0].split(",")[0] for why in found.unknown} == {
        "its proof was refused then",
        "it was refused before its proof was looked at",
    }


def test_a_moment_decides_all_lines_or_each_decides_at_its_own(log):
    new = data(grants={"until": "2024-01-01T00:00:00Z"})
    log.of(data(), call())
    assert changes(log.under(new)) == []
    assert changes(log.under(new, at_ms=1_800_000_000_000)) == [("loses", "user", "shop", 1)]


def test_strict_mode_refuses_what_the_log_says_it_would(log):
    relaxed, strict = (data(digest={"strict": word}) for word in ("warn", "on"))
    found = log.of(relaxed, call("/users?a=1&a=2")).under(strict)
    assert [list(group.reasons) for group in found.groups()] == [[("allowed", "strict_refused")]]
    assert changes(log.under(relaxed)) == []


def test_a_line_that_stands_for_ten_counts_ten(log, write, tmp_path):
    log.of(data(), call())
    line = json.loads(log.file.read_text())
    log.file.write_text(json.dumps(line | {"share": 0.1}) + "\n")
    assert changes(log.under(data(grants=[]))) == [("loses", "user", "shop", 10)]


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(
    lambda value: json.dumps({"decision": "allow", "time": value, "request_id": value}).encode()))  # fmt: skip
def test_any_other_line_is_counted_and_costs_nothing(line):
    read = Reader().read(line)
    assert read is None or read.id


def test_no_label_of_the_catalogue_breaks_it(log):
    log.of(data(), call())
    line = json.loads(log.file.read_text())
    log.file.write_text("".join(
        json.dumps(line | {"decision": "deny", "reason": label, "app_id": app, "method": app and "digest"}) + "\n"
        for label in CATALOGUE for app in ("shop", None)
    ))  # fmt: skip
    found = log.under(data())
    assert (found.lines, found.unreadable) == (2 * len(CATALOGUE), 0)
    gained = {was for group in found.groups() for was, _ in group.reasons}
    assert gained == {"not_granted", "grant_expired", "app_disabled", "ip_refused", "identity_invalid"}
    assert sum(found.unknown.values()) >= sum(1 for one in CATALOGUE.values() if one.failure) * 2


def test_memory_does_not_grow_with_the_log_and_groups_are_bounded(log, monkeypatch):
    monkeypatch.setattr(tallying, "MOST_GROUPS", 10)
    log.of(data(), call())
    line = json.loads(log.file.read_text())
    with log.file.open("w") as opened:
        opened.writelines(json.dumps(line | {"app_id": f"app-{number}"}) + "\n" for number in range(3000))
        opened.write("x" * 3_000_000)
    tracemalloc.start()
    found = log.under(data())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.groups()) == 11
    assert sum(group.checks for group in found.groups()) == 3000
    assert found.unreadable > 0
    assert peak < 16 << 20


def run(*arguments, code=0) -> Result:
    done = CliRunner().invoke(app, ["rehearse", *map(str, arguments)], env={"EXTAUTHZ_API": None})
    assert done.exit_code == code, (done.output, done.exception)
    return done


@pytest.mark.parametrize(
    ("most", "code"), [(None, 0), ("1", 0), ("0", 1), ("50%", 0), ("49%", 1), ("many", 2)], ids=str
)
def test_more_changes_than_the_threshold_fail(log, write, most, code):
    log.of(data(grants={"stages": ["RELEASE", "TEST"]}), call(), call(nonce="m", stage="test"))
    new = write(data(grants={"stages": ["TEST"]}), "new.yaml")
    threshold = [] if most is None else ["--fail-above", most]
    done = run("--log", log.file, "--config", new, *threshold, code=code)
    if code < 2:
        assert "1 loses" in done.stdout


def test_it_is_told_as_json_too_and_packed_logs_are_read(log, write, tmp_path):
    log.of(data(), call())
    packed = tmp_path / "decisions.jsonl.1.gz"
    packed.write_bytes(gzip.compress(log.file.read_bytes()))
    new = write(data(grants=[]), "new.yaml")
    told = json.loads(run("--log", log.file, "--log", packed, "--config", new, "--json").stdout)
    assert (told["lines"], told["loses"], told["gains"]) == (2, 2, 0)
    assert told["changes"][0]["reasons"] == [{"was": "allowed", "would_be": "not_granted", "checks": 2}]
    assert "signatures" in told["not_decided_again"]


def test_a_log_that_cannot_be_read_ends_with_2(write, tmp_path):
    run("--log", tmp_path / "nothing", "--config", write(data()), code=2)


def test_apps_of_a_registry_that_is_not_asked_are_unknown_and_not_lost(log, write, tmp_path):
    log.of(data(), call())
    made = data(apps=[{"id": "other", "keys": [{"app_key": "x", "app_secret": SECRET}]}], grants=[])
    made["registry"] = {"database": "sqlite:///registry.db", "unsealed": True}
    told = json.loads(run("--log", log.file, "-c", write(made), "--offline", "--json").stdout)
    assert (told["unknown"], told["loses"]) == (1, 0)
    assert told["unknown_because"] == {"the registry was not asked": 1}


def test_the_log_has_no_secret_that_a_rehearsal_would_need(log):
    log.of(data(), call())
    assert SECRET not in log.file.read_text()
    assert signed().headers["x-ca-signature"].decode() not in log.file.read_text()
    assert yaml.safe_load(log.file.read_text())["credential"] == "key/shop-key-1"
