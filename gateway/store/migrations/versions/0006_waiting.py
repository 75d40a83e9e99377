"""Jobs may wait for a slot at a worker; attempts there are priced by the seconds a GPU works."""

from alembic import op
from sqlalchemy import BigInteger, Column, Double

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the columns, and an index for those who wait."""
    op.add_column("jobs", Column("waiting_since", Double))
    op.add_column("jobs", Column("eta_at", Double))
    op.create_index("jobs_waiting", "jobs", ["waiting_since"])
    op.add_column("attempts", Column("gpu_price", BigInteger))
