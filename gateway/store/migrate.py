"""Brings the database's schema up to date when the gateway starts.

An empty database is given the tables as the code knows them; only an older one is changed step by step, by
Alembic, which costs a tenth of a second and 7 MB to import and is loaded for that alone. A test holds both ways
equal. Several processes may start at once: one does the work, the others wait for it and then find nothing left to
do.
"""

from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, text

from gateway.store.engine import Database, is_postgres
from gateway.store.tables import metadata

HEAD = "0008"
"""The newest revision this code knows; a test holds it equal to what lies under `migrations/versions`.

Revisions are numbered so that they sort. A database that is ahead of us belongs to a newer gateway beside
us, whose changes are made so that this one still works.
"""
MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x6661_6972  # any number, as long as every gateway on this database takes the same
_version = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
"""Alembic's own table, of one row."""


async def migrate(database: Database) -> None:
    """Upgrade to HEAD in one transaction; does nothing when the schema is there already."""
    async with database.read() as transaction:
        if await transaction.run_sync(_revision) >= HEAD:
            return
    async with database.change() as transaction:
        if is_postgres(transaction):
            await transaction.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
        await transaction.run_sync(_upgrade)


def _revision(connection: Connection) -> str:
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or ""


def _upgrade(connection: Connection) -> None:
    revision = _revision(connection)
    if not revision:
        metadata.create_all(connection)
        _version.create(connection)
        connection.execute(_version.insert().values(version_num=HEAD))
    elif revision < HEAD:  # else another process was faster
        upgrade_with_alembic(connection)


def upgrade_with_alembic(connection: Connection) -> None:
    """Run the migrations that this database has not had, with Alembic; an empty one may begin here too."""
    from alembic import command  # noqa: PLC0415 - see the module's docstring
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)
