"""``extauthz admin``: serve the admin API of the registry."""

import logging
from pathlib import Path

import typer

from extauthz.cli.reading import ConfigOption, read_config
from extauthz.cli.registry.access import at_the_database
from extauthz.config.sections.listen.certificates import CertificateFault
from extauthz.domain.tokens.key_source import KeySource
from extauthz.keys.fetcher import KeyFeed
from extauthz.transport.listening import listening


def admin(config: Path = ConfigOption) -> None:
    """Serve the admin API of the registry until SIGTERM or Ctrl-C; `extauthz tokens create` makes its first token."""
    try:
        from extauthz.admin import server
        from extauthz.admin.app import build_app
        from extauthz.admin.desk import OpenRegistry
        from extauthz.admin.oidc import ProviderTokens
        from extauthz.admin.tls import AdminCertificates
    except ModuleNotFoundError as error:
        typer.echo(f"the admin API needs {error.name}; install it: pip install 'extauthz[admin]'", err=True)
        raise typer.Exit(1) from None
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # else it tells every URL that is fetched
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells which database it looks at
    section = read_config(config).file.admin
    with at_the_database(config, server.STATEMENT_LIMIT_S) as desk:
        try:
            tls = None if section.tls is None else AdminCertificates(section.tls, config.parent)
            with listening(section.address, "admin.address"):
                opened = server.open_socket(section.address)
        except (CertificateFault, OSError) as error:
            typer.echo(f"cannot start: {error}", err=True)
            raise typer.Exit(1) from None
        background = [] if tls is None else [tls.follow]
        provider = None
        if section.oidc is not None:
            feed = KeyFeed("admin.oidc", section.oidc.remote_keys(config.parent))
            source = KeySource(None, feed.remote)
            feed.serve(source)
            background.append(feed.run)
            provider = ProviderTokens(section.oidc, source).judge
        app = build_app(OpenRegistry(desk.store, desk.vault), provider, background)
        server.run(app, opened, None if tls is None else tls.context)
