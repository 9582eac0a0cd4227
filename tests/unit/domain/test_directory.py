"""The directory: found by key, changed one entry at a time, seen whole or not at all."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.domain.app import App, Grant, KeyPair
from extauthz.domain.request import Stage
from extauthz.domain.snapshot.directory import EMPTY, Changes, Directory, DirectoryBuilder, Taken, build_directory
from extauthz.domain.snapshot.sharded import GrowingMap, ShardedMap

RELEASE = Stage.RELEASE
GRANT = Grant("shop", "orders", RELEASE)


def small() -> Directory:
    return build_directory("1", [App("shop")], [KeyPair("shop", "key-1", b"secret")], [(b"hash", "shop")], [GRANT])


def test_every_entry_is_found_by_its_key():
    directory = small()
    assert directory.app("shop") is not None
    assert directory.key_pair(b"key-1").app_id == "shop"
    assert directory.app_of_code(b"hash").id == "shop"
    assert directory.grant("shop", "orders", RELEASE) is GRANT
    assert directory.grant("shop", "orders", Stage.TEST) is None
    assert directory.sizes() == {"apps": 1, "keys": 1, "codes": 1, "grants": 1}


def test_an_empty_directory_knows_nobody():
    assert (EMPTY.app("shop"), EMPTY.key_pair(b"key-1"), EMPTY.app_of_code(b"hash")) == (None, None, None)


def test_a_code_whose_app_is_gone_belongs_to_nobody():
    assert small().apply(Changes(apps=(("shop", None),)), "2").app_of_code(b"hash") is None


def test_a_change_is_another_directory_and_the_one_before_stays_as_it_was():
    before = small()
    other = Grant("shop", "orders", Stage.TEST)
    after = before.apply(
        Changes(
            apps=(("shop", App("shop", disabled=True)),),
            key_pairs=((b"key-1", None), (b"key-2", KeyPair("shop", "key-2", b"new"))),
            grants=((("shop", "orders", RELEASE), None), (("shop", "orders", Stage.TEST), other)),
        ),
        "2",
    )
    assert (before.revision, after.revision) == ("1", "2")
    assert not before.app("shop").disabled
    assert before.key_pair(b"key-1") is not None
    assert before.grant("shop", "orders", RELEASE) is GRANT
    assert after.app("shop").disabled
    assert after.key_pair(b"key-1") is None
    assert after.key_pair(b"key-2").app_id == "shop"
    assert after.grant("shop", "orders", RELEASE) is None
    assert after.grant("shop", "orders", Stage.TEST) is other
    assert after.sizes()["grants"] == 1


@pytest.mark.long
def test_one_grant_among_a_million_is_changed_in_a_fraction_of_what_building_takes():
    entries = {("app", str(number), RELEASE): number for number in range(1_000_000)}
    started = time.process_time()
    large = ShardedMap(entries)
    built = time.process_time() - started
    started = time.process_time()
    for number in range(100):
        large = large.changed([(("app", str(number), RELEASE), -1)])
    assert (time.process_time() - started) / 100 < built / 100
    assert large.get(("app", "99", RELEASE)) == -1
    assert large.get(("app", "100", RELEASE)) == 100


@given(st.dictionaries(st.text(max_size=3), st.integers()), st.text(max_size=3))
def test_a_map_that_grows_has_what_a_dictionary_has(entries, other):
    grown = GrowingMap(entries.items())
    assert set(grown) == set(entries)
    assert len(grown) == len(entries)
    assert (grown.get(other), other in grown) == (entries.get(other), other in entries)
    assert grown.setdefault(other, -1) == entries.setdefault(other, -1)
    assert {key: grown[key] for key in grown} == entries
    assert sum(map(len, grown.parts())) == len(entries)


@pytest.mark.parametrize("count", [0, 1, 1024, 1025, 5000])
def test_what_has_grown_is_taken_over_whole(count):
    entries = {str(number): number for number in range(count)}
    taken = ShardedMap.taking(GrowingMap(entries.items()))
    assert dict(taken.items()) == entries
    assert len(taken) == count
    assert all(taken.get(key) == value for key, value in entries.items())
    changed = taken.changed([("0", None), ("more", 1)])
    assert (changed.get("0"), changed.get("more"), len(changed)) == (None, 1, count + 1 - ("0" in entries))


changes = st.lists(st.tuples(st.integers(0, 40), st.one_of(st.none(), st.integers())), max_size=30)


@given(st.dictionaries(st.integers(0, 40), st.integers()), st.lists(changes, max_size=5), st.sampled_from([0, 5_000]))
def test_a_sharded_map_holds_what_a_dict_would(entries, rounds, expected):
    mapping, plain = ShardedMap(entries, expected), dict(entries)
    for made in rounds:
        before = dict(mapping.items())
        earlier, mapping = mapping, mapping.changed(made)
        assert dict(earlier.items()) == before
        for key, value in made:
            plain.pop(key, None)
            if value is not None:
                plain[key] = value
        assert dict(mapping.items()) == plain
        assert len(mapping) == len(plain)
        assert all(mapping.get(key) == plain.get(key) for key in range(41))


def test_a_map_that_grows_by_changes_gets_more_shards():
    mapping: ShardedMap[int, int] = ShardedMap({})
    for start in range(0, 20_000, 500):
        mapping = mapping.changed([(number, number) for number in range(start, start + 500)])
    assert len(mapping) == 20_000
    assert all(mapping.get(number) == number for number in range(20_000))


@pytest.mark.parametrize(
    ("add", "told"),
    [
        (lambda builder, origin: builder.add_app(App("shop"), origin), "app id `shop` is already used (line 1)"),
        (
            lambda builder, origin: builder.add_key_pair(KeyPair("other", "key-1", b""), origin),
            "AppKey `key-1` already belongs to app `other` (line 1)",
        ),
        (
            lambda builder, origin: builder.add_app_code(b"hash", "shop", origin),
            "this AppCode already belongs to app `shop` (line 1)",
        ),
        (
            lambda builder, origin: builder.add_grant(GRANT, origin),
            "app `shop` is already granted API `orders` in stage RELEASE (line 1)",
        ),
    ],
)
def test_what_only_one_may_have_is_refused_twice_and_the_first_origin_is_named(add, told):
    builder = DirectoryBuilder()
    add(builder, "line 1")
    with pytest.raises(Taken) as refused:
        add(builder, "the registry")
    assert str(refused.value) == told


def test_an_entry_that_comes_twice_from_one_origin_is_refused_as_well():
    builder, origin = DirectoryBuilder(), "line 1"
    builder.add_grant(GRANT, origin)
    with pytest.raises(Taken, match="already granted"):
        builder.add_grant(GRANT, origin)


def test_an_app_key_whose_secret_is_not_known_is_still_taken():
    builder = DirectoryBuilder()
    builder.claim_app_key("key-1", "shop", "line 1")
    with pytest.raises(Taken, match=r"AppKey `key-1` already belongs to app `shop` \(line 1\)"):
        builder.add_key_pair(KeyPair("other", "key-1", b"secret"), "line 9")
    assert builder.build("1").key_pair(b"key-1") is None
