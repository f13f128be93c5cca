"""The label that suppresses a flagged row or an incident, and how near the row is to the labelled one."""

import sqlalchemy as sa
from alembic import op

from schemas.views import drop_own_view, joined_name

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("anomalies", sa.Column("suppressed_by", sa.BigInteger))
    op.add_column("anomalies", sa.Column("suppressed_distance", sa.Double))
    op.add_column("incidents", sa.Column("suppressed_by", sa.BigInteger))


def downgrade() -> None:
    connection = op.get_bind()
    models = sa.table("models", sa.column("monitor"))
    for monitor in connection.scalars(sa.select(models.c.monitor).distinct()).all():
        drop_own_view(connection, joined_name(monitor))  # it has the columns; the next training creates it again
    op.drop_column("incidents", "suppressed_by")
    op.drop_column("anomalies", "suppressed_distance")
    op.drop_column("anomalies", "suppressed_by")
