"""The schema that migrations make is the schema the code believes in, however many processes start at once."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from gateway.store.engine import Database
from gateway.store.migrate import HEAD, MIGRATIONS, migrate, upgrade_with_alembic
from gateway.store.tables import metadata
from tests.store.values import opened

START = """
import asyncio, sys
from gateway.store.engine import Database
from gateway.store.migrate import migrate
async def main():
    database = Database(sys.argv[1])
    await migrate(database)
    await database.close()
    print("alembic" in sys.modules)
asyncio.run(main())
"""


def differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


async def test_an_empty_database_is_given_exactly_the_tables_of_the_code(url: str) -> None:
    async with opened(url) as database, database.read() as transaction:
        assert await transaction.run_sync(differences) == []


async def test_migrations_make_exactly_the_tables_of_the_code(url: str) -> None:
    database = Database(url)
    try:
        async with database.write() as transaction:
            await transaction.run_sync(upgrade_with_alembic)
        await migrate(database)
        async with database.read() as transaction:
            assert await transaction.run_sync(differences) == []
    finally:
        await database.close()


def test_head_is_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


async def test_several_processes_may_migrate_at_once(url: str) -> None:
    databases = [Database(url) for _ in range(4)]
    try:
        await asyncio.gather(*(migrate(database) for database in databases))
        async with databases[0].read() as transaction:
            assert await transaction.run_sync(differences) == []
    finally:
        for database in databases:
            await database.close()


async def test_a_database_of_a_newer_gateway_is_left_alone(url: str) -> None:
    async with opened(url) as database:
        async with database.write() as transaction:
            await transaction.exec_driver_sql("update alembic_version set version_num = '9999'")
        await migrate(database)
        async with database.read() as transaction:
            found = await transaction.exec_driver_sql("select version_num from alembic_version")
            assert found.scalar() == "9999"


def test_neither_a_first_start_nor_a_later_one_loads_alembic(tmp_path: Path) -> None:
    for _ in range(2):
        command = [sys.executable, "-c", START, f"sqlite+aiosqlite:///{tmp_path}/test.db"]
        environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=30, check=True, env=environment
        )
        assert done.stdout == "False\n"


def test_every_migration_has_a_number_of_its_own() -> None:
    """Two of one number would be one to the tool, and the other would never run."""
    numbers = sorted(file.name[:4] for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == HEAD
