"""When the incident of a flagged row began, by the scores between flagged rows; null for rows of earlier versions."""

import sqlalchemy as sa
from alembic import op

from schemas.column_types import UtcDateTime
from schemas.views import drop_own_view, joined_name

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

TABLES = ("anomalies", "incidents")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("began_at", UtcDateTime))


def downgrade() -> None:
    connection = op.get_bind()
    monitors = sa.table("models", sa.column("monitor")).c.monitor
    for monitor in connection.scalars(sa.select(monitors).distinct()).all():
        drop_own_view(connection, joined_name(monitor))  # it has the column; the next training creates it again
    for table in TABLES:
        op.drop_column(table, "began_at")
