"""Every reason is provoked through a real Envoy where a call can, told as the catalogue says, and counted."""

from collections.abc import Iterator

import httpx
import pytest

from demo.stack import ROOT
from extauthz.domain.reason import CATALOGUE
from tests.envoy.every_reason import CASES, ELSEWHERE, bootstrap, config
from tests.gateway import Gateway, running_gateway


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("reasons"), bootstrap(), config()) as running:
        yield running


def test_every_reason_is_provoked_by_a_test_here_or_elsewhere():
    assert not set(CASES) & set(ELSEWHERE)
    assert {*CASES, *ELSEWHERE} == set(CATALOGUE)
    for label, test in ELSEWHERE.items():
        file, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text(), label


def metrics(stack: Gateway) -> str:
    return httpx.get(f"http://127.0.0.1:{stack.stack.ports.operations}/metrics", trust_env=False).text


@pytest.mark.parametrize("label", CASES)
def test_a_reason_is_told_as_the_catalogue_says_and_has_a_row_in_the_metrics(stack: Gateway, label: str):
    if label == "replay_share_full":  # leaves no room for nonces: those who come later would be told of that
        shadow_lets_pass(stack)
    answer = CASES[label](stack)
    assert stack.reason(answer) == label
    told = CATALOGUE[label].vpc
    assert (answer.status, answer.code) == (told.status, told.code)
    assert answer.json()["request_id"] == answer.request_id
    assert f'reason="{label}"' in metrics(stack)


def shadow_lets_pass(stack: Gateway) -> None:
    """What would be denied reaches the backend with the mark, and without anything that was not proven."""
    forged = [
        ("X-Ca-App-Id", "forged"),
        ("X-Subject", "forged"),
        ("X-Ca-Would-Deny", "forged"),
        ("x_ca_app_id", "forged"),
    ]
    answer = stack.signed("GET", "/watched", secret="another-secret-0001", extra=forged)
    seen = answer.seen_headers
    assert seen["x-ca-would-deny"] == "signature_mismatch"
    assert "forged" not in seen.values()
    assert not {"x-ca-app-id", "x-subject", "x-ca-signature", "x-ca-key"} & set(seen)
    line = stack.decision(answer)
    assert (line["decision"], line["reason"], line["would_deny"]) == ("allow", "would_deny", "signature_mismatch")
    assert stack.access_line(answer)["decision"]["would_deny"] == "signature_mismatch"
    good = stack.signed("GET", "/watched", extra=forged).seen_headers
    assert "x-ca-would-deny" not in good
    assert good["x-ca-app-id"] == "demo-app"
    assert 'extauthz_would_deny_total{api="watched",reason="signature_mismatch"} 1.0' in metrics(stack)
    ready = httpx.get(f"http://127.0.0.1:{stack.stack.ports.operations}/readyz", trust_env=False).json()
    assert [one["id"] for one in ready["shadow"]] == ["watched"]
