"""The jobs and their files on disk: what was accepted survives any kill.

Theory of operation. `jobs.sqlite` holds one row per job, `videos/<id>/` its files. A job is `queued`, then
`in_progress`, then `completed` or `failed`; the last two absorb: every write to them is a no-op. `take` moves
the oldest queued job on and counts the try. A process that dies, the engine or the worker, leaves the job
`in_progress`; whoever finds it there afterwards calls `recover`: it goes back to its old place in the queue,
or fails once it was tried `TRIES` times, because then it is likely what kills the engine. A worker that is
stopped in good order gives the try back.

The row is the truth. Files are written before the row tells of them and removed after the row is gone, so
the worst a kill can leave is a folder without a row; these are swept when the queue is opened.

One process owns the folder: the database is locked for as long as it is open. Writes reach the disk before
the call returns. They take about a millisecond, a few times per job, and are made on the event loop.
"""

import secrets
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec
from msgspec import Struct

from providers.local.engine import CLIP, IMAGE, LAST_FRAME, VIDEO, Order, Output

Inputs: TypeAlias = Mapping[str, bytes]
"""The files a job starts from, by the names the engine knows them by."""

TRIES = 2
CRASHED = "engine_crashed"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    finished_at INTEGER,
    request BLOB NOT NULL,
    output BLOB,
    error_code TEXT NOT NULL DEFAULT '',
    error_message TEXT NOT NULL DEFAULT '',
    token TEXT UNIQUE,
    fingerprint TEXT NOT NULL
)
"""
_PAGES = {
    # newest first: the statement
    True: "SELECT * FROM jobs WHERE ?1 IS NULL OR place < (SELECT place FROM jobs WHERE id = ?1)"
    " ORDER BY place DESC LIMIT ?2",
    False: "SELECT * FROM jobs WHERE ?1 IS NULL OR place > (SELECT place FROM jobs WHERE id = ?1)"
    " ORDER BY place LIMIT ?2",
}
_LOCK_SECONDS = 2.0  # how long a worker waits for the one before it to let go of the folder


class Job(Struct, frozen=True, kw_only=True):
    """One row. Times are Unix seconds; `output` is set when completed, the error when failed."""

    id: str
    status: str
    created_at: int
    finished_at: int | None
    order: Order
    output: Output | None
    error_code: str
    error_message: str
    fingerprint: str


class InUseError(Exception):
    """Another worker has the data directory open."""


class Queue:
    """The job table. Not for use from several threads."""

    def __init__(self, folder: Path) -> None:
        """Open or create the table in `folder`. Raises InUseError, OSError or sqlite3.Error."""
        self._videos = folder / "videos"
        self._videos.mkdir(parents=True, exist_ok=True)
        self._sql = sqlite3.connect(folder / "jobs.sqlite", timeout=_LOCK_SECONDS, isolation_level=None)
        self._sql.row_factory = sqlite3.Row
        try:
            for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL"):
                self._sql.execute(f"PRAGMA {pragma}")
            self._sql.execute(_SCHEMA)
        except sqlite3.OperationalError as refused:
            self._sql.close()
            if refused.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise InUseError(str(folder)) from refused
            raise
        self.sweep_folders()

    def close(self) -> None:
        """Let go of the folder."""
        self._sql.close()

    def folder(self, job: Job) -> Path:
        """Where the files of a job are."""
        return self._videos / job.id

    def inputs(self, job: Job) -> Inputs:
        """What a job starts from."""
        order = job.order
        kinds = ((IMAGE, order.image), (LAST_FRAME, order.last_frame), (CLIP, order.clip))
        return {name: (self.folder(job) / name).read_bytes() for name, given in kinds if given}

    def video(self, job: Job) -> bytes:
        """The finished file of a completed job."""
        return (self.folder(job) / VIDEO).read_bytes()

    def add(self, order: Order, inputs: Inputs, *, token: str | None, fingerprint: str, now: int) -> Job:
        """Accept a job; on return it is on disk. `token` must not be in the table yet."""
        job_id = f"video_{secrets.token_hex(16)}"
        folder = self._videos / job_id
        folder.mkdir()
        for name, data in inputs.items():
            (folder / name).write_bytes(data)
        return self._jobs(
            "INSERT INTO jobs (id, status, created_at, request, token, fingerprint)"
            " VALUES (?, 'queued', ?, ?, ?, ?) RETURNING *",
            job_id,
            now,
            msgspec.json.encode(order),
            token,
            fingerprint,
        )[0]

    def get(self, job_id: str) -> Job | None:
        """The job with that id."""
        return next(iter(self._jobs("SELECT * FROM jobs WHERE id = ?", job_id)), None)

    def by_token(self, token: str) -> Job | None:
        """The job that was accepted under that idempotency key."""
        return next(iter(self._jobs("SELECT * FROM jobs WHERE token = ?", token)), None)

    def last_completed(self, count: int) -> Sequence[Job]:
        """The jobs that were completed last, newest first."""
        return self._jobs(
            "SELECT * FROM jobs WHERE status = 'completed' ORDER BY finished_at DESC, place DESC LIMIT ?",
            count,
        )

    def waiting(self) -> Sequence[Job]:
        """The queued jobs, next first."""
        return self._jobs("SELECT * FROM jobs WHERE status = 'queued' ORDER BY place")

    def page(self, *, limit: int, after: str | None, newest_first: bool) -> Sequence[Job]:
        """Up to `limit` jobs by age, from the one behind the job with the id `after` on."""
        return self._jobs(_PAGES[newest_first], after, limit)

    def take(self, *, untried: bool = False) -> Job | None:
        """The oldest queued job, now in progress and one try older; if `untried`, only when it is at its first."""
        taken = self._jobs(
            "UPDATE jobs SET status = 'in_progress', tries = tries + 1"
            " WHERE place = (SELECT min(place) FROM jobs WHERE status = 'queued')"
            " AND (tries = 0 OR NOT ?) RETURNING *",
            untried,
        )
        return next(iter(taken), None)

    def give_back(self) -> None:
        """Queue what is in progress again, as if it had not been tried: the worker is being stopped."""
        self._jobs("UPDATE jobs SET status = 'queued', tries = tries - 1 WHERE status = 'in_progress'")

    def recover(self, now: int) -> None:
        """Queue what a dead process was working on again, or fail it after `TRIES` tries."""
        self._sql.execute("BEGIN IMMEDIATE")
        with self._sql:
            self._jobs(
                "UPDATE jobs SET status = 'failed', finished_at = ?, error_code = ?, error_message = ?"
                " WHERE status = 'in_progress' AND tries >= ?",
                now,
                CRASHED,
                f"The engine died {TRIES} times while making this video.",
                TRIES,
            )
            self._jobs("UPDATE jobs SET status = 'queued' WHERE status = 'in_progress'")

    def complete(self, job_id: str, output: Output, now: int) -> None:
        """The files of a job in progress are in place."""
        self._jobs(
            "UPDATE jobs SET status = 'completed', finished_at = ?, output = ?"
            " WHERE id = ? AND status = 'in_progress'",
            now,
            msgspec.json.encode(output),
            job_id,
        )

    def fail(self, job_id: str, code: str, message: str, now: int) -> None:
        """End a job that is not at its end yet."""
        self._jobs(
            "UPDATE jobs SET status = 'failed', finished_at = ?, error_code = ?, error_message = ?"
            " WHERE id = ? AND status IN ('queued', 'in_progress')",
            now,
            code,
            message,
            job_id,
        )

    def delete(self, job: Job) -> None:
        """Forget a job and remove its files."""
        self._sql.execute("DELETE FROM jobs WHERE id = ?", (job.id,))
        shutil.rmtree(self.folder(job), ignore_errors=True)

    def expire(self, before: int) -> None:
        """Delete the jobs that came to their end earlier than `before`."""
        for job in self._jobs("SELECT * FROM jobs WHERE finished_at < ?", before):
            self.delete(job)

    def sweep_folders(self) -> None:
        """Remove what a deleted job left behind, or what its engine wrote after that."""
        known = {row["id"] for row in self._sql.execute("SELECT id FROM jobs")}
        for folder in self._videos.iterdir():
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)

    def _jobs(self, statement: str, *values: str | int | bytes | None) -> list[Job]:
        """Run a statement whole; the rows it gives, as jobs."""
        return [_job(row) for row in self._sql.execute(statement, values).fetchall()]


def _job(row: sqlite3.Row) -> Job:
    return Job(
        id=row["id"],
        status=row["status"],
        created_at=row["created_at"],
        finished_at=row["finished_at"],
        order=msgspec.json.decode(row["request"], type=Order),
        output=msgspec.json.decode(row["output"], type=Output) if row["output"] else None,
        error_code=row["error_code"],
        error_message=row["error_message"],
        fingerprint=row["fingerprint"],
    )
