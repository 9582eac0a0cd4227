"""The shared replay store: mistakes in its section are named before the start, and its URL is never quoted."""

from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from redis.asyncio.connection import parse_url

from extauthz.config import ConfigError, load
from extauthz.config.sections.replay.redis import store_url

SENTINEL = {"nodes": ["10.0.0.1:26379", "[::1]:26379"]}


API = {"id": "a", "group": "g", "methods": ["GET"], "path": "/a", "auth": {"internet": "digest"}}


def write_all(folder: Path, changes: dict[str, Any]) -> Path:
    file = folder / "extauthz.yaml"
    config = {
        "listen": [{"address": "127.0.0.1:9191"}],
        "groups": [{"id": "g", "domains": ["*"]}],
        "replay": {"redis": {"url": "redis://host"}},
    }
    file.write_text(yaml.safe_dump(config | changes))
    return file


def write(folder: Path, **redis: Any) -> Path:
    file = folder / "extauthz.yaml"
    file.write_text(yaml.safe_dump({"listen": [{"address": "127.0.0.1:9191"}], "replay": {"redis": redis}}))
    return file


@pytest.mark.parametrize(
    "redis",
    [
        {"url": "redis://host"},
        {"url": "redis://user:p%40ss@host:6380/3?client_name=extauthz"},
        {"url": "rediss://host:6380/0"},
        {"url": "unix:///run/redis.sock?db=2"},
        {"url": "redis://:password-1@nonces/2", "sentinel": SENTINEL, "wait_replicas": 1},
        {"url": "redis://host:6379", "cluster": True, "cluster_nodes": ["other:6379"]},
    ],
)
def test_what_the_client_understands_is_sound(tmp_path: Path, redis: dict[str, Any]):
    load(write(tmp_path, **redis))


@pytest.mark.parametrize(
    ("redis", "expected"),
    [
        ({"url": "http://host"}, "url: must begin with redis://"),
        ({"url": "redis+sentinel://password-1@host/nonces"}, "url: must begin with redis://"),
        ({"url": "redis://"}, "url: names no host"),
        ({"url": "unix://"}, "url: names no socket"),
        ({"url": "redis://:password-1@host:port/0"}, "url: cannot be understood"),
        ({"url": "redis://:pass/word-1@host/0"}, "url: cannot be understood"),
        ({"url": "redis://:password-1@host/zero"}, "url: has no number of a database"),
        ({"url": "redis://:password-1@host?tiemout=3"}, "url: has an option after `?`"),
        ({"url": "rediss://:password-1@host?ssl_ca_certs=missing.pem"}, "url: names a TLS file"),
        ({"url": "redis://host/1", "cluster": True}, "url: a Cluster has database 0 only"),
        ({"url": "unix:///r.sock", "cluster": True}, "url: a Unix socket leads to one Redis"),
        ({"url": "unix:///r.sock", "sentinel": SENTINEL}, "url: a Unix socket leads to one Redis"),
        ({"url": "redis://:password-1@", "sentinel": SENTINEL}, "write the name of the master there"),
        ({"url": "redis://nonces:6379", "sentinel": SENTINEL}, "Sentinels know the port"),
        ({"url": "redis://host", "sentinel": SENTINEL, "cluster": True}, "sentinel: a Redis is watched by Sentinels"),
        ({"url": "redis://host", "cluster_nodes": ["other:6379"]}, "cluster_nodes: needs `cluster: true`"),
        ({"url": "redis://host", "cluster": True, "wait_replicas": 1}, "wait_replicas: cannot be had in a Cluster"),
        ({"url": "redis://host", "sentinel": {"nodes": []}}, "sentinel.nodes: "),
        ({"url": "redis://host", "sentinel": {"nodes": ["host"]}}, "sentinel.nodes[0]: "),
        ({"url": "redis://host", "sentinel": {"node": ["host:1"]}}, "did you mean `nodes`?"),
        ({"url": "redis://host", "sentinel": SENTINEL | {"password": {"env": "NOT_THERE"}}}, "sentinel.password: "),
        ({"url": {"file": "missing"}}, "url: file missing cannot be read"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_without_the_url(tmp_path: Path, redis: dict[str, Any], expected: str):
    with pytest.raises(ConfigError) as error:
        load(write(tmp_path, **redis))
    assert expected in str(error.value)
    assert "word-1" not in str(error.value)


def test_the_files_that_hold_its_passwords_are_watched(tmp_path: Path):
    for name in ("url", "sentinel"):
        (tmp_path / name).write_text("redis://nonces" if name == "url" else "password-1")
    sentinel = SENTINEL | {"password": {"file": "sentinel"}}
    config = load(write(tmp_path, url={"file": "url"}, sentinel=sentinel))
    assert {tmp_path / "url", tmp_path / "sentinel"} < config.named_files
    assert "password-1" not in repr(config)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"digest": {"window": 3600}}, "digest.window: is longer than `replay.longest_window` (900 s)"),
        ({"apis": [API | {"digest": {"window": 901}}]}, "apis[0].digest.window: is longer than"),
        ({"replay": {"redis": {"url": "redis://host"}, "longest_window": 60}}, "digest.window: is longer than"),
        ({"replay": {"redis": {"url": "redis://host"}, "refuse_signed_before_start": True}}, "is for nonces in memory"),
    ],
)
def test_beside_a_shared_store_no_window_outlives_the_nonces_of_other_replicas(tmp_path, changes, expected):
    with pytest.raises(ConfigError) as error:
        load(write_all(tmp_path, changes))
    assert expected in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"digest": {"window": 3600}, "replay": {"redis": {"url": "redis://host"}, "longest_window": 3600}},
        {"apis": [API | {"digest": {"window": 900}}]},
        {"digest": {"window": 3600}, "replay": {}},
    ],
)
def test_a_window_that_every_replica_remembers_is_sound(tmp_path, changes):
    load(write_all(tmp_path, changes))


def test_the_tls_files_in_its_url_count_from_the_folder_of_the_configuration(tmp_path: Path, monkeypatch):
    folder, elsewhere = tmp_path / "100% ours", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    trustme.CA().cert_pem.write_to_path(str(folder / "redis ca.pem"))
    config = load(write(folder, url="rediss://:password-1@host/2?ssl_ca_certs=redis%20ca.pem&client_name=a"))
    assert config.file.replay.redis is not None
    settings: dict[str, Any] = dict(parse_url(store_url(config.file.replay.redis, folder)))
    assert settings["ssl_ca_certs"] == str(folder / "redis ca.pem")
    assert (settings["client_name"], settings["db"], settings["password"]) == ("a", 2, "password-1")
