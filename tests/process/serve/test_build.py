"""Which build runs: the pure one, or the one whose path of a check is compiled."""

from typer.testing import CliRunner

import extauthz
from extauthz.cli.main import app
from extauthz.decide import pipeline
from tests.process.running import base_config, free_ports


def test_the_build_is_told_by_the_command_and_by_the_service_and_is_the_one_that_is_tested(serve):
    port, operations = free_ports(2)
    config = base_config([{"address": f"127.0.0.1:{port}"}], operations)
    build = "pure" if str(pipeline.__file__).endswith(".py") else "compiled"
    assert CliRunner().invoke(app, ["--version"]).stdout.strip() == f"{extauthz.__version__} ({build})"
    assert f'extauthz_build_info{{build="{build}"' in serve(config).get("/metrics")[1]
