"""Who a charge and a job belong to beside their key: what limits of a project or a user are counted by.

The new columns have defaults on the server, so that a gateway that does not know them goes on writing.
"""

from alembic import op
from sqlalchemy import Column, Text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns, and the index that an organisation's spending is summed by."""
    for table in ("jobs", "ledger"):
        for name in ("project", "user"):
            op.add_column(table, Column(name, Text, nullable=False, server_default=""))
    op.create_index("ledger_of_organisation", "ledger", ["organisation", "created_at"])
