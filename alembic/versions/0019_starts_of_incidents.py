"""When the incident of a flagged row began, by the scores between flagged rows; null for rows of earlier versions."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from schemas.column_types import Json, UtcDateTime
from schemas.views import drop_own_view, joined_name

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

TABLES = ("anomalies", "incidents")
STATES = ("state_before", "state_after")
INCIDENT = "incident"  # of the state of a tracked threshold, which earlier versions cannot read


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
    _forget_incidents(connection)


def _forget_incidents(connection: sa.Connection) -> None:
    """Take the incidents out of the states of tracked thresholds, model by model."""
    key: list[sa.ColumnClause[Any]] = [sa.column(name) for name in ("model_id", "entity", "batch_id")]
    trackers = sa.table("trackers", *key, *(sa.column(name, Json) for name in STATES))
    for model_id in connection.scalars(sa.select(trackers.c.model_id).distinct()).all():
        for row in connection.execute(sa.select(trackers).where(trackers.c.model_id == model_id)).mappings().all():
            states = {name: {item: row[name][item] for item in row[name] if item != INCIDENT} for name in STATES}
            if any(states[name] != row[name] for name in STATES):
                is_row = (part == row[part.name] for part in key)
                connection.execute(sa.update(trackers).values(states).where(*is_row))
