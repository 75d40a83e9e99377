"""Brings the database's schema up to date when the gateway starts.

Alembic costs a tenth of a second to import, so it is loaded only when there is something to do. Several
processes may start at once: one migrates, the others wait for it and then find nothing left to do.
"""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from gateway.store.engine import Database, is_postgres

HEAD = "0007"
"""The newest revision this code knows; a test holds it equal to what lies under `migrations/versions`.

Revisions are numbered so that they sort. A database that is ahead of us belongs to a newer gateway beside
us, whose changes are made so that this one still works.
"""
MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x6661_6972  # any number, as long as every gateway on this database takes the same


async def migrate(database: Database) -> None:
    """Upgrade to HEAD in one transaction; does nothing when the schema is there already."""
    async with database.read() as transaction:
        if await transaction.run_sync(_revision) >= HEAD:
            return
    async with database.write() as transaction:
        if is_postgres(transaction):
            await transaction.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
        await transaction.run_sync(_upgrade)


def _revision(connection: Connection) -> str:
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or ""


def _upgrade(connection: Connection) -> None:
    if _revision(connection) >= HEAD:
        return  # another process was faster
    from alembic import command  # noqa: PLC0415 - see the module's docstring
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)
