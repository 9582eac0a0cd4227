"""What the command line loads: the list of commands is there at once."""

import json
import subprocess
import sys

import pytest

HEAVY = ("sqlalchemy", "alembic", "redis", "grpc", "httpx", "fastapi", "cryptography", "yaml")
ASK = """
import json, sys
from extauthz.cli.main import app
app(standalone_mode=False)
print(json.dumps(list(sys.modules)))
"""


def loaded(*arguments: str) -> set[str]:
    """The top-level modules that are loaded once a command has run."""
    result = subprocess.run([sys.executable, "-c", ASK, *arguments], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in json.loads(result.stdout.splitlines()[-1])}


@pytest.mark.parametrize("arguments", [["--help"], ["reasons", "A403SG"]])
def test_what_needs_no_library_loads_none(arguments: list[str]):
    assert loaded(*arguments) & set(HEAVY) == set()


def test_a_configuration_without_redis_is_checked_without_its_client(tmp_path):
    file = tmp_path / "extauthz.yaml"
    file.write_text("listen: [{address: '127.0.0.1:9191'}]\n")
    assert "redis" not in loaded("check-config", str(file))
