"""Alerts of everything that happens to an incident, and the rules that hold alerts back."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from schemas.views import drop_own_view, joined_name

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
STATES = "'pending', 'sending', 'sent', 'failed'"
OLD_REASONS = ("opened", "escalated", "event")
NEW_REASONS = ("worse", "new_cause", "ended", "reminder")


def upgrade() -> None:
    op.add_column("anomalies", sa.Column("held_back", sa.String(16)))
    op.add_column("incidents", sa.Column("alert_records", sa.BigInteger, nullable=False, server_default="1"))
    op.add_column("incidents", sa.Column("held_back", sa.String(16)))
    op.execute("UPDATE incidents SET alert_records = CASE WHEN is_muted THEN 0 ELSE records END")
    for column in new_columns():
        op.add_column("alerts", column)
    change_constraints((*OLD_REASONS, *NEW_REASONS), ["incident_id", "reason", "number", "channel"])


def downgrade() -> None:
    connection = op.get_bind()
    models = sa.table("models", sa.column("monitor"))
    for monitor in connection.scalars(sa.select(models.c.monitor).distinct()).all():
        drop_own_view(connection, joined_name(monitor))  # it has the columns; the next training creates it again
    alerts = sa.table("alerts", sa.column("reason"), sa.column("number"))
    is_new = sa.or_(alerts.c.reason.in_(NEW_REASONS), alerts.c.number > 0)
    op.execute(sa.delete(alerts).where(is_new))
    change_constraints(OLD_REASONS, ["incident_id", "reason", "channel"])
    with op.batch_alter_table("alerts") as batch:
        for column in new_columns():
            batch.drop_column(column.name)
    for table, column in (("incidents", "held_back"), ("incidents", "alert_records"), ("anomalies", "held_back")):
        op.drop_column(table, column)


def new_columns() -> list[sa.Column]:
    """Return the columns of alerts that this revision adds."""
    return [
        sa.Column("number", sa.Integer, nullable=False, server_default="0"),
        sa.Column("not_before", TIME),
        sa.Column("peak_severity", sa.Double),
        sa.Column("peak_score", sa.Double),
        sa.Column("causes", JSON),
    ]


def change_constraints(reasons: tuple[str, ...], unique: list[str]) -> None:
    """Replace the reasons and the unique key of alerts; SQLite copies the table, without its other constraints."""
    connection = op.get_bind()
    keys = sa.inspect(connection).get_unique_constraints("alerts")
    (old,) = (key["name"] for key in keys if "reason" in key["column_names"])
    listed = ", ".join(f"'{reason}'" for reason in reasons)
    with op.batch_alter_table("alerts") as batch:
        batch.drop_constraint(op.f(old), type_="unique")
        if connection.dialect.name == "sqlite":
            batch.create_check_constraint(op.f("ck_alerts_state"), f"state IN ({STATES})")
        else:
            batch.drop_constraint(op.f("ck_alerts_reason"), type_="check")
        batch.create_check_constraint(op.f("ck_alerts_reason"), f"reason IN ({listed})")
        batch.create_unique_constraint(op.f(f"uq_alerts_{'_'.join(unique)}"), unique)
