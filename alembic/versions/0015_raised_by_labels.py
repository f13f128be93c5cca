"""The confirmed row that a flagged row or an incident resembles, and how near the row is to it."""

import sqlalchemy as sa
from alembic import op

from schemas.views import drop_own_view, joined_name

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("anomalies", sa.Column("raised_by", sa.BigInteger))
    op.add_column("anomalies", sa.Column("raised_distance", sa.Double))
    op.add_column("incidents", sa.Column("raised_by", sa.BigInteger))


def downgrade() -> None:
    connection = op.get_bind()
    models = sa.table("models", sa.column("monitor"))
    for monitor in connection.scalars(sa.select(models.c.monitor).distinct()).all():
        drop_own_view(connection, joined_name(monitor))  # it has the columns; the next training creates it again
    op.drop_column("incidents", "raised_by")
    op.drop_column("anomalies", "raised_distance")
    op.drop_column("anomalies", "raised_by")
