"""Characters, which are clips that a caller has named; and of a webhook its receiver and the trace it belongs to."""

from alembic import op
from sqlalchemy import BigInteger, Column, Double, Text

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the table and the columns; webhooks that wait already count as of one receiver."""
    op.create_table(
        "characters",
        Column("id", Text, primary_key=True),
        Column("caller", Text, nullable=False),
        Column("name", Text, nullable=False),
        Column("file", Text, nullable=False, unique=True),
        Column("mime", Text, nullable=False),
        Column("size", BigInteger, nullable=False),
        Column("sha256", Text, nullable=False),
        Column("created_at", Double, nullable=False),
    )
    op.create_index("characters_of_caller", "characters", ["caller", "id"])
    for name in ("receiver", "trace"):
        op.add_column("outbox", Column(name, Text, nullable=False, server_default=""))
