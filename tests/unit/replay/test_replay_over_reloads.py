"""No change of the configuration revives what was used: not a wider window, not another name of an API or plug-in."""

import base64
import itertools
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import jwt
import pytest
import yaml
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from extauthz.client.signer import Credentials, OutgoingRequest, SigningOptions, sign
from extauthz.config import load
from extauthz.replay.memory import MemoryReplayStore
from extauthz.wire.servicer import Servicer
from tests.unit.building import KEY, NOW_MS, SECRET
from tests.unit.wire.checking import Notes, answer, check_request

TOKEN_SECRET = b"a secret of more than thirty-two bytes"
HOSTS = ("one.test", "two.test")
MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS


class Layout(NamedTuple):
    """What a reload may change: names, windows, and the clock skew of tokens."""

    apis: tuple[str, str] = ("a", "b")
    """Ids of the signed API of each host."""
    windows_s: tuple[int, int] = (900, 900)
    plugins: tuple[str, str] = ("p", "q")
    skew_s: int = 60

    def configuration(self) -> dict[str, Any]:
        key = {"kty": "oct", "k": base64.urlsafe_b64encode(TOKEN_SECRET).rstrip(b"=").decode()}
        plugin = {"type": "jwt", "jwk": key, "prevent_jti_replay": True, "clock_skew": self.skew_s}
        api = {"methods": ["GET"]}
        signed = [
            api | {"id": name, "group": host, "path": "/signed", "auth": {"internet": "digest"},
                   "digest": {"window": window_s}}
            for name, host, window_s in zip(self.apis, HOSTS, self.windows_s, strict=True)
        ]  # fmt: skip
        with_token = [
            api | {"id": f"token-{host}", "group": host, "path": "/token", "auth": {"internet": "jwt"},
                   "plugins": [name]}
            for name, host in zip(self.plugins, HOSTS, strict=True)
        ]  # fmt: skip
        return {
            "listen": [{"address": "127.0.0.1:9191"}],
            "groups": [{"id": host, "domains": [host]} for host in HOSTS],
            "plugins": [plugin | {"id": name} for name in self.plugins],
            "apis": signed + with_token,
            "apps": [{"id": "app", "keys": [{"app_key": KEY, "app_secret": SECRET}]}],
            "grants": [{"app": "app", "apis": list(self.apis)}],
        }


class Serving:
    """A servicer whose configuration and clock are changed at will."""

    def __init__(self, layout: Layout) -> None:
        self._folder = TemporaryDirectory()
        self.now_ms = NOW_MS
        self._numbers = itertools.count()
        self._servicer = Servicer(self._load(layout), MemoryReplayStore(10_000), Notes(), lambda: self.now_ms)

    def _load(self, layout: Layout) -> Any:
        text = yaml.safe_dump(layout.configuration())
        return load(Path(self._folder.name) / "extauthz.yaml", lambda: self.now_ms, ((text,),)).snapshot

    def reload(self, layout: Layout) -> None:
        self._servicer.adopt(self._load(layout))

    def close(self) -> None:
        self._folder.cleanup()

    def signed(self, ahead_ms: int = 0) -> dict[str, str]:
        """Headers of a request with a nonce of its own, by a client whose clock is ahead."""
        options = SigningOptions(timestamp_ms=self.now_ms + ahead_ms, nonce=f"nonce-{next(self._numbers)}")
        return sign(OutgoingRequest("GET", "/signed"), Credentials(KEY, SECRET), options)

    def token(self, lives_s: int) -> dict[str, str]:
        now_s = self.now_ms // 1000
        claims = {"exp": now_s + lives_s, "iat": now_s, "jti": f"jti-{next(self._numbers)}"}
        return {"Authorization": "Bearer " + jwt.encode(claims, TOKEN_SECRET, "HS256")}

    def passes(self, headers: dict[str, str], host: str = HOSTS[0]) -> bool:
        path = "/token" if "Authorization" in headers else "/signed"
        stream = f"stream-{next(self._numbers)}"
        response = answer(check_request(path=path, headers=headers, host=host, id=stream), self._servicer)
        return bool(response.status.code == 0)


@pytest.fixture
def serving():
    made = Serving(Layout())
    yield made
    made.close()


@pytest.mark.parametrize("ahead_ms", [-899_000, 0, 899_000])
def test_a_reload_that_widens_the_window_revives_no_used_nonce(serving, ahead_ms):
    overheard = serving.signed(ahead_ms)
    assert serving.passes(overheard)
    serving.reload(Layout(windows_s=(3600, 3600)))
    for minute in range(80):
        serving.now_ms = NOW_MS + minute * MINUTE_MS
        assert not serving.passes(overheard), f"after {minute} minutes"
        serving.passes(serving.signed())  # makes the store forget what has expired


def test_a_wider_window_holds_in_full_for_what_is_signed_once_the_old_one_has_passed(serving):
    serving.reload(Layout(windows_s=(3600, 3600)))
    serving.now_ms += 20 * MINUTE_MS
    slow = serving.signed()
    serving.now_ms += 59 * MINUTE_MS
    assert serving.passes(slow)
    assert not serving.passes(slow)


@pytest.mark.parametrize("ahead_ms", [-899_000, 0, 899_000])
def test_a_reload_that_widens_the_window_refuses_nobody_who_passed_before(serving, ahead_ms):
    serving.reload(Layout(windows_s=(3600, 3600)))
    for _ in range(40):
        assert serving.passes(serving.signed(ahead_ms))
        serving.now_ms += MINUTE_MS


def test_a_window_narrowed_and_widened_again_revives_no_used_nonce(serving):
    serving.reload(Layout(windows_s=(7200, 7200)))
    serving.now_ms += 30 * MINUTE_MS
    serving.reload(Layout(windows_s=(60, 60)))
    overheard = serving.signed()
    assert serving.passes(overheard)
    serving.reload(Layout(windows_s=(7200, 7200)))
    for _ in range(150):
        serving.now_ms += MINUTE_MS
        assert not serving.passes(overheard)
        serving.passes(serving.signed())


def test_a_nonce_used_under_a_narrow_window_is_used_for_an_api_with_a_wide_one(serving):
    serving.reload(Layout(windows_s=(60, 3600)))
    serving.now_ms += 20 * MINUTE_MS
    overheard = serving.signed()
    assert serving.passes(overheard, HOSTS[0])
    for _ in range(70):
        serving.now_ms += MINUTE_MS
        assert not serving.passes(overheard, HOSTS[1])
        serving.passes(serving.signed())


def test_a_renamed_api_revives_no_used_nonce(serving):
    overheard = serving.signed()
    assert serving.passes(overheard)
    serving.reload(Layout(apis=("renamed", "b")))
    assert not serving.passes(overheard)
    assert serving.passes(serving.signed())


def test_a_signed_request_that_passed_does_not_pass_again_under_another_host(serving):
    """The scheme signs no host, so it is the same request at another API."""
    overheard = serving.signed()
    assert serving.passes(overheard, HOSTS[0])
    assert not serving.passes(overheard, HOSTS[1])


def test_one_nonce_for_two_requests_to_two_apis_passes_at_both(serving):
    """Vendor rule: a nonce is unique per AppKey and API, so a client may count for each API."""
    credentials = Credentials(KEY, SECRET)
    one, two = (
        sign(OutgoingRequest("GET", f"/signed?n={n}"), credentials, SigningOptions(timestamp_ms=NOW_MS, nonce="same"))
        for n in (1, 2)
    )
    for host, headers, number in ((HOSTS[0], one, 1), (HOSTS[1], two, 2)):
        sent = check_request(path=f"/signed?n={number}", headers=headers, host=host, id=host)
        assert answer(sent, serving._servicer).status.code == 0
        assert answer(check_request(path=f"/signed?n={number}", headers=headers, host=host, id="other"),
                      serving._servicer).status.code != 0  # fmt: skip


def test_a_renamed_plug_in_revives_no_used_jti(serving):
    overheard = serving.token(3600)
    assert serving.passes(overheard)
    serving.reload(Layout(plugins=("renamed", "q")))
    assert not serving.passes(overheard)


def test_a_wider_clock_skew_revives_no_used_jti(serving):
    overheard = serving.token(300)
    assert serving.passes(overheard)
    serving.reload(Layout(skew_s=600))
    for _ in range(20):
        serving.now_ms += MINUTE_MS
        assert not serving.passes(overheard)
        serving.passes(serving.token(60))


LAYOUTS = st.builds(
    Layout,
    apis=st.permutations(["a", "b", "c"]).map(lambda names: tuple(names[:2])),
    windows_s=st.tuples(*[st.sampled_from([1, 60, 900, 901, 3600, 7200, 86_400])] * 2),
    plugins=st.permutations(["p", "q", "r"]).map(lambda names: tuple(names[:2])),
    skew_s=st.sampled_from([0, 60, 599, 600]),
)


class Reloads(RuleBasedStateMachine):
    """Requests, overheard and sent again by anybody, between reloads of every kind."""

    @initialize(layout=LAYOUTS)
    def start(self, layout: Layout) -> None:
        self.serving = Serving(layout)
        self.overheard: list[dict[str, str]] = []
        self.passed: set[int] = set()

    def teardown(self) -> None:
        if hasattr(self, "serving"):
            self.serving.close()

    @rule(layout=LAYOUTS)
    def reload(self, layout: Layout) -> None:
        self.serving.reload(layout)

    @rule(wait_ms=st.integers(0, 20 * MINUTE_MS) | st.integers(0, DAY_MS))
    def wait(self, wait_ms: int) -> None:
        self.serving.now_ms += wait_ms

    @rule(ahead_ms=st.sampled_from([0, -1]) | st.integers(-DAY_MS, DAY_MS) | st.integers(-960_000, 960_000))
    def sign(self, ahead_ms: int) -> None:
        self.overheard.append(self.serving.signed(ahead_ms))

    @rule(lives_s=st.integers(1, 7200))
    def issue(self, lives_s: int) -> None:
        self.overheard.append(self.serving.token(lives_s))

    @rule(host=st.sampled_from(HOSTS))
    def send_all(self, host: str) -> None:
        for number, headers in enumerate(self.overheard):
            if self.serving.passes(headers, host):
                assert number not in self.passed, "the same signed request passed twice"
                self.passed.add(number)


Reloads.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestReloads = pytest.mark.long(Reloads.TestCase)
