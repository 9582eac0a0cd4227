"""Digest: which nonce a proof brings, and for how long it must be remembered."""

import pytest

from extauthz.auth import digest
from extauthz.client import SigningOptions
from extauthz.domain import reason
from tests.unit.building import NOW_MS, api, request, resigned, signed, snapshot

API = api()
KNOWN = snapshot(API)
WINDOW_MS = 900_000


def uses(sent):
    return digest.authenticate(sent, API, KNOWN, NOW_MS).uses


@pytest.mark.parametrize("ahead_ms", [-WINDOW_MS, -1, 0, 1, WINDOW_MS])
def test_a_nonce_is_remembered_until_its_signed_timestamp_leaves_the_window(ahead_ms):
    (use,) = uses(signed(options=SigningOptions(timestamp_ms=NOW_MS + ahead_ms, nonce="n")))
    assert use.expires_ms == NOW_MS + ahead_ms + WINDOW_MS
    assert use.used is reason.NONCE_USED


@pytest.mark.parametrize("stated", [{}, {"x-ca-timestamp": ""}, {"x-ca-timestamp": " "}])
def test_a_nonce_whose_listed_timestamp_was_never_sent_is_remembered_for_two_windows(stated):
    headers = {"x-ca-nonce": "n", "x-ca-signature-headers": "X-Ca-Nonce,X-Ca-Timestamp", **stated}
    (use,) = uses(resigned(request(headers={"x-ca-key": "demo-app-key-0001", **headers})))
    assert use.expires_ms == NOW_MS + 2 * WINDOW_MS


@pytest.mark.parametrize("nonce", ["", " "])
def test_a_proof_without_a_nonce_has_nothing_to_remember(nonce):
    """Where a nonce is not required, two calls without one are two calls."""
    sent = signed(options=SigningOptions(timestamp_ms=NOW_MS, nonce=""))
    assert uses(sent) == ()
    assert uses(sent._replace(headers={**sent.headers, "x-ca-nonce": nonce.encode()})) == ()
