"""A token and an app together, or any one of several proofs."""

import uuid

from extauthz.client import Credentials, OutgoingRequest, SigningOptions, sign
from tests.oidc.mesh import Mesh
from tests.oidc.provider import private_key
from tests.oidc.test_attacks import signed

APP = Credentials("app-key-0001", "app-secret-0001")
NO_GRANT = Credentials("app-key-0002", "app-secret-0002")


def signature(path: str, app: Credentials = APP, secret: str | None = None) -> list[tuple[str, str]]:
    credentials = Credentials(app.app_key, secret) if secret else app
    outgoing = OutgoingRequest("GET", path, {"Accept": "application/json"}, b"")
    return list(sign(outgoing, credentials, SigningOptions(nonce=str(uuid.uuid4()))).items())


def test_all_of_asks_for_the_token_and_the_app(mesh: Mesh):
    token = mesh.provider.token()
    answer = mesh.call(token, "/web/both", headers=signature("/web/both"))
    assert answer.status_code == 200
    assert answer.json()["headers"]["x-ca-app-id"] == "app-1"
    assert answer.json()["headers"]["x-token-sub"] == "caller"


def test_one_of_the_two_alone_opens_nothing(mesh: Mesh):
    assert mesh.code(mesh.provider.token(), "/web/both") == (400, "A400MA")
    assert mesh.code(None, "/web/both", headers=signature("/web/both")) == (400, "A400MA")
    assert mesh.code(None, "/web/both") == (400, "A400MA")


def test_each_of_the_two_must_be_good(mesh: Mesh):
    token, forged = mesh.provider.token(), signed(mesh, private_key("first"))
    assert mesh.code(forged, "/web/both", headers=signature("/web/both")) == (403, "A403JT")
    assert mesh.code(token, "/web/both", headers=signature("/web/both", secret="wrong")) == (403, "A403SG")
    assert mesh.code(token, "/web/both", headers=signature("/web/both", NO_GRANT)) == (403, "I403AA")


def test_a_good_pair_passes_once_because_its_nonce_does(mesh: Mesh):
    token, headers = mesh.provider.token(), signature("/web/both")
    assert mesh.code(token, "/web/both", headers=headers) == (200, "")
    assert mesh.code(token, "/web/both", headers=headers) == (403, "S403NU")


def test_any_of_takes_either_but_not_both_at_once(mesh: Mesh):
    token = mesh.provider.token()
    assert mesh.code(token, "/web/either") == (200, "")
    assert mesh.code(None, "/web/either", headers=signature("/web/either")) == (200, "")
    assert mesh.code(token, "/web/either", headers=signature("/web/either")) == (400, "I400HD")


def test_a_bad_proof_is_never_passed_over_for_another(mesh: Mesh):
    forged = signed(mesh, private_key("first"))
    assert mesh.code(forged, "/web/either") == (403, "A403JT")
    assert mesh.code(None, "/web/either", headers=signature("/web/either", NO_GRANT)) == (403, "I403AA")
