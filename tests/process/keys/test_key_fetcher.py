"""Keys kept fresh in the background, on a clock that the test turns, against a server that counts."""

import asyncio
import base64
import json
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from extauthz.config import load
from extauthz.domain.tokens.key_source import KeySource, RemoteKeys
from extauthz.keys.fetcher import KeyFeed, KeyFetcher
from extauthz.keys.http import FetchResult
from extauthz.replay.memory import MemoryReplayStore
from extauthz.wire.checked import Checked
from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.servicer import Servicer
from tests.process.keys.key_server import KeyServer, Reply
from tests.unit.auth.one_api import EC_KEY, RSA_KEY, fresh, public_half


def publishes(*jwks: dict[str, Any], **headers: str) -> Reply:
    return 200, headers, json.dumps({"keys": [public_half(jwk) for jwk in jwks]}).encode()


class Clock:
    """Monotonic seconds that only a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with KeyServer().running() as started:
        started.replies["/jwks"] = publishes(RSA_KEY)
        yield started


class Fed:
    """A feed, the source that it feeds, and the clock."""

    def __init__(self, server: KeyServer, **settings: Any) -> None:
        limits = {"allow_http": True, "allow_private_addresses": True, "timeout_s": 2}
        address = {"jwks_uri": f"http://127.0.0.1:{server.port}/jwks"}
        self.remote = RemoteKeys(**(address | limits | settings))
        self.clock = Clock()
        self.feed = KeyFeed("p", self.remote, self.clock)
        self.source = KeySource(None, self.remote)
        self.feed.serve(self.source)

    def kids(self) -> list[str | None] | None:
        keys = self.source.current
        return None if keys is None else [key.kid for key in keys.keys]

    async def after(self, seconds: float) -> None:
        self.clock.now_s += seconds
        await self.feed.step()


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_a_set_is_asked_for_again_when_its_lifetime_is_over_and_not_before(server: KeyServer):
    async def test() -> None:
        server.replies["/jwks"] = publishes(RSA_KEY, **{"Cache-Control": "max-age=100"})
        fed = Fed(server)
        await fed.after(0)
        assert (fed.kids(), server.asked["/jwks"]) == (["rsa-1"], 1)
        await fed.after(89)
        assert server.asked["/jwks"] == 1
        server.replies["/jwks"] = publishes(EC_KEY)
        await fed.after(11)
        assert (fed.kids(), server.asked["/jwks"]) == (["ec-1"], 2)

    run(test)


def test_the_same_keys_stay_the_same_set_so_that_a_refresh_forgets_no_verified_token(server: KeyServer):
    async def test() -> None:
        fed = Fed(server, max_lifetime_s=60, max_stale_s=100)
        await fed.after(0)
        first = fed.source.current
        await fed.after(61)
        assert server.asked["/jwks"] == 2
        assert fed.source.current is first
        server.replies["/jwks"] = publishes(RSA_KEY, EC_KEY)
        await fed.after(61)
        assert fed.kids() == ["rsa-1", "ec-1"]
        good = server.replies["/jwks"]
        server.replies["/jwks"] = (500, {}, b"")
        await fed.after(101)
        assert fed.kids() is None
        server.replies["/jwks"] = good
        await fed.after(61)
        assert fed.kids() == ["rsa-1", "ec-1"], "also after the set was given up"

    run(test)


def test_keys_that_are_left_out_of_a_set_are_told_once_and_again_when_they_change(
    server: KeyServer, caplog: pytest.LogCaptureFixture
):
    def told() -> list[str]:
        return [line for line in caplog.messages if "left out" in line]

    async def test() -> None:
        fed = Fed(server, max_lifetime_s=60)
        for jwks in ([RSA_KEY, EC_KEY | {"use": "enc"}], [RSA_KEY, EC_KEY | {"use": "enc", "x5t": "new"}], [RSA_KEY]):
            server.replies["/jwks"] = publishes(*jwks)
            await fed.after(61)
        assert fed.kids() == ["rsa-1"]
        assert told() == ["keys of plug-in p that are left out: key 2 (kid 'ec-1') `use` is not `sig`"]
        server.replies["/jwks"] = publishes(RSA_KEY, EC_KEY | {"use": "enc"})
        await fed.after(61)
        assert len(told()) == 2

    run(test)


def test_however_often_a_refresh_is_asked_for_there_is_one_an_interval(server: KeyServer):
    async def test() -> None:
        fed = Fed(server, refresh_interval_s=30)
        await fed.after(0)
        for _ in range(100):
            fed.source.ask_refresh()
            await fed.after(0.2)  # twenty seconds in all
        assert server.asked["/jwks"] == 2
        await fed.after(11)
        assert server.asked["/jwks"] == 3, "what was asked meanwhile is not forgotten"
        await fed.after(60)
        assert server.asked["/jwks"] == 3, "but nobody has asked since"

    run(test)


def test_a_set_that_cannot_be_renewed_serves_until_it_is_too_old(server: KeyServer):
    async def test() -> None:
        fed = Fed(server, max_lifetime_s=60, max_stale_s=600)
        await fed.after(0)
        server.replies["/jwks"] = (500, {}, b"")
        for _ in range(9):
            await fed.after(61)
            assert fed.kids() == ["rsa-1"]
        await fed.after(61)
        assert fed.kids() is None
        assert fed.feed.had_keys
        server.replies["/jwks"] = publishes(EC_KEY)
        await fed.after(61)
        assert fed.kids() == ["ec-1"]

    run(test)


def test_a_failing_provider_is_asked_less_and_less_often(server: KeyServer):
    async def test() -> None:
        server.replies["/jwks"] = (503, {}, b"")
        fed = Fed(server)
        gaps, last = [], 0.0
        for _ in range(3000):
            before = server.asked["/jwks"]
            await fed.after(0.1)
            if server.asked["/jwks"] > before:
                gaps.append(fed.clock.now_s - last)
                last = fed.clock.now_s
        assert fed.kids() is None
        assert not fed.feed.had_keys
        assert 0.4 < gaps[1] < 1.2
        assert all(gap < 60.2 for gap in gaps[1:])
        assert max(gaps[1:]) > 25, "about a minute apart in the end"
        assert server.asked["/jwks"] < 20

    run(test)


@pytest.mark.parametrize(
    ("reply", "result"),
    [
        ((200, {}, b'{"keys": ['), FetchResult.MALFORMED),
        ((200, {}, b'{"keys": []}'), FetchResult.NO_USABLE_KEY),
        ((200, {}, b" " * 300_000), FetchResult.TOO_LARGE),
        ((404, {}, b""), FetchResult.BAD_STATUS),
        ((301, {"Location": "/other"}, b""), FetchResult.REDIRECT_REFUSED),
    ],
)
def test_a_bad_answer_leaves_the_good_set_where_it_is(server: KeyServer, reply: Reply, result: FetchResult):
    async def test() -> None:
        fed = Fed(server, max_lifetime_s=60)
        await fed.after(0)
        good = fed.source.current
        server.replies["/jwks"] = reply
        await fed.after(61)
        assert fed.feed.last_result is result
        assert fed.source.current is good
        assert fed.feed.results == {FetchResult.OK: 1, result: 1}

    run(test)


def test_discovery_is_asked_once_and_anew_after_a_failure(server: KeyServer):
    async def test() -> None:
        issuer = f"http://127.0.0.1:{server.port}"
        place = "/.well-known/openid-configuration"
        document = {"issuer": issuer, "jwks_uri": f"{issuer}/jwks"}
        server.replies[place] = (200, {}, json.dumps(document).encode())
        fed = Fed(server, jwks_uri=None, oidc_issuer=issuer, max_lifetime_s=60)
        for _ in range(3):
            await fed.after(61)
        assert (server.asked[place], server.asked["/jwks"]) == (1, 3)
        server.replies["/moved"] = publishes(EC_KEY)
        del server.replies["/jwks"]
        server.replies[place] = (200, {}, json.dumps(document | {"jwks_uri": f"{issuer}/moved"}).encode())
        await fed.after(61)
        await fed.after(61)
        assert fed.kids() == ["ec-1"]

    run(test)


def test_a_discovery_document_of_another_issuer_gives_no_keys(server: KeyServer):
    async def test() -> None:
        issuer = f"http://127.0.0.1:{server.port}"
        document = {"issuer": "https://evil.example", "jwks_uri": f"{issuer}/jwks"}
        server.replies["/.well-known/openid-configuration"] = (200, {}, json.dumps(document).encode())
        fed = Fed(server, jwks_uri=None, oidc_issuer=issuer)
        await fed.after(0)
        assert (fed.kids(), fed.feed.last_result) == (None, FetchResult.ISSUER_MISMATCH)
        assert server.asked["/jwks"] == 0

    run(test)


class Nobody:
    """Who wants to know nothing."""

    def record(self, checked: Checked) -> bool:
        """Forget it."""
        return True


def config_file(folder: Path, server: KeyServer, **plugin: Any) -> Path:
    keys = {"jwks_uri": f"http://127.0.0.1:{server.port}/jwks", "allow_http": True, "allow_private_addresses": True}
    config = {
        "listen": [{"address": "127.0.0.1:9191"}],
        "groups": [{"id": "g", "domains": ["*"]}],
        "plugins": [{"id": "p", "type": "jwt", "remote_keys": keys, **plugin}],
        "apis": [{"id": "a", "group": "g", "methods": ["GET"], "path": "/a", "auth": {"internet": "jwt"},
                  "plugins": ["p"]}],
    }  # fmt: skip
    file = folder / "extauthz.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


def check(servicer: Servicer, token: str) -> int:
    """The HTTP status that a caller with this token gets."""
    message = pb.CheckRequest()
    http = message.attributes.request.http
    http.method, http.path, http.host, http.id = "GET", "/a", "a.example.com", "1"
    http.headers["authorization"] = f"Bearer {token}"
    answer = servicer.check(message.SerializeToString())
    assert isinstance(answer, bytes)
    return pb.CheckResponse.FromString(answer).denied_response.status.code or 200


async def until(true: Callable[[], bool]) -> None:
    for _ in range(200):
        if true():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("did not happen in time")


def test_ten_thousand_unknown_key_ids_cause_at_most_two_fetches(server: KeyServer, tmp_path: Path):
    async def test() -> None:
        snapshot = load(config_file(tmp_path, server)).snapshot
        servicer, fetcher = Servicer(snapshot, MemoryReplayStore(10), Nobody()), KeyFetcher()
        fetcher.start(snapshot)
        good, template = fresh(), fresh(kid="XXXXX")
        assert check(servicer, good) == 503, "no key was ever had"
        await until(lambda: check(servicer, good) == 200)
        head = template.split(".")[0]
        rest = template[len(head) :]
        decoded = base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))
        for number in range(10_000):
            named = base64.urlsafe_b64encode(decoded.replace(b"XXXXX", b"%05d" % number)).rstrip(b"=").decode()
            assert check(servicer, named + rest) == 403
            if number % 100 == 0:
                await asyncio.sleep(0.005)  # let the fetcher run
        await asyncio.sleep(0.5)
        assert server.asked["/jwks"] <= 2
        assert check(servicer, good) == 200
        await fetcher.stop()

    run(test)


def test_a_start_waits_for_the_first_answer_of_each_provider_good_or_bad(server: KeyServer, tmp_path: Path):
    async def test() -> None:
        for reply in (server.replies["/jwks"], (500, {}, b"")):
            server.replies["/jwks"] = reply
            fetcher = KeyFetcher()
            fetcher.start(load(config_file(tmp_path, server)).snapshot)
            await fetcher.first_attempts()
            assert fetcher.feeds[0].had_keys is (reply[0] == 200)
            assert fetcher.feeds[0].last_result is not None
            await fetcher.stop()

    run(test)


def test_a_reload_keeps_the_keys_that_are_there(server: KeyServer, tmp_path: Path):
    async def test() -> None:
        first, second = (load(config_file(tmp_path, server, audiences=[name])).snapshot for name in ("a", "b"))
        fetcher = KeyFetcher()
        fetcher.start(first)
        await until(lambda: first.gateway.apis["a"].jwt.key_source.current is not None)
        await asyncio.to_thread(fetcher.follow, second)
        assert second.gateway.apis["a"].jwt.key_source.current is first.gateway.apis["a"].jwt.key_source.current
        third = load(config_file(tmp_path, server, parameter="X-Token")).snapshot
        remote = third.gateway.apis["a"].jwt.key_source.remote
        assert isinstance(remote, RemoteKeys)
        other = replace(remote, refresh_interval_s=7)
        third.gateway.apis["a"].jwt.key_source.remote = other
        fetcher.follow(third)
        assert third.gateway.apis["a"].jwt.key_source.current is None, "other settings, so nothing is taken over"
        await until(lambda: third.gateway.apis["a"].jwt.key_source.current is not None)
        assert len(fetcher.feeds) == 1
        assert server.asked["/jwks"] == 2
        await fetcher.stop()

    run(test)


def test_ready_only_when_every_plug_in_in_use_has_had_keys(server: KeyServer, tmp_path: Path):
    async def test() -> None:
        good = server.replies.pop("/jwks")
        snapshot, fetcher = load(config_file(tmp_path, server)).snapshot, KeyFetcher()
        fetcher.start(snapshot)
        await until(lambda: server.asked["/jwks"] > 0)
        await until(lambda: fetcher.feeds[0].last_result is not None)
        assert fetcher.readiness() == (False, {"p": {"keys": 0, "age_s": None, "last_fetch": "bad_status"}})
        server.replies["/jwks"] = good
        await until(lambda: fetcher.readiness()[0])
        assert fetcher.readiness()[1]["p"]["keys"] == 1
        await fetcher.stop()

    run(test)
