"""Jobs may be hastened while somebody holds them; and indexes for what expires and for what began at a place."""

from alembic import op
from sqlalchemy import Column, Double

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the column and the indexes."""
    op.add_column("jobs", Column("hastened_at", Double))
    op.create_index("jobs_expiring", "jobs", ["expires_at"])
    op.create_index("attempts_at", "attempts", ["base_url", "started_at"])
