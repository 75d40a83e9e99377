"""The tables, as SQLAlchemy Core metadata: the one place that names columns.

Times are Unix seconds, money is whole nano-dollars, JSON is kept as text. Migrations
under `migrations/` must give the same schema; a test compares the two.
"""

from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

metadata = MetaData()


class JsonText(TypeDecorator[Any]):
    """JSON as text: the same on both engines, readable in either's shell."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: object) -> str | None:
        """Python values to text."""
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, _dialect: object) -> Any:
        """Text to plain Python values."""
        return None if value is None else msgspec.json.decode(value)


keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),  # keyed hash of the text
    Column("last4", Text, nullable=False),
    Column("settings", JsonText, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("revoked_at", Double),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),  # sorts by creation
    Column("caller", Text, nullable=False),
    Column("organisation", Text, nullable=False),
    Column("project", Text, nullable=False, server_default=""),
    Column("user", Text, nullable=False, server_default=""),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("model", Text, nullable=False),
    Column("request", JsonText, nullable=False),
    Column("lease", Text, nullable=False),  # names what admission reserved; `held` is how to settle it
    Column("held", JsonText, nullable=False),
    Column("state", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("progress", Integer, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("warnings", JsonText, nullable=False),
    Column("error", JsonText),
    Column("output", JsonText),
    Column("cost", BigInteger),
    Column("video_ms", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("deadline_at", Double, nullable=False),
    Column("completed_at", Double),
    Column("expires_at", Double),
    Column("deleted_at", Double),
    Column("due_at", Double),  # when the runner must look again; NULL when never
    Column("leased_until", Double, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("cache_key", LargeBinary),  # what the same request finds its result by, where it asked for that
    Column("waiting_since", Double),  # waits for a slot at a worker; NULL when it does not
    Column("eta_at", Double),  # when it will probably be done
    Column("hastened_at", Double),  # since when it should be looked at, whatever whoever holds it thinks
    Index("jobs_due", "due_at"),
    Index("jobs_expiring", "expires_at"),
    Index("jobs_waiting", "waiting_since"),
    Index("jobs_of_caller", "caller", "id"),
    Index("jobs_alike", "caller", "fingerprint"),
    Index("jobs_cached", "cache_key"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("job", Text, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("target", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("provider_model", Text, nullable=False),
    Column("dialect", Text, nullable=False),
    Column("base_url", Text, nullable=False),
    Column("certainty", Text, nullable=False),
    Column("operation", JsonText),
    Column("error_code", Text),
    Column("price", BigInteger),
    Column("gpu_price", BigInteger),
    Column("cost", BigInteger),
    Column("started_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("retry_at", Double),
    PrimaryKeyConstraint("job", "number"),
    Index("attempts_at", "base_url", "started_at"),
)

media = Table(
    "media",
    metadata,
    Column("name", Text, primary_key=True),
    Column("job", Text, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("role", Text, nullable=False),
    Column("mime", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("provenance", JsonText),  # of a video: what it says of where it comes from
    Index("media_of_job", "job"),
)

characters = Table(
    "characters",
    metadata,
    Column("id", Text, primary_key=True),
    Column("caller", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("file", Text, nullable=False, unique=True),  # its name in the media store
    Column("mime", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Index("characters_of_caller", "caller", "id"),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("caller", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("job", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    PrimaryKeyConstraint("caller", "route", "key"),
    Index("idempotency_age", "created_at"),
)

ledger = Table(
    "ledger",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("source", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("caller", Text, nullable=False),
    Column("organisation", Text, nullable=False),
    Column("project", Text, nullable=False, server_default=""),
    Column("user", Text, nullable=False, server_default=""),
    Column("model", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("nano_dollars", BigInteger),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("video_ms", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("source", "kind"),
    Index("ledger_of_caller", "caller", "created_at"),
    Index("ledger_of_organisation", "organisation", "created_at"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Text, primary_key=True),  # the webhook-id: the same however often it is sent
    Column("job", Text, nullable=False),
    Column("caller", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("receiver", Text, nullable=False, server_default=""),  # host and port of the URL
    Column(
        "trace", Text, nullable=False, server_default=""
    ),  # of the request that made the job: W3C traceparent
    Column("payload", JsonText, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("reason", Text),  # why the last try failed
    Column("due_at", Double),  # when it must be sent next; NULL when it was delivered or given up
    Column("leased_until", Double, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("delivered_at", Double),
    UniqueConstraint("job", "event"),
    Index("outbox_due", "due_at"),
)

files = Table(
    "files",
    metadata,
    Column("id", Text, primary_key=True),  # sorts by creation
    Column("caller", Text, nullable=False),
    Column("name", Text, nullable=False, unique=True),  # where the bytes are
    Column("filename", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Index("files_of_caller", "caller", "id"),
    Index("files_expiry", "expires_at"),
)

batches = Table(
    "batches",
    metadata,
    Column("id", Text, primary_key=True),  # sorts by creation
    Column("caller", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("input_file", Text, nullable=False),
    Column("metadata", JsonText),
    Column("base_url", Text, nullable=False),
    Column("output_life", Double, nullable=False),
    Column("status", Text, nullable=False),
    Column("ending", Text),  # cancelled or expired: no row is begun any more, and this is what it will be
    Column("errors", JsonText),
    Column("model", Text),
    Column("usage", JsonText),
    Column("total", Integer, nullable=False),
    Column("started", Integer, nullable=False),
    Column("next_at", BigInteger, nullable=False),  # where in the file the next row is that nobody began
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
    Column("due_at", Double),  # when the batch itself needs a step; NULL while its rows are worked off
    Column("leased_until", Double, nullable=False),
    Column("fence", Integer, nullable=False),
    Index("batches_due", "due_at"),
    Index("batches_of_caller", "caller", "id"),
    Index("batches_open", "ended_at", "status"),
)

batch_rows = Table(
    "batch_rows",
    metadata,
    Column("batch", Text, ForeignKey("batches.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("caller", Text, nullable=False),
    Column("custom_id", Text, nullable=False),
    Column("start", BigInteger, nullable=False),  # where in the file it is
    Column("size", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("request_id", Text),
    Column("job", Text),
    Column("result", Text),  # its line of the output or error file
    Column("started_at", Double, nullable=False),
    Column("due_at", Double),  # NULL when it is over
    Column("leased_until", Double, nullable=False),
    Column("fence", Integer, nullable=False),
    PrimaryKeyConstraint("batch", "number"),
    Index("batch_rows_due", "due_at"),
    Index("batch_rows_of_caller", "caller", "state"),
)
