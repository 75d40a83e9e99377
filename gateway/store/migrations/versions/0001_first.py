"""The first schema."""

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
    UniqueConstraint,
)

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table."""
    for create in (_keys, _jobs, _attempts, _media, _idempotency, _ledger, _outbox):
        create()


def _keys() -> None:
    op.create_table(
        "keys",
        Column("id", Text, primary_key=True),
        Column("name", Text, nullable=False),
        Column("digest", LargeBinary, nullable=False, unique=True),
        Column("last4", Text, nullable=False),
        Column("settings", Text, nullable=False),
        Column("created_at", Double, nullable=False),
        Column("revoked_at", Double),
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        Column("id", Text, primary_key=True),
        Column("caller", Text, nullable=False),
        Column("organisation", Text, nullable=False),
        Column("fingerprint", LargeBinary, nullable=False),
        Column("model", Text, nullable=False),
        Column("request", Text, nullable=False),
        Column("lease", Text, nullable=False),
        Column("held", Text, nullable=False),
        Column("state", Text, nullable=False),
        Column("phase", Text, nullable=False),
        Column("progress", Integer, nullable=False),
        Column("tries", Integer, nullable=False),
        Column("warnings", Text, nullable=False),
        Column("error", Text),
        Column("output", Text),
        Column("cost", BigInteger),
        Column("video_ms", BigInteger, nullable=False),
        Column("created_at", Double, nullable=False),
        Column("deadline_at", Double, nullable=False),
        Column("completed_at", Double),
        Column("expires_at", Double),
        Column("deleted_at", Double),
        Column("due_at", Double),
        Column("leased_until", Double, nullable=False),
        Column("fence", Integer, nullable=False),
    )
    op.create_index("jobs_due", "jobs", ["due_at"])
    op.create_index("jobs_of_caller", "jobs", ["caller", "id"])
    op.create_index("jobs_alike", "jobs", ["caller", "fingerprint"])


def _attempts() -> None:
    op.create_table(
        "attempts",
        Column("job", Text, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
        Column("number", Integer, nullable=False),
        Column("target", Text, nullable=False),
        Column("provider", Text, nullable=False),
        Column("provider_model", Text, nullable=False),
        Column("dialect", Text, nullable=False),
        Column("base_url", Text, nullable=False),
        Column("certainty", Text, nullable=False),
        Column("operation", Text),
        Column("error_code", Text),
        Column("price", BigInteger),
        Column("cost", BigInteger),
        Column("started_at", Double, nullable=False),
        Column("ended_at", Double),
        Column("retry_at", Double),
        PrimaryKeyConstraint("job", "number"),
    )


def _media() -> None:
    op.create_table(
        "media",
        Column("name", Text, primary_key=True),
        Column("job", Text, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
        Column("role", Text, nullable=False),
        Column("mime", Text, nullable=False),
        Column("size", BigInteger, nullable=False),
        Column("sha256", Text, nullable=False),
        Column("created_at", Double, nullable=False),
    )
    op.create_index("media_of_job", "media", ["job"])


def _idempotency() -> None:
    op.create_table(
        "idempotency",
        Column("caller", Text, nullable=False),
        Column("route", Text, nullable=False),
        Column("key", Text, nullable=False),
        Column("fingerprint", LargeBinary, nullable=False),
        Column("job", Text, nullable=False),
        Column("created_at", Double, nullable=False),
        PrimaryKeyConstraint("caller", "route", "key"),
    )
    op.create_index("idempotency_age", "idempotency", ["created_at"])


def _ledger() -> None:
    op.create_table(
        "ledger",
        Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
        Column("source", Text, nullable=False),
        Column("kind", Text, nullable=False),
        Column("caller", Text, nullable=False),
        Column("organisation", Text, nullable=False),
        Column("model", Text, nullable=False),
        Column("target", Text, nullable=False),
        Column("nano_dollars", BigInteger),
        Column("input_tokens", BigInteger, nullable=False),
        Column("output_tokens", BigInteger, nullable=False),
        Column("video_ms", BigInteger, nullable=False),
        Column("created_at", Double, nullable=False),
        UniqueConstraint("source", "kind"),
    )
    op.create_index("ledger_of_caller", "ledger", ["caller", "created_at"])


def _outbox() -> None:
    op.create_table(
        "outbox",
        Column("id", Text, primary_key=True),
        Column("job", Text, nullable=False),
        Column("event", Text, nullable=False),
        Column("url", Text, nullable=False),
        Column("payload", Text, nullable=False),
        Column("tries", Integer, nullable=False),
        Column("created_at", Double, nullable=False),
        Column("due_at", Double),
        Column("delivered_at", Double),
        UniqueConstraint("job", "event"),
    )
    op.create_index("outbox_due", "outbox", ["due_at"])
