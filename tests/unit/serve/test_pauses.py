"""What keeps pauses away: nothing waits for the garbage collector, and little is done in one piece."""

import gc
import itertools

import pytest

from extauthz.config import ConfigError, load
from extauthz.config.schema import ConfigFile
from extauthz.config.steps import in_steps
from extauthz.domain import reason
from extauthz.domain.decision import OneTimeUse
from extauthz.pauses import building
from extauthz.replay.memory import Room
from extauthz.serve.changes import changes
from extauthz.wire.servicer import Servicer
from tests.unit.config.writing import GOOD
from tests.unit.wire.checking import Notes, check_request


@pytest.fixture
def no_collection():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def configuration(tmp_path):
    file = tmp_path / "extauthz.yaml"

    def read(text=GOOD):
        file.write_text(text)
        return load(file)

    return read


def test_loading_leaves_nothing_that_only_a_collection_could_free(configuration, no_collection):
    configuration()
    assert gc.collect() == 0


def test_neither_does_a_file_with_mistakes(configuration, no_collection):
    with pytest.raises(ConfigError):
        configuration(GOOD.replace("shop-app", "shop app"))
    gc.collect()  # pytest keeps the traceback
    with pytest.raises(ConfigError):
        configuration(GOOD + "surprise: 1\n")
    assert gc.collect() < 200


def test_a_snapshot_that_was_replaced_leaves_nothing_either(configuration, no_collection):
    room = Room(10, 1)
    servicer = Servicer(configuration().snapshot, room, Notes())
    for identity in ("X-One", "X-Two"):
        servicer.check(check_request("GET", "/open"))
        servicer.check(check_request("GET", "/v1/orders"))
        servicer.adopt(configuration(GOOD + f"identity_headers: {{{identity}: app_id}}\n").snapshot)
    assert gc.collect() == 0


def test_a_collection_that_is_forced_while_a_snapshot_is_built_finds_little_to_look_at():
    young = []
    with building():
        kept = []
        for _ in range(20):
            kept.append([{"number": number} for number in range(5_000)])
            young.append(sum(map(len, map(gc.get_objects, range(3)))))
    assert gc.get_freeze_count() > 100_000
    assert max(young) < 2 * gc.get_threshold()[0] + 1_000
    gc.unfreeze()


def test_after_a_snapshot_was_built_nothing_is_frozen_by_a_collection(no_collection):
    with building():
        pass
    frozen = gc.get_freeze_count()
    gc.collect()
    assert gc.get_freeze_count() == frozen


def test_a_snapshot_that_could_not_be_built_leaves_the_collector_as_it_was():
    callbacks = list(gc.callbacks)
    with pytest.raises(ConfigError), building():
        raise ConfigError([])
    assert gc.callbacks == callbacks


def test_the_collector_looks_at_no_nonce(no_collection):
    room = Room(1000, 1)
    for number in range(1000):
        key = number.to_bytes(16, "big")
        room.record(OneTimeUse(key, 10**12 + number, b"print", reason.NONCE_USED, b"p" + key, "app"), 1)
    assert len(room) == 1000
    assert not any(gc.is_tracked(shard) for shard in room._seen)
    assert not any(gc.is_tracked(packed) for packed in room._by_expiry)


def test_a_value_without_end_is_kept_as_any_other(no_collection):
    room = Room(10, 1)
    use = OneTimeUse(b"key", 10**40, b"", reason.NONCE_USED)
    assert [room.record(use, at_ms).value for at_ms in (1, 10**15)] == ["first", "used"]


ENTRIES = [
    {"app": "shop-app", "apis": ["orders"]},
    {"app": "shop app", "apis": []},
    "nonsense",
    {"apis": ["a"], "x": 1},
]


@pytest.mark.parametrize("kinds", list(itertools.product(range(4), repeat=2)))
def test_the_schema_in_steps_finds_what_it_finds_at_once(kinds, monkeypatch):
    monkeypatch.setattr("extauthz.config.steps._STEP", 3)
    grants = [dict(ENTRIES[0]) for _ in range(4)] + [ENTRIES[kind] for kind in kinds]
    data = {"listen": [{"address": "127.0.0.1:9191"}], "grants": grants}
    file, details = in_steps(data)
    try:
        whole, expected = ConfigFile.model_validate(data), []
    except ValueError as error:
        whole, expected = None, error.errors(include_url=False, include_context=False, include_input=False)
    assert (file, details) == (whole, expected)
    if file is not None:
        assert file.model_fields_set == whole.model_fields_set


def test_a_reload_tells_the_first_names_of_many(configuration):
    apps = "".join(f"  - {{id: app-{number:03}}}\n" for number in range(100, 0, -1))
    before, after = configuration(), configuration(GOOD.replace("apps:\n", f"apps:\n{apps}"))
    assert changes(before, after) == "apps: 100 added (app-001, app-002, app-003, app-004, app-005, ...)"


def test_neither_do_checks_whatever_they_end_in(configuration, no_collection):
    servicer = Servicer(configuration().snapshot, Room(10, 1), Notes())
    asked = [
        b"\xff",
        b"",
        check_request("GET", "/open"),
        check_request("GET", "/nowhere"),
        check_request("GET", "/v1/orders"),
    ]
    asked += [check_request("GET", "/v1/orders", {"x-ca-key": "shop-key-0001", "x-ca-signature": "?"})]
    for _ in range(2):  # the first time answers are built
        gc.collect()
        for payload in asked * 10:
            servicer.check(payload)
        left = gc.collect()
    assert left == 0
