"""What a stored video says of where it comes from.

The new column may be empty, so that a gateway that does not know it goes on writing.
"""

from alembic import op
from sqlalchemy import Column, Text

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column."""
    op.add_column("media", Column("provenance", Text))
