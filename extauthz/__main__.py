"""``python -m extauthz``."""

from extauthz.cli.main import app

app()
