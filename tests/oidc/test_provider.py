"""The provider's good and bad days, while requests flow through the real Envoy."""

import re
import statistics
import time

import pytest

from tests.oidc.mesh import REMOTE, Mesh, service_config, wait_for
from tests.oidc.provider import private_key


def metric(mesh: Mesh, line: str) -> float:
    found = re.search(rf"^{re.escape(line)} (\S+)$", mesh.metrics(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def fetches(mesh: Mesh, result: str, plugin: str = "plain") -> float:
    return metric(mesh, f'extauthz_jwks_fetches_total{{plugin="{plugin}",result="{result}"}}')


def test_a_token_of_the_provider_opens_the_api_on_both_networks(mesh: Mesh):
    token = mesh.provider.token()
    for network in ("internet", "vpc"):
        assert mesh.call(token, network=network).json()["headers"]["x-token-sub"] == "caller"


def test_claims_go_upstream_typed_and_overwrite_the_clients_copies(mesh: Mesh):
    forged = [("X-Token-Roles", "root"), ("X-Token-Sub", "admin"), ("x_token_sub", "admin")]
    seen = mesh.call(mesh.provider.token(), headers=forged).json()["headers"]
    assert (seen["x-token-roles"], seen["x-token-level"], seen["x-token-verified"]) == ("admin,ops", "7", "true")
    assert seen["x-token-sub"] == "caller"
    assert "x_token_sub" not in seen


def test_the_token_is_taken_off_where_the_api_says_so(mesh: Mesh):
    token = mesh.provider.token()
    assert "authorization" not in mesh.call(token, "/web/stripped").json()["headers"]
    assert mesh.call(token).json()["headers"]["authorization"] == f"Bearer {token}"


def test_the_key_set_is_found_by_discovery(mesh: Mesh):
    assert mesh.code(mesh.provider.token(), "/web/discovered") == (200, "")
    assert mesh.provider.counts()["discovery"] >= 1


def test_scopes_claims_and_types_that_the_plug_in_requires(mesh: Mesh):
    assert mesh.code(mesh.provider.token("orders.read orders.write"), "/web/strict") == (200, "")
    assert mesh.code(mesh.provider.token("orders.read"), "/web/strict") == (403, "A403JT")


def test_a_role_inside_an_object_opens_and_goes_upstream_as_keycloak_states_it(mesh: Mesh):
    forged = [("X-Token-Realm-Roles", "root"), ("x_token_realm_roles", "root")]
    answer = mesh.call(mesh.provider.token("orders.read orders.write"), "/web/strict", headers=forged)
    seen = answer.json()["headers"]
    assert seen["x-token-realm-roles"] == "buyer,auditor"
    assert "x_token_realm_roles" not in seen


def test_a_token_for_another_audience_opens_nothing(mesh: Mesh):
    assert mesh.code(mesh.provider.token(resource="urn:invoices")) == (403, "A403JT")


def test_a_token_passes_once_where_replay_is_prevented(mesh: Mesh):
    token = mesh.provider.token()
    assert mesh.code(token, "/web/once") == (200, "")
    assert mesh.code(token, "/web/once") == (403, "S403JU")
    assert mesh.code(mesh.provider.token(), "/web/once") == (200, "")


def test_ready_says_what_is_known_of_each_plug_in(mesh: Mesh):
    status, details = mesh.readiness()
    assert status == 200
    assert set(details["jwt_plugins"]) == {"plain", "discovered", "strict", "once"}
    assert details["jwt_plugins"]["plain"]["keys"] >= 1
    assert details["jwt_plugins"]["plain"]["last_fetch"] == "ok"
    assert metric(mesh, 'extauthz_jwks_keys{plugin="plain"}') >= 1
    assert 0 < metric(mesh, 'extauthz_jwks_age_seconds{plugin="plain"}') < 600


def test_rotated_keys_are_fetched_when_the_first_token_names_one(own):
    with own() as mesh:
        old = mesh.provider.token()
        assert mesh.code(old) == (200, "")
        mesh.provider.rotate("second")
        new = mesh.provider.token()
        wait_for(lambda: mesh.code(new) == (200, ""))
        assert mesh.code(old) == (200, ""), "a key that is still published still counts"
        mesh.provider.rotate("third", keep=0)
        newest = mesh.provider.token()
        wait_for(lambda: mesh.code(newest) == (200, ""))
        assert mesh.code(old) == (403, "A403JK"), "a remembered token dies with its key"


def test_the_last_good_set_serves_while_the_provider_is_down_and_a_rotation_meanwhile_is_caught_up(own):
    with own(config=lambda issuer: service_config(issuer, min_lifetime=1, max_lifetime=1)) as mesh:
        token = mesh.provider.token()
        mesh.provider.stop()
        wait_for(lambda: fetches(mesh, "unreachable") >= 2)
        other = mesh.call(token)
        assert other.status_code == 200
        assert mesh.readiness()[0] == 200, "old keys are keys"
        mesh.provider.keys = [private_key("after-the-fire")]
        mesh.provider.start()
        new = mesh.provider.token()
        wait_for(lambda: mesh.code(new) == (200, ""))
        assert mesh.code(token) == (403, "A403JK")


def test_past_max_stale_callers_get_503_and_no_false_401_or_403(own):
    with own(config=lambda issuer: service_config(issuer, min_lifetime=1, max_lifetime=1, max_stale=2)) as mesh:
        token = mesh.provider.token()
        assert mesh.code(token) == (200, "")
        mesh.provider.stop()
        wait_for(lambda: mesh.code(token) == (503, "X503BZ"))
        assert metric(mesh, 'extauthz_jwks_keys{plugin="plain"}') == 0
        mesh.provider.start()
        wait_for(lambda: mesh.code(token) == (200, ""), 20)


def test_before_any_key_was_had_callers_get_503_and_the_first_fetch_is_retried(own):
    with own(provider_runs=False) as mesh:
        status, details = mesh.readiness()
        assert status == 503
        assert details["jwt_plugins"]["plain"]["keys"] == 0
        assert mesh.code("eyJhbGciOiJSUzI1NiJ9.e30.c2ln") == (503, "X503BZ")
        assert mesh.code(None) == (400, "I400JR"), "no token is no token, keys or not"
        assert mesh.code(None, "/public/ping") == (200, ""), "other APIs are not concerned"
        wait_for(lambda: fetches(mesh, "unreachable") >= 2)
        mesh.provider.start()
        token = mesh.provider.token()
        wait_for(lambda: mesh.code(token) == (200, ""), 20)
        wait_for(lambda: mesh.readiness()[0] == 200, 20)


@pytest.mark.parametrize(
    ("kind", "result"),
    [
        ("slow", "timeout"),
        ("huge", "too_large"),
        ("broken", "malformed"),
        ("many", "too_large"),
        ("empty", "no_usable_key"),
        ("error", "bad_status"),
        ("redirect", "redirect_refused"),
    ],
)
def test_a_bad_key_set_changes_nothing_and_checks_never_wait_for_it(broken: Mesh, kind: str, result: str):
    token = broken.provider.token()
    assert broken.code(token) == (200, "")
    broken.provider.serve_keys(kind, location=f"{broken.provider.issuer}/elsewhere")
    before = fetches(broken, result)
    seconds = []
    while fetches(broken, result) == before:
        started = time.perf_counter()
        assert broken.code(token) == (200, "")
        seconds.append(time.perf_counter() - started)
    assert statistics.median(seconds) < 0.25, "half the time that a fetch may take"
    broken.provider.serve_keys("normal")


def test_cache_control_is_followed_within_bounds(own):
    with own(config=lambda issuer: service_config(issuer, min_lifetime=2, max_lifetime=300)) as mesh:
        mesh.provider.serve_keys("normal", cacheControl="public, max-age=0")
        mesh.provider.rotate("second")
        wait_for(lambda: mesh.code(mesh.provider.token()) == (200, ""))  # an asked-for refresh sees the new header
        started, first = time.monotonic(), fetches(mesh, "ok")
        wait_for(lambda: fetches(mesh, "ok") >= first + 2)
        assert 3 < time.monotonic() - started < 9, "about every two seconds: never faster than min_lifetime"


def test_a_flood_of_unknown_key_ids_does_not_reach_the_provider(own):
    import jwt

    with own(config=lambda issuer: service_config(issuer, refresh_interval=60)) as mesh:
        before = mesh.provider.counts()["jwks"]
        stranger = jwt.PyJWK(private_key("stranger")).key
        for number in range(300):
            token = jwt.encode({"exp": time.time() + 60}, stranger, "RS256", headers={"kid": f"unknown-{number}"})
            assert mesh.code(token) == (403, "A403JK")
        time.sleep(1)
        assert mesh.provider.counts()["jwks"] - before <= 1


def test_private_addresses_are_refused_unless_allowed(own):
    with own(config=lambda issuer: service_config(issuer, allow_private_addresses=False), ready=False) as mesh:
        wait_for(lambda: fetches(mesh, "address_refused") >= 1)
        assert mesh.code(mesh.provider.token()) == (503, "X503BZ")
        assert mesh.provider.counts()["jwks"] == 0
        assert REMOTE["allow_private_addresses"], "which is what every other test here relies on"
