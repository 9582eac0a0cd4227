"""A reload keeps the keys that are there, even while their provider is down."""

import os
import signal

import yaml

from tests.oidc.mesh import Mesh, wait_for


def reload(mesh: Mesh, **changes: object) -> None:
    """Change the first plug-in, tell the service, wait until the new revision decides."""
    before = mesh.readiness()[1]["revision"]
    config = yaml.safe_load(mesh.stack.config_file.read_text())
    config["plugins"][0] |= changes
    mesh.stack.config_file.write_text(yaml.safe_dump(config))
    os.kill(mesh.stack.pid("service"), signal.SIGHUP)
    wait_for(lambda: mesh.readiness()[1]["revision"] != before)


def test_a_reload_while_the_provider_is_down_costs_nobody_a_503(own):
    with own() as mesh:
        token = mesh.provider.token()
        assert mesh.code(token) == (200, "")
        mesh.provider.stop()
        reload(mesh, clock_skew=61)
        assert mesh.code(token) == (200, "")
        assert mesh.readiness()[0] == 200


def test_a_remembered_token_obeys_the_new_rules_at_once(own):
    with own() as mesh:
        token = mesh.provider.token()
        assert mesh.code(token) == (200, "")
        reload(mesh, audiences=["urn:somebody-else"])
        assert mesh.code(token) == (403, "A403JT")
