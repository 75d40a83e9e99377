"""Opens the database and hands out transactions; nothing here knows what the tables mean.

Two engines, one behaviour: SQLite (one file, WAL, every commit on disk before it returns) and PostgreSQL.
SQLite has one writer at a time, so a writing transaction takes the write lock at its beginning
(`BEGIN IMMEDIATE`) and waits for it, instead of failing half way; reads go on beside it.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from functools import cache
from typing import Any, TypeAlias

from sqlalchemy import Connection, Dialect, Insert, Table, TextClause, event, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as QueueTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from gateway.errors import Unavailable

log = logging.getLogger("fairlead.store")

Transaction: TypeAlias = AsyncConnection
"""One open transaction: committed when its `async with` block ends, rolled back when it raises."""

_Turn: TypeAlias = AbstractAsyncContextManager[None]

BUSY_SECONDS = 10
"""How long a SQLite writer waits for the write lock."""
ANSWER_SECONDS = 10.0
"""How long a transaction on PostgreSQL may take, the wait for a connection included. A server that hangs says
nothing by itself; SQLite is in the process and cannot."""
START_TRIES = 30
"""How often a start asks for the database, a second apart, before it is given up."""
_LAST_SECONDS = 1.0
"""How long the driver may try to call a query off before its connection is given up."""
_POOL = 8
_AWAY = (OperationalError, InterfaceError)
_PRAGMAS = (f"busy_timeout={BUSY_SECONDS * 1000}", "synchronous=FULL", "foreign_keys=ON")


class Database:
    """One database. `url` is `sqlite+aiosqlite:///path` or `postgresql+psycopg://user@host/name`."""

    def __init__(self, url: str) -> None:
        sqlite_file = make_url(url).get_backend_name() == "sqlite"
        self.engine = create_async_engine(
            url,
            pool_size=_POOL,
            max_overflow=_POOL,
            pool_pre_ping=not sqlite_file,
            hide_parameters=True,  # error messages go to logs, and parameters hold prompts
        )
        if sqlite_file:
            event.listen(self.engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self.engine.sync_engine, "begin", _begin_sqlite)
        self._writing = self.engine.execution_options(fairlead_write=True)
        # SQLite waits for the write lock by sleeping and trying again; inside one process we queue instead.
        self._turn = asyncio.Lock() if sqlite_file else nullcontext()
        self._bounded = not sqlite_file

    def read(self) -> AbstractAsyncContextManager[Transaction]:
        """A transaction that only reads. Raises Unavailable when the database does not answer in time."""
        return _transaction(self.engine, nullcontext(), bounded=self._bounded)

    def write(self) -> AbstractAsyncContextManager[Transaction]:
        """A transaction that may write; keep it short, and never wait for a network inside it.

        Raises Unavailable when the database does not answer in time, or stays locked for BUSY_SECONDS. Whether
        it was committed is not certain then.
        """
        return _transaction(self._writing, self._turn, bounded=self._bounded)

    def change(self) -> AbstractAsyncContextManager[Transaction]:
        """A transaction that changes the schema, which takes as long as it takes. Raises as `write` does."""
        return _transaction(self._writing, self._turn, bounded=False)

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


@asynccontextmanager
async def _transaction(engine: AsyncEngine, turn: _Turn, *, bounded: bool) -> AsyncIterator[Transaction]:
    seconds, last = (ANSWER_SECONDS, ANSWER_SECONDS + _LAST_SECONDS) if bounded else (None, None)
    try:
        # Cancelled once, psycopg asks the server to call the query off, and of one that hangs it waits ten seconds
        # for that; cancelled again, it gives the connection up.
        async with asyncio.timeout(last), asyncio.timeout(seconds), turn, engine.begin() as transaction:
            yield transaction
    except (DBAPIError, QueueTimeout, TimeoutError) as error:
        if isinstance(error, DBAPIError) and not (isinstance(error, _AWAY) or error.connection_invalidated):
            raise
        said = str(error).partition("\n")[0][:300]
        log.warning("the database failed: %s", said or f"it did not answer within {seconds} s")
        raise Unavailable(
            "The gateway's database does not answer; try again.", code="store_unavailable", retry_after=1
        ) from error


async def when_there(work: Callable[[], Awaitable[None]]) -> None:
    """Do what a start needs as soon as the database answers. Raises Unavailable after START_TRIES."""
    for left in reversed(range(START_TRIES)):
        try:
            return await work()
        except Unavailable:
            if not left:
                raise
            log.warning("the database does not answer; the start waits for it")
            await asyncio.sleep(1.0)
    return None


@asynccontextmanager
async def undoing(undo: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Around a transaction: when it fails for certain, `undo` what was made for it outside of the database.

    When the database went away, or we were cancelled, it may have been committed all the same. Then everything stays,
    and the sweep finds what belongs to no row.
    """
    try:
        yield
    except (Unavailable, asyncio.CancelledError):
        raise
    except BaseException:
        await undo()
        raise


def insert_once(transaction: Transaction, table: Table) -> Insert:
    """An INSERT that does nothing where a unique key is already taken."""
    if is_postgres(transaction):
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - slow to load, and not everybody's

        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


async def insert_many(transaction: Transaction, table: Table, rows: str) -> None:
    """Insert rows given as a JSON array of objects that name every column but the number.

    One that a unique key stands against is left out. One statement for all of them: a thousand would each
    wake a thread and wait for the interpreter.
    """
    await transaction.execute(_insert_many(table, transaction.dialect), {"rows": rows})


@cache
def _insert_many(table: Table, dialect: Dialect) -> TextClause:
    columns = [column for column in table.columns if not column.primary_key]
    names = ", ".join(f'"{column.name}"' for column in columns)
    if dialect.name == "postgresql":
        typed = ", ".join(f'"{column.name}" {column.type.compile(dialect)}' for column in columns)
        found = f"SELECT {names} FROM json_to_recordset(:rows) AS row({typed})"  # noqa: S608 - our own names
    else:
        values = ", ".join(f"json_extract(value, '$.{column.name}')" for column in columns)
        # without WHERE, ON would begin a join
        found = f"SELECT {values} FROM json_each(:rows) WHERE true"  # noqa: S608 - our own names
    return text(f"INSERT INTO {table.name} ({names}) {found} ON CONFLICT DO NOTHING")


def is_postgres(transaction: Transaction) -> bool:
    """Whether the transaction runs on PostgreSQL, where writers run side by side."""
    return transaction.dialect.name == "postgresql"


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we begin transactions ourselves; the driver must not
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    # It is the file's mode: who is refused the change meets somebody who makes it, and is not made to wait by SQLite.
    with suppress(sqlite3.OperationalError):
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get("fairlead_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
