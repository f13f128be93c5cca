"""When the incident of a flagged record began, by the scores between flagged records."""

import sqlalchemy as sa
from alembic import op

from schemas.column_types import UtcDateTime

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

TABLES = ("anomalies", "incidents")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("began_at", UtcDateTime))


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "began_at")
