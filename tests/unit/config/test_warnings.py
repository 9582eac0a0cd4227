"""What is no mistake but may hurt is said: plain text to other machines, grants that have ended, short secrets."""

import pytest

from extauthz.config import load
from tests.unit.building import NOW_MS
from tests.unit.config.writing import config


def notes(write, data) -> list[str]:
    return [f"{note.path}: {note.message}" for note in load(write(data), lambda: NOW_MS).notes]


@pytest.mark.parametrize(
    ("endpoint", "told"),
    [
        ("http://collector.example.com:4318/v1/traces", "plain text"),
        ("http://10.1.2.3:4318/v1/traces", "plain text"),
        ("http://localhost:4318", "has no path"),
        ("https://collector.example.com/v1/traces", ""),
        ("http://localhost:4318/v1/traces", ""),
        ("http://[::1]:4318/v1/traces", ""),
        ("http://127.0.0.1:4318/v1/traces", ""),
    ],
)
def test_traces_in_plain_text_to_another_machine_are_warned_of(write, endpoint, told):
    found_notes = [note for note in notes(write, {**config(), "tracing": {"endpoint": endpoint}}) if "tracing" in note]
    assert len(found_notes) == bool(told)
    assert told in "".join(found_notes)


@pytest.mark.parametrize(
    ("redis", "warned"),
    [
        ({"url": "redis://:pass-word-1@nonces.example.com:6379/0"}, True),
        ({"url": "redis://10.1.2.3"}, True),
        ({"url": "redis://nonces", "sentinel": {"nodes": ["10.0.0.1:26379"]}}, True),
        ({"url": "redis://nonces", "sentinel": {"nodes": ["127.0.0.1:26379"]}}, False),
        ({"url": "rediss://nonces.example.com"}, False),
        ({"url": "redis://localhost:6379"}, False),
        ({"url": "unix:///run/redis.sock"}, False),
    ],
)
def test_a_redis_in_plain_text_on_another_machine_is_warned_of(write, redis, warned):
    told = [note for note in notes(write, {**config(), "replay": {"redis": redis}}) if "redis" in note]
    assert len(told) == warned
    assert "pass-word-1" not in "".join(told)


def test_a_grant_that_has_ended_and_a_short_secret_are_warned_of(write):
    data = config(grants={"until": "2020-01-01T00:00:00Z"}, apps={"app_codes": ["k8x2m9qz"]})
    told = "\n".join(notes(write, data))
    assert "'until'): has passed" in told
    assert "'app_codes', 0): has 8 characters" in told
    assert "k8x2m9qz" not in told
    soon = config(grants={"until": "2030-01-01T00:00:00Z"})
    assert not [note for note in notes(write, soon) if "until" in note or "characters" in note]


def test_secrets_in_the_file_and_in_the_environment_are_warned_of_once_each(write, monkeypatch):
    monkeypatch.setenv("SHOP", "b7f0c1d29e834a57")
    write("b7f0c1d29e834a58", "secret.txt")
    keys = [{"app_key": "inline", "app_secret": "b7f0c1d29e834a56"}, {"app_key": "env", "app_secret": {"env": "SHOP"}},
            {"app_key": "file", "app_secret": {"file": "secret.txt"}}]  # fmt: skip
    told = notes(write, config(apps={"keys": keys, "app_codes": ["c7f0c1d29e834a56"]}))
    assert len(told) == 2
    assert "('apps', 0, 'keys', 0, 'app_secret'): this and 1 more stand in this file itself" in told[0]
    assert "('apps', 0, 'keys', 1, 'app_secret'): stands in an environment variable, which never changes" in told[1]
    keys[:2] = []
    assert notes(write, config(apps={"keys": keys})) == []


@pytest.mark.parametrize(
    ("database", "warned"),
    [
        ("sqlite:///registry.db", False),
        ("postgresql://db/extauthz", False),
        ("postgresql://extauthz:pass-word-1@db/extauthz", True),
        ("postgresql://db/extauthz?password=pass-word-1", True),
    ],
)
def test_the_url_of_a_database_is_warned_of_only_if_it_lets_somebody_in(write, database, warned):
    registry = {"database": database, "master_keys": {"file": "master.keys"}}
    write("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "master.keys")
    told = [note for note in notes(write, config(apps={"keys": []}) | {"registry": registry}) if "database" in note]
    assert len(told) == warned


def test_an_api_that_anybody_on_the_internet_may_call_is_warned_of(write):
    told = notes(write, config(apis={"auth": {"internet": {"any_of": ["none", "digest"]}, "vpc": "none"}}))
    assert any("('apis', 0, 'auth', 'internet'): lets anybody on the Internet call" in note for note in told)
    inherited = config(groups={"auth": {"internet": "none"}})
    del inherited["apis"][0]["auth"]
    assert any("lets anybody on the Internet" in note for note in notes(write, inherited))
    assert not any("Internet" in note for note in notes(write, config(apis={"auth": {"vpc": "none"}})))
