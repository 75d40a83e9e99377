"""Files that clients upload, batches of requests, and which finished video answers a request asked again."""

from alembic import op
from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Text,
)

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the tables, and give jobs the key that results are found by."""
    _files()
    _batches()
    _rows()
    op.add_column("jobs", Column("cache_key", LargeBinary))
    op.create_index("jobs_cached", "jobs", ["cache_key"])


def _files() -> None:
    op.create_table(
        "files",
        Column("id", Text, primary_key=True),
        Column("caller", Text, nullable=False),
        Column("name", Text, nullable=False, unique=True),
        Column("filename", Text, nullable=False),
        Column("purpose", Text, nullable=False),
        Column("size", BigInteger, nullable=False),
        Column("sha256", Text, nullable=False),
        Column("created_at", Double, nullable=False),
        Column("expires_at", Double, nullable=False),
    )
    op.create_index("files_of_caller", "files", ["caller", "id"])
    op.create_index("files_expiry", "files", ["expires_at"])


def _batches() -> None:
    op.create_table(
        "batches",
        Column("id", Text, primary_key=True),
        Column("caller", Text, nullable=False),
        Column("endpoint", Text, nullable=False),
        Column("input_file", Text, nullable=False),
        Column("metadata", Text),
        Column("base_url", Text, nullable=False),
        Column("output_life", Double, nullable=False),
        Column("status", Text, nullable=False),
        Column("ending", Text),
        Column("errors", Text),
        Column("model", Text),
        Column("usage", Text),
        Column("total", Integer, nullable=False),
        Column("started", Integer, nullable=False),
        Column("next_at", BigInteger, nullable=False),
        Column("completed", Integer, nullable=False),
        Column("failed", Integer, nullable=False),
        Column("output_file", Text),
        Column("error_file", Text),
        Column("created_at", Double, nullable=False),
        Column("expires_at", Double, nullable=False),
        Column("in_progress_at", Double),
        Column("cancelling_at", Double),
        Column("finalizing_at", Double),
        Column("ended_at", Double),
        Column("due_at", Double),
        Column("leased_until", Double, nullable=False),
        Column("fence", Integer, nullable=False),
    )
    op.create_index("batches_due", "batches", ["due_at"])
    op.create_index("batches_of_caller", "batches", ["caller", "id"])
    op.create_index("batches_open", "batches", ["ended_at", "status"])


def _rows() -> None:
    op.create_table(
        "batch_rows",
        Column("batch", Text, ForeignKey("batches.id", ondelete="CASCADE"), nullable=False),
        Column("number", Integer, nullable=False),
        Column("caller", Text, nullable=False),
        Column("custom_id", Text, nullable=False),
        Column("start", BigInteger, nullable=False),
        Column("size", Integer, nullable=False),
        Column("state", Text, nullable=False),
        Column("tries", Integer, nullable=False),
        Column("request_id", Text),
        Column("job", Text),
        Column("result", Text),
        Column("started_at", Double, nullable=False),
        Column("due_at", Double),
        Column("leased_until", Double, nullable=False),
        Column("fence", Integer, nullable=False),
        PrimaryKeyConstraint("batch", "number"),
    )
    op.create_index("batch_rows_due", "batch_rows", ["due_at"])
    op.create_index("batch_rows_of_caller", "batch_rows", ["caller", "state"])
