"""Reconstruction error and ELBO of flagged and of scored records; null for rows of earlier versions."""

import sqlalchemy as sa
from alembic import op

from schemas.views import drop_own_view, joined_name

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLES = ("anomalies", "scores")
COLUMNS = ("reconstruction_error", "elbo")


def upgrade() -> None:
    for table in TABLES:
        for column in COLUMNS:
            op.add_column(table, sa.Column(column, sa.Double))


def downgrade() -> None:
    connection = op.get_bind()
    monitors = sa.table("models", sa.column("monitor")).c.monitor
    for monitor in connection.scalars(sa.select(monitors).distinct()).all():
        drop_own_view(connection, joined_name(monitor))  # it has the columns; the next training creates it again
    for table in TABLES:
        for column in reversed(COLUMNS):
            op.drop_column(table, column)
