"""Alembic migrations: how the schema got to where it is. Run by `gateway.store.migrate`, never by hand."""
