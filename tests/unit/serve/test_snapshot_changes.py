"""A state machine over snapshot changes: an allow only ever follows the rules of the snapshot that is in force."""

import itertools
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from extauthz.client.signer import Credentials, OutgoingRequest, SigningOptions, sign
from extauthz.config import load
from extauthz.domain.request import Network
from extauthz.replay.memory import MemoryReplayStore
from extauthz.serve.reload import Reloader
from extauthz.wire.servicer import Servicer
from tests.unit.building import NOW_MS
from tests.unit.wire.checking import Notes, answer, check_request

APIS, APPS, STAGES = ("a", "b"), ("one", "two"), ("RELEASE", "TEST")
RULES = st.fixed_dictionaries(
    {
        # What the API `a` or `b` asks for on each network; None: not callable there.
        "auth": st.fixed_dictionaries(
            {
                api: st.dictionaries(
                    st.sampled_from(["internet", "vpc"]), st.sampled_from(["none", "appcode", "digest"]), min_size=1
                )
                for api in APIS
            }
        ),
        "grants": st.sets(st.tuples(st.sampled_from(APPS), st.sampled_from(APIS), st.sampled_from(STAGES))),
        "disabled": st.sets(st.sampled_from(APPS), max_size=1),
        # Which generation of its secret and code each app has: a rotation makes the old ones worthless.
        "generation": st.fixed_dictionaries({app: st.integers(0, 2) for app in APPS}),
    }
)
BREAKAGES = st.sampled_from(
    [
        lambda config: "apis: [",
        lambda config: yaml.safe_dump({**config, "surprise": 1}),
        lambda config: yaml.safe_dump({**config, "apis": config["apis"] * 2}),
        lambda config: yaml.safe_dump({**config, "grants": [{"app": "nobody", "apis": ["a"]}]}),
        lambda config: yaml.safe_dump({**config, "groups": []}),
        lambda config: "",
        lambda config: "\x00",
        lambda config: None,  # the file is gone
    ]
)


def code(app: str, generation: int) -> str:
    return f"code-of-{app}-{generation}"


def credentials(app: str, generation: int) -> Credentials:
    return Credentials(f"key-of-{app}", f"secret-of-{app}-{generation}")


def configuration(rules: dict[str, Any]) -> dict[str, Any]:
    return {
        "listen": [{"address": "127.0.0.1:9191"}],
        "groups": [{"id": "g", "domains": ["*"]}],
        "apis": [
            {"id": api, "group": "g", "methods": ["GET"], "path": f"/{api}", "stages": list(STAGES), "auth": auth}
            for api, auth in rules["auth"].items()
        ],
        "apps": [
            {
                "id": app,
                "disabled": app in rules["disabled"],
                "keys": [{"app_key": f"key-of-{app}", "app_secret": credentials(app, generation).app_secret}],
                "app_codes": [code(app, generation)],
            }
            for app, generation in rules["generation"].items()
        ],
        "grants": [{"app": app, "apis": [api], "stages": [stage]} for app, api, stage in sorted(rules["grants"])],
    }


class SnapshotChanges(RuleBasedStateMachine):
    """Good and bad reloads, in any order, with checks between them."""

    @initialize(rules=RULES)
    def start(self, rules: dict[str, Any]) -> None:
        self.folder = TemporaryDirectory()
        self.file = Path(self.folder.name) / "extauthz.yaml"
        self.in_force: dict[str, Any] = rules
        self.nonces = itertools.count()
        self.file.write_text(yaml.safe_dump(configuration(rules)))
        config = load(self.file, lambda: NOW_MS)
        self.revision = config.snapshot.revision
        self.servicer = Servicer(config.snapshot, MemoryReplayStore(10_000), Notes(), lambda: NOW_MS)
        self.reloader = Reloader(config, lambda: load(self.file, lambda: NOW_MS), self.put_into_force)

    def put_into_force(self, config: Any) -> None:
        self.servicer.adopt(config.snapshot)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()

    @rule(rules=RULES)
    def reload_well(self, rules: dict[str, Any]) -> None:
        self.file.write_text(yaml.safe_dump(configuration(rules)))
        assert self.reloader.reload()
        self.in_force = rules
        self.revision = self.servicer.current.snapshot.revision

    @rule(rules=RULES, breakage=BREAKAGES)
    def reload_badly(self, rules: dict[str, Any], breakage: Any) -> None:
        before = self.servicer.current
        text = breakage(configuration(rules))
        if text is None:
            self.file.unlink(missing_ok=True)
        else:
            self.file.write_text(text)
        assert not self.reloader.reload()
        assert self.servicer.current is before
        assert self.reloader.status.problems

    @rule(
        api=st.sampled_from(APIS), app=st.sampled_from(APPS), generation=st.integers(0, 2),
        proof=st.sampled_from(["none", "appcode", "digest"]), network=st.sampled_from(Network),
        stage=st.sampled_from(STAGES),
    )  # fmt: skip
    def ask(self, api: str, app: str, generation: int, proof: str, network: Network, stage: str) -> None:
        headers = self.headers(api, app, generation, proof, stage)
        response = answer(check_request(path=f"/{api}", headers=headers), self.servicer, network)
        wanted = self.in_force["auth"][api].get(network.value)
        proven = (
            wanted == proof
            and self.in_force["generation"][app] == generation
            and app not in self.in_force["disabled"]
            and (app, api, stage) in self.in_force["grants"]
        )
        assert (response.status.code == 0) is (wanted == "none" or (wanted is not None and wanted == proof and proven))
        assert response.dynamic_metadata["revision"] == self.revision

    def headers(self, api: str, app: str, generation: int, proof: str, stage: str) -> dict[str, str]:
        asked = {"X-Ca-Stage": stage}
        if proof == "appcode":
            return {**asked, "Authorization": f"APPCODE {code(app, generation)}"}
        if proof == "digest":
            options = SigningOptions(timestamp_ms=NOW_MS, nonce=f"nonce-{next(self.nonces)}", stage=stage)
            return sign(OutgoingRequest("GET", f"/{api}"), credentials(app, generation), options)
        return asked

    @invariant()
    def what_is_served_is_what_the_reloader_holds(self) -> None:
        if hasattr(self, "reloader"):
            # Equal, not the same: what did not change is carried over from the snapshot before.
            assert self.servicer.current.snapshot.revision == self.reloader.config.snapshot.revision


SnapshotChanges.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestSnapshotChanges = pytest.mark.long(SnapshotChanges.TestCase)
