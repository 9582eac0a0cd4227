"""Alembic's environment: it gets its connection from ``extauthz.registry.database.migrate``."""

from alembic import context

from extauthz.registry.database.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
