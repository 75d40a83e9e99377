"""The outbox gets a writer: whose a webhook is, who holds it, and what became of it.

Nothing wrote to the table before, so it is made anew.
"""

from alembic import op
from sqlalchemy import Column, Double, Integer, Text, UniqueConstraint

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table anew."""
    op.drop_table("outbox")
    op.create_table(
        "outbox",
        Column("id", Text, primary_key=True),
        Column("job", Text, nullable=False),
        Column("caller", Text, nullable=False),
        Column("event", Text, nullable=False),
        Column("url", Text, nullable=False),
        Column("payload", Text, nullable=False),
        Column("created_at", Double, nullable=False),
        Column("tries", Integer, nullable=False),
        Column("reason", Text),
        Column("due_at", Double),
        Column("leased_until", Double, nullable=False),
        Column("fence", Integer, nullable=False),
        Column("delivered_at", Double),
        UniqueConstraint("job", "event"),
    )
    op.create_index("outbox_due", "outbox", ["due_at"])
