"""What a stranger, or a caller with one grant, can make of the metrics: little, and a scrape holds nobody up."""

import gc
import re
import time
from collections import Counter

import pytest
import trustme
import yaml
from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily

from extauthz.config import load
from extauthz.domain import reason
from extauthz.domain.app import Grant
from extauthz.domain.decision import Allow, Deny, Subject
from extauthz.domain.request import Stage
from extauthz.families import AT_A_TIME, Unhurried
from extauthz.observe.check_metrics import OTHER, CheckMetrics
from extauthz.replay.memory import MemoryReplayStore
from extauthz.serve.metrics import build_registry
from extauthz.serve.service import Service
from extauthz.serve.workers.merged_metrics import MergedMetrics, combination
from extauthz.serve.workers.numbers import pieces
from extauthz.wire.servicer import Current, Servicer
from tests.unit.building import APP, APP_CODE, DIGEST, JWT, NONE, NOW_MS, api, record_of, snapshot
from tests.unit.config.writing import config
from tests.unit.wire.checking import check_request

CODED = {"authorization": "APPCODE demo-app-code-0001"}
STRANGE = [
    {},
    {"authorization": "APPCODE nobody-has-this-code"},
    {"x-ca-key": "nobody", "x-ca-signature": "AAAA"},
    {"x-ca-key": "demo-app-key-0001", "x-ca-signature": "AAAA"},
    {"x-ca-key": "demo-app-key-0001"},
    {"x-ca-key": "demo-app-key-0001", "x-ca-signature": "AAAA", "x-ca-timestamp": "yesterday"},
    {"x-ca-key": "demo-app-key-0001", "x-ca-signature": "AAAA", "x-ca-timestamp": "1"},
    {"x-ca-key": "demo-app-key-0001", "x-ca-signature": "AAAA", "x-ca-signature-method": "none"},
    {"x-ca-stage": "nowhere"},
    {"x-ca-stage": "PRE"},
    {"authorization": "Bearer a.b.c"},
]


def many(count, *methods):
    return snapshot(*(api(*methods, id=f"api-{number:05d}", path=f"/{number}") for number in range(count)))


def serving(held):
    told = CheckMetrics(held.gateway.apis)
    return Servicer(held, MemoryReplayStore(10_000), told, lambda: NOW_MS), told


def counted(told):
    """The number of checks by API, decision and reason."""
    found = Counter()
    for family in told.collect():
        if family.name == "extauthz_checks":
            for sample in family.samples:
                found[sample.labels["api"], sample.labels["decision"], sample.labels["reason"]] += sample.value
    return found


def ask(servicer, path, headers=(), **more):
    servicer.check(check_request(path=path, headers=headers, **more).SerializeToString())


@pytest.mark.parametrize("methods", [(DIGEST,), (APP_CODE,), (JWT,), (DIGEST, APP_CODE), ({DIGEST, JWT},)])
def test_whoever_has_proved_nothing_makes_no_series_of_any_api(methods):
    servicer, told = serving(many(60, *methods))
    for number in range(60):
        for network in "internet", "vpc":
            for headers in STRANGE:
                ask(servicer, f"/{number}", headers, network=network)
                ask(servicer, f"/{number}?AppCode=nobody", headers, method="BREW", network=network)
    found = counted(told)
    assert {name for name, _, _ in found} == {""}
    assert len(found) < len(reason.CATALOGUE)
    assert found.total() == 60 * 2 * 2 * len(STRANGE)


def test_what_an_api_allows_and_what_a_proven_caller_may_not_is_told_by_api():
    held = snapshot(
        api(APP_CODE, id="granted", path="/granted"), api(APP_CODE, id="refused", path="/refused"),
        api(NONE, id="open", path="/open"), grants=[Grant(APP.id, "granted", Stage.RELEASE)],
    )  # fmt: skip
    servicer, told = serving(held)
    for path in "/granted", "/refused", "/open":
        ask(servicer, path, CODED if path != "/open" else ())
    assert counted(told) == {
        ("granted", "allow", "allowed"): 1,
        ("refused", "deny", "not_granted"): 1,
        ("open", "allow", "anonymous"): 1,
    }


def test_an_app_that_asks_every_api_takes_no_room_from_those_that_are_called():
    held = many(50, APP_CODE)
    told = CheckMetrics(held.gateway.apis, most_allowed=20, most_denied=10)
    for one in held.gateway.apis.values():
        told.record(record_of("id", None, Deny(reason.NOT_GRANTED, Subject(one, None, "appcode", APP)), 0.0))
    for one in held.gateway.apis.values():
        told.record(record_of("id", None, Allow("allowed", Subject(one, None, "appcode", APP)), 0.0))
    found = counted(told)
    assert found[OTHER, "deny", "not_granted"] == 40
    assert found[OTHER, "allow", "allowed"] == 30
    assert len(found) == 10 + 20 + 2
    assert found.total() == 100, "past the bound checks are counted all the same"


def test_an_api_that_a_reload_took_away_is_forgotten_and_makes_room():
    told = CheckMetrics({"old-1", "old-2"}, most_allowed=2)

    def allowed(name):
        told.record(record_of("id", None, Allow("allowed", Subject(api(id=name)), warning="w", reading="r"), 0.0))

    for name in "old-1", "old-2":
        allowed(name)
    told.follow({"old-2", "new"})
    allowed("new")
    allowed("old-1")  # a check that began before the reload
    assert {name for name, _, _ in counted(told)} == {"old-2", "new", OTHER}
    text = generate_latest(build_registry(told)).decode()
    assert "old-1" not in text
    assert 'extauthz_strict_warnings_total{api="new",warning="w"} 1.0' in text


def test_a_reload_forgets_what_workers_that_are_gone_have_counted_for_lost_apis():
    labels = {"api": "lost"}, {"api": "kept"}, {"api": ""}
    family = {"name": "extauthz_checks", "help": "", "type": "counter", "over_workers": None}
    merged = MergedMetrics({"lost", "kept"})
    for worker in 1, 2:
        merged.add(worker)
        merged.update(worker, [{**family, "samples": [["extauthz_checks_total", one, 1.0] for one in labels]}])
    merged.retire(1)
    merged.follow({"kept"})
    merged.retire(2)
    (shown,) = merged.collect()
    assert {sample.labels["api"]: sample.value for sample in shown.samples} == {"kept": 2.0, "": 2.0}


@pytest.fixture
def ten_thousand_apis():
    told = CheckMetrics({f"api-{number}" for number in range(10_000)})
    for number in range(10_000):
        about = Subject(api(id=f"api-{number}"), None, "digest", APP)
        told.record(record_of("id", None, Allow("allowed", about), 0.001))
    return build_registry(told)


def test_the_numbers_of_ten_thousand_apis_are_read_in_steps_between_which_checks_get_their_turn(
    ten_thousand_apis, monkeypatch
):
    turns = []
    monkeypatch.setattr("extauthz.families.time.sleep", turns.append)
    page = generate_latest(Unhurried(ten_thousand_apis))
    assert page.count(b"extauthz_checks_total{") == 10_000
    assert len(turns) >= 10_000 // AT_A_TIME
    assert min(turns) > 0, "a sleep of no length may give nobody a turn"


def test_a_worker_tells_its_numbers_in_pieces_and_all_of_them(ten_thousand_apis):
    told = list(pieces(ten_thousand_apis))
    assert max(len(piece["samples"]) for piece in told) <= AT_A_TIME
    checks = [one for piece in told if piece["name"] == "extauthz_checks" for one in piece["samples"]]
    assert len({labels["api"] for _, labels, _ in checks}) == 10_000


def test_reading_the_numbers_keeps_none_of_them_in_memory(ten_thousand_apis):
    """What stays would set off collections of garbage, for which every thread waits."""
    (large,) = (one for one in ten_thousand_apis.collect() if one.name == "extauthz_checks")
    samples = iter(large.samples)
    next(samples)
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(5000):
        next(samples)
    assert len(gc.get_objects()) - before < 100


def test_a_gauge_of_which_nobody_says_what_several_workers_make_of_it_is_found(every_registry):
    untold = [
        family.name
        for registry in every_registry
        for family in registry.collect()
        if combination({"name": family.name, "type": family.type, **vars(family)}) is None
    ]
    assert untold == []
    told = {"name": "x", "type": "gauge", **vars(GaugeMetricFamily("x", "Untold.", value=1))}
    assert combination(told) is None, "the check bites"


@pytest.fixture
def every_registry(tmp_path):
    """What workers show, with each of the replay stores, a key set that is fetched, and TLS."""
    issued = trustme.CA().issue_cert("127.0.0.1")
    (tmp_path / "tls.crt").write_bytes(issued.cert_chain_pems[0].bytes())
    (tmp_path / "tls.key").write_bytes(issued.private_key_pem.bytes())
    registries = []
    for name, replay in ("memory", {}), ("shared", {"redis": {"url": "redis://127.0.0.1:1"}}):
        listen = [{"address": "127.0.0.1:1", "tls": {"cert": "tls.crt", "key": "tls.key"}}]
        file = tmp_path / f"{name}.yaml"
        file.write_text(yaml.safe_dump(config(listen=listen) | {"operations": "127.0.0.1:2", "replay": replay}))
        registries.append(Service(load(file)).registry)
    return registries


def test_what_shadow_lets_pass_is_counted_by_reason_and_its_end_is_shown(tmp_path):
    until = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() + 5 * 86_400))
    file = tmp_path / "extauthz.yaml"
    entry = {"api": "user", "methods": ["GET"], "until": until}
    file.write_text(
        yaml.safe_dump(config(shadow=[entry], listen=[{"address": "127.0.0.1:1"}], operations="127.0.0.1:2"))
    )
    service = Service(load(file))
    assert [one["id"] for one in service.readiness()["shadow"]] == ["user"]
    for headers in {}, {"x-ca-key": "shop-key-1", "x-ca-signature": "AAAA"}:
        ask(service.servicer, "/users", headers)
    text = generate_latest(service.registry).decode()
    for cause in ("credential_missing", "signature_mismatch"):
        assert f'extauthz_would_deny_total{{api="user",reason="{cause}"}} 1.0' in text
    allowed = re.findall(r'extauthz_checks_total{api="user",decision="allow",.*reason="would_deny"} 1.0', text)
    assert len(allowed) == 2
    assert 'extauthz_shadow_until_timestamp_seconds{id="user",kind="api",methods="GET"}' in text


def test_metrics_follow_the_apis_before_the_snapshot_is_swapped():
    """Or the first checks of a new API would be counted under no name."""
    first, second = many(1, NONE), many(2, NONE)
    servicer, told = serving(first)
    told.follow(second.gateway.apis)
    servicer.current = Current.of(second)
    ask(servicer, "/1")
    assert ("api-00001", "allow", "anonymous") in counted(told)
