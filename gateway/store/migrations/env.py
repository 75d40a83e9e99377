"""Alembic's entry point: runs the revisions on the connection that `migrate` already holds open."""

from alembic import context

from gateway.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
